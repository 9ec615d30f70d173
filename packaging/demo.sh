#!/usr/bin/env bash
# A coordinator and three agents on this host, advertising 127.0.0.11 to 127.0.0.13; runs a suite and prints the report.
# usage: packaging/demo.sh BIN_DIR [SUITE]. Exits with 77 where this user may not send ICMP.
set -euo pipefail
bin=$(cd "${1:?usage: demo.sh BIN_DIR [SUITE]}" && pwd)
suite=${2:-$(dirname "$0")/../examples/quickstart.yaml}
if ! said=$("$bin/todd" try ping 127.0.0.1 --count 1 2>&1 >/dev/null); then
  case $said in *ping_group_range*)
    echo "demo: not here: ${said#todd: }" >&2
    exit 77
    ;;
  esac
  echo "demo: $said" >&2
  exit 1
fi
work=$(mktemp -d -t todd-demo.XXXXXX)
pids=()
finish() {
  local status=$?
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  if [ $status -ne 0 ]; then tail -n 20 "$work"/*.log >&2 || true; fi
  rm -rf "$work"
  exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

wait_for() {  # wait_for WHAT COMMAND...: until the command succeeds, at most ten seconds
  local what=$1
  for _ in $(seq 100); do
    if "${@:2}" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "demo: $what did not come up" >&2
  return 1
}

export TODD_COORDINATOR=$work/coordinator/api.sock
"$bin/todd-coordinator" --data-dir "$work/coordinator" --link 127.0.0.1:0 >"$work/coordinator.log" 2>&1 &
pids+=($!)
wait_for "the coordinator" "$bin/todd" version
for i in 1 2 3; do
  "$bin/todd-agent" --data-dir "$work/agent$i" --name "agent$i" --label "site=lab$i" --test-address "127.0.0.1$i" \
    --listen-ports "$((7500 + 20 * i))-$((7519 + 20 * i))" --join "$("$bin/todd" agents invite)" >"$work/agent$i.log" 2>&1 &
  pids+=($!)
done
connected() { [ "$("$bin/todd" agents -o json | tr ',' '\n' | grep -c '"connected" *: *true')" -eq 3 ]; }
wait_for "an agent" connected
"$bin/todd" agents
"$bin/todd" run "$suite"
