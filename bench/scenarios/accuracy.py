"""How far the round trips that are printed are from the truth, idle and with every core busy, beside fping and ping."""
import json, re, statistics

import lab
import tools
from stage import at, cores, stage
from table import Row
from truth import Truth

INTERVAL_MS = 10
LIMITS = {("exact", False): (1, 3)}  # of p50 and p99 in us; with the cores busy they are those of `thousand`


def todd(count, target, stamps):
    done = tools.todd(target, "--count", count, "--interval", f"{INTERVAL_MS}ms", "--samples", "all", "--stamps", stamps, "-o", "json")
    samples = sorted(json.loads(done.out)["tests"][0]["edges"][0]["samples"], key=lambda sample: sample["seq"])
    return [round(sample["rtt"] * 1e9) for sample in samples if sample["outcome"] == "ok"]


def fping(count, target):
    done = tools.run("fping", "-C", count, "-p", INTERVAL_MS, "-q", target)
    return [round(float(ms) * 1e6) for ms in done.err.split(":")[-1].split() if ms != "-"]


def ping(count, target):
    done = tools.run("ping", "-i", INTERVAL_MS / 1000, "-c", count, target)
    return [round(float(ms) * 1e6) for ms in re.findall(r"time=([\d.]+) ms", done.out)]


def errors(tool, *words):
    """|round trip - truth| of each probe in us, and how many were lost. Where some were lost, only the medians can be compared."""
    truth = Truth(stage().near, stage().far)
    measured = tool(*words)
    true = truth.end()
    if len(true) != len(measured):
        return [abs(statistics.median(measured) - statistics.median(true)) / 1000] if measured else [], len(true) - len(measured)
    return [abs(m - t) / 1000 for m, t in zip(measured, true)], 0


def run(full):
    lab.need_programs(fping="fping", ping="iputils-ping")
    count, target, rows = 3000 if full else 500, stage().far.address, []
    for busy in (False, True):
        load = "cores busy" if busy else "idle"
        with cores(busy):
            peers = {"fping": errors(fping, count, target), "ping": errors(ping, count, target)}
            for stamps in ("exact", "sampled", "user"):
                off, lost = errors(todd, count, target, stamps)
                limits = LIMITS.get((stamps, busy), (None, None))
                for q, limit in zip((0.5, 0.99), limits):
                    rows.append(Row(f"|rtt - truth| p{100 * q:g}, {load}, --stamps {stamps}", "us", at(q, off), {name: at(q, theirs) for name, (theirs, _) in peers.items()}, at_most=limit,
                                    wrong=[f"{lost} of {count} lost"] if lost else []))
    return rows
