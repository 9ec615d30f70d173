"""How far the round trips that ToDD, fping and ping print are from the truth, idle and with every core busy. One table."""
import json, os, re, statistics, subprocess

import lab
from conditions import cores, quantile
from truth import Truth

lab.need_namespaces()
lab.need_programs(fping="fping", ping="iputils-ping")
COUNT, INTERVAL_MS = int(os.environ.get("COUNT", 1000)), 10


def todd_round_trips(target, stamps):
    done = lab.todd("try", "ping", target, "--count", COUNT, "--interval", f"{INTERVAL_MS}ms", "--samples", "all", "--stamps", stamps, "-o", "json", namespace=near)
    samples = sorted(json.loads(done.stdout)["tests"][0]["edges"][0]["samples"], key=lambda s: s["seq"])
    return [round(s["rtt"] * 1e9) for s in samples if s["outcome"] == "ok"]


def fping_round_trips(target):
    done = subprocess.run(lab.inside(near.name, "fping", "-C", COUNT, "-p", INTERVAL_MS, "-q", target), capture_output=True, text=True)
    return [round(float(ms) * 1e6) for ms in done.stderr.split(":")[-1].split() if ms != "-"]


def ping_round_trips(target):
    done = subprocess.run(lab.inside(near.name, "ping", "-i", INTERVAL_MS / 1000, "-c", COUNT, target), capture_output=True, text=True)
    return [round(float(ms) * 1e6) for ms in re.findall(r"time=([\d.]+) ms", done.stdout)]


def errors(tool, target):
    truth = Truth(near, far)
    measured = tool(target)
    true = truth.end()
    if len(true) != len(measured):
        return len(true) - len(measured), [abs(statistics.median(measured) - statistics.median(true))] if measured else [float("nan")]
    return 0, [abs(m - t) for m, t in zip(measured, true)]


near, far = lab.pair("near", "far")
tools = {f"todd --stamps {stamps}": lambda target, stamps=stamps: todd_round_trips(target, stamps) for stamps in ("exact", "sampled", "user")}
tools |= {"fping": fping_round_trips, "ping": ping_round_trips}
print(f"|round trip - truth|, {COUNT} probes every {INTERVAL_MS} ms, microseconds")
print(f"{'':22}{'idle p50':>10}{'p99':>8}{'busy p50':>10}{'p99':>8}  lost")
for name, tool in tools.items():
    row, missing = [], 0
    for busy in (False, True):
        with cores(busy):
            lost, far_off = errors(tool, far.address)
        missing += lost
        row += [quantile(far_off, 0.5) / 1000, quantile(far_off, 0.99) / 1000]
    print(f"{name:22}{row[0]:10.2f}{row[1]:8.2f}{row[2]:10.2f}{row[3]:8.2f}  {missing}", flush=True)
