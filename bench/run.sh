#!/usr/bin/env bash
# Figures beside their peers, on this machine, in one run. usage: bench/run.sh BIN_DIR [OPTION of run.py...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export TODD_BIN TODD_SOURCE="$here/.." PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$here/../tests/e2e"
TODD_BIN=$(cd "${1:?usage: bench/run.sh BIN_DIR [OPTION...]}" && pwd)
exec python3 "$here/run.py" "${@:2}"
