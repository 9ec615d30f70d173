"""Whether what ping says stays true with many targets, through a freeze, and when more is asked for than can be done."""
import json, os, statistics, subprocess

import lab
from lab import check, todd
from truth import Truth

lab.need_namespaces()
near, far = lab.pair("near", "far")
lab.ip(far.name, "route", "add", "local", "10.64.0.0/16", "dev", "lo")  # its kernel answers, whatever the address
for prefix in ("10.64.0.0/16", "10.32.0.0/16"):
    lab.ip(near.name, "route", "add", prefix, "via", far.address)  # one neighbour for all


def ping(targets, *words):
    """The totals of a report."""
    done = todd("try", "ping", targets, *words, "-o", "jsonl", namespace=near)
    check(done.stdout, f"todd try ping {targets} prints a report ({done.stderr.strip()[:300]})")
    return json.loads(done.stdout.splitlines()[0])["tests"][0]["total"]


def counts(total):
    return {name: total[name]["value"] for name in ("planned", "unsent", "sent", "received", "lost", "undetermined")}


def check_same_round_trips(engine):
    """The median is the taps', for one target, a thousand, and so many that each has only a compact row."""
    off = {}
    for targets, last, count in ((1, "0.1", 4000), (1000, "3.232", 4), (10_000, "39.16", 1)):
        truth = Truth(near, far)
        total = ping(f"10.64.0.1-10.64.{last}", "--count", count, "--rate", 2000, "--engine", engine)
        true = truth.end()
        number = counts(total)
        # A host that is busy with something else for 100 ms sends less: what did not leave is no matter here.
        check(len(true) == number["sent"] == number["received"] > targets * count / 2, f"{engine}: {targets} targets: all that was sent was answered, as the {len(true)} round trips of the taps say: {number}")
        check(abs(total["pdv_p99"]["value"] - (total["rtt"]["p99"] - total["rtt"]["min"])) < 1e-9, f"{engine}: and the spread is that of the total")
        off[targets] = total["rtt"]["p50"] * 1e6 - statistics.median(true) / 1000
        print(f"     {engine}: {targets} targets: rtt p50 {total['rtt']['p50'] * 1e6:.2f} us, {off[targets]:+.2f} us from the truth")
    check(all(abs(one) < 20 for one in off.values()), f"{engine}: the median is within 20 us of the truth, however many targets")
    check(max(off.values()) - min(off.values()) < 20, f"{engine}: and its error does not depend on them")


def check_busy_cores(engine):
    """A thousand targets once a second while every core computes: nothing is lost, and each round trip is the taps'."""
    truth = Truth(near, far)
    load = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count())]
    try:
        done = todd("try", "ping", "10.64.0.1-10.64.3.232", "--count", 3, "--interval", "1s", "--samples", "all", "--engine", engine, "-o", "json", namespace=near)
    finally:
        for process in load:
            process.kill()
            process.wait()
    true = truth.end()
    test = json.loads(done.stdout)["tests"][0]
    number = counts(test["total"])
    check(number["lost"] == 0 and len(true) == number["sent"] == number["received"] > 1500, f"{engine}: busy cores: none of {len(true)} lost: {number}")
    seen = sorted((sample["at"], sample["rtt"]) for edge in test["edges"] for sample in edge["samples"] if sample["outcome"] == "ok")
    off = sorted(abs(rtt * 1e6 - ns / 1000) for (_, rtt), ns in zip(seen, true))
    p50, p99 = off[len(off) // 2], off[int(0.99 * len(off))]
    check(len(seen) == len(true) and p50 < 10 and p99 < 100, f"{engine}: busy cores: |rtt - truth| is {p50:.2f} us (p50) and {p99:.2f} us (p99)")


def check_freeze_percentiles(engine):
    """200 ms of every 2 s nothing comes back: a tenth of the probes waits, evenly from 0 to 200 ms. Who sends only when answers come
    would not see it."""
    reflector = lab.DelayLab(far, "10.32.0.1 delay 1ms freeze 200ms every 2s")
    total = ping("10.32.0.1", "--count", 2000, "--interval", "5ms", "--timeout", "1s", "--engine", engine)
    held = sorted((row["tx_ns"] - row["rx_ns"]) / 1e6 for row in reflector.end())
    number = counts(total)
    check(number["received"] == number["sent"] == len(held) and number["lost"] == 0, f"{engine}: all that were held came back: {number}, the lab {len(held)}")
    check(number["sent"] > 1500, f"{engine}: probes left while nothing came back")
    for name, q, due in (("p95", 0.95, 100), ("p99", 0.99, 180), ("p999", 0.999, 198)):
        seen, true = total["rtt"][name] * 1000, held[int(q * len(held))]
        check(abs(seen - true) < 0.05 * true, f"{engine}: rtt {name} {seen:.1f} ms is within 5 % of what the lab did, {true:.1f} ms")
        check(abs(seen - due) < 0.1 * due, f"{engine}: and within 10 % of arithmetic, {due} ms")


def echoes_answered():
    """By the kernel of the far end, so far."""
    shown = subprocess.run(lab.inside(far.name, "cat", "/proc/net/snmp"), capture_output=True, text=True, check=True).stdout
    names, values = (line.split() for line in shown.splitlines() if line.startswith("Icmp:"))
    return int(values[names.index("OutEchoReps")])


def check_overload(engine):
    """A million probes in a second, which no kernel here can send: what did not leave is unsent, and nothing is called lost that the far end
    answered."""
    planned = 2000 * 500
    answered = echoes_answered()
    number = counts(ping("10.64.0.1-10.64.7.208", "--count", 500, "--rate", 1_000_000, "--timeout", "1s", "--engine", engine))
    answered = echoes_answered() - answered
    check(number["planned"] == planned == number["sent"] + number["unsent"], f"{engine}: planned is what was asked for, and sent + unsent: {number}")
    check(number["sent"] == number["received"] + number["lost"] + number["undetermined"], f"{engine}: sent = received + lost + undetermined")
    check(number["unsent"] > 0 and number["received"] > 0, f"{engine}: it was too much, and some of it was done")
    check(number["received"] <= answered, f"{engine}: no more is received than was answered, {answered}")
    check(number["lost"] <= max(0, number["sent"] - answered), f"{engine}: lost is at most what the far end did not answer: {number}, answered {answered}")


for engine in lab.back_ends():
    check_same_round_trips(engine)
    check_busy_cores(engine)
    check_freeze_percentiles(engine)
    check_overload(engine)
