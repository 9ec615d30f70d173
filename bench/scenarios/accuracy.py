"""How far the round trips that are printed are from the truth, idle and with every core busy, beside fping and ping."""
import json, re

import lab
import tools
from stage import at, cores, stage
from table import Row
from truth import Truth

INTERVAL_MS = 10
STAMPS = ("exact", "sampled", "user")
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
    """|round trip - truth| of each probe in us, and how many were lost. Where some were, it is not known which round trip is whose: no errors then."""
    truth = Truth(stage().near, stage().far)
    measured = tool(*words)
    true = truth.end()
    if len(true) != len(measured):
        return [], len(true) - len(measured)
    return [abs(m - t) / 1000 for m, t in zip(measured, true)], 0


def measure(count, rounds):
    """By tool: a list of errors per round; and by mode of stamps how many were lost."""
    target, found, lost = stage().far.address, {}, dict.fromkeys(STAMPS, 0)
    for _ in range(rounds):
        for name, tool in (("fping", fping), ("ping", ping)):
            found.setdefault(name, []).append(errors(tool, count, target)[0])
        for stamps in STAMPS:
            off, missing = errors(todd, count, target, stamps)
            found.setdefault(stamps, []).append(off)
            lost[stamps] += missing
    return found, lost


def run(full):
    lab.need_programs(fping="fping", ping="iputils-ping")
    count, rounds, rows = 1000 if full else 300, 3, []
    for busy in (False, True):
        load = "cores busy" if busy else "idle"
        with cores(busy):
            found, lost = measure(count, rounds)
        for stamps in STAMPS:
            for q, limit in zip((0.5, 0.99), LIMITS.get((stamps, busy), (None, None))):
                ours, *theirs = ([value for off in found[name] for value in at(q, off)] for name in (stamps, "fping", "ping"))
                rows.append(Row(f"|rtt - truth| p{100 * q:g}, {load}, --stamps {stamps}", "us", ours, dict(zip(("fping", "ping"), theirs)), at_most=limit,
                                wrong=[f"{lost[stamps]} of {rounds * count} lost"] if lost[stamps] else []))
    return rows
