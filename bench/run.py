"""ToDD's figures beside its peers', on this machine, in one table. usage: run.py [--full] [--json FILE] [--list] [SCENARIO...]"""
import argparse, contextlib, importlib, json, os, pathlib, platform, re, subprocess, sys, time, traceback

import lab
from table import Row, text_of

# In the order of the table. Each is scenarios/NAME.py: what its first line says, and run(full), which gives rows.
SCENARIOS = ("floor", "accuracy", "thousand", "same_rtt", "freeze", "burst", "one_lane", "sustained", "sweep", "growth", "overload", "boundary", "coordinator",
             "http_load", "http_pace", "http_many", "http_idle")


def conditions():
    cache = lab.BIN.parent / "CMakeCache.txt"
    found = re.search(r"CMAKE_BUILD_TYPE:\w+=(\w+)", cache.read_text()) if cache.exists() else None
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"build": found[1] if found else "unknown", "cores": os.cpu_count(), "cpu": model[1] if model else "unknown", "kernel": platform.release(), "load": os.getloadavg()[0],
            "fping": subprocess.run(["fping", "--version"], capture_output=True, text=True).stdout.split("\n")[0] if lab.shutil.which("fping") else "none"}


def measure(name, full):
    """The rows of a scenario. What it prints goes to stderr; one that cannot run here, or fails, is a row that says so."""
    print(f"== {name}", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            rows = importlib.import_module(f"scenarios.{name}").run(full)
    except SystemExit as end:
        rows = [Row(name, note="not available (see above)" if end.code == 77 else "FAILED (see above)", wrong=[] if end.code == 77 else ["the scenario failed"])]
    except Exception:
        traceback.print_exc()
        rows = [Row(name, note="FAILED (see above)", wrong=["the scenario failed"])]
    print(f"== {name} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*", help="only these, in this order")
    parser.add_argument("--full", action="store_true", help="as long as the targets say: some forty minutes")
    parser.add_argument("--json", type=pathlib.Path, help="write all values there too")
    parser.add_argument("--list", action="store_true", help="what there is")
    wanted = parser.parse_args()
    if unknown := [name for name in wanted.scenario if name not in SCENARIOS]:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    if wanted.list:
        for name in SCENARIOS:
            print(f"{name:12} {importlib.import_module(f'scenarios.{name}').__doc__.splitlines()[0]}")
        unlisted = {path.stem for path in (pathlib.Path(__file__).parent / "scenarios").glob("*.py")} - set(SCENARIOS)
        if unlisted:
            print(f"run.py does not know {', '.join(sorted(unlisted))}", file=sys.stderr)
        return 1 if unlisted else 0
    lab.need_namespaces()
    before = conditions()
    print(", ".join(f"{key} {value}" for key, value in before.items()), flush=True)
    if before["build"] != "Release" or before["load"] > 0.5:
        print("these figures are not to be quoted: the build is not Release, or the machine is not idle", flush=True)
    sections = [(name, measure(name, wanted.full)) for name in wanted.scenario or SCENARIOS]
    print(text_of(sections))
    if wanted.json:
        rows = [row.as_json() | {"scenario": name} for name, some in sections for row in some]
        wanted.json.write_text(json.dumps({"conditions": before, "full": wanted.full, "rows": rows}, indent=1) + "\n")
    return 1 if any("the scenario failed" in row.wrong for _, rows in sections for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
