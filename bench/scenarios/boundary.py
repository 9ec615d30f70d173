"""What the testlet boundary costs a probe: step, completion and recording through the ABI (bench_boundary)."""
import json, subprocess

import lab
from table import Row


def run(full):
    program = lab.BIN.parent / "bench/bench_boundary"
    done = subprocess.run([program, "--benchmark_format=json", "--benchmark_repetitions=5", f"--benchmark_min_time={1 if full else 0.2}"], capture_output=True, text=True, check=True)
    times = {}
    for one in json.loads(done.stdout)["benchmarks"]:
        if one["run_type"] == "iteration":
            times.setdefault(one["run_name"], []).append(1e9 / one["items_per_second"])
    return [Row("of 64 probes a step, each", "ns", [a - b for a, b in zip(times["testlet"], times["in_engine"])], at_most=150,
                note=f"{min(times['testlet']):.0f} ns through ping and the tables it calls, {min(times['in_engine']):.0f} ns in one loop of the engine")]
