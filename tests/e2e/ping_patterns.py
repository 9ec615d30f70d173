"""What ping says of damage, disorder and loss, against the journal of a lab that does them on purpose."""
import itertools, json

import lab
from lab import check, todd

lab.need_namespaces()
near, far = lab.pair("near", "far")
lab.ip(near.name, "route", "add", "fd99::/64", "dev", "eth0")
LOST = ("dropped", "frozen", "icmp")


def losses(rows):
    """The bursts of one address, by the order of its requests: (how many, for how many seconds)."""
    bursts, at = [], 0
    for lost, group in itertools.groupby(rows, lambda row: row["event"] in LOST):
        group = list(group)
        if lost:
            bursts.append((len(group), (rows[min(at + len(group), len(rows) - 1)]["rx_ns"] - group[0]["rx_ns"]) / 1e9))
        at += len(group)
    return bursts


for engine in lab.back_ends():
    delay_lab = lab.DelayLab(
        far, "10.64.0.1 delay 1ms corrupt at 20 every 4", "10.64.0.2 delay 1ms truncate 12 every 5",
        "10.64.0.3 delay 1ms hold for 25ms every 10", "10.64.0.4 delay 1ms freeze 200ms every 600ms dropping",
        "10.64.0.5 delay 1ms icmp 3/4 by 10.64.0.9 mtu 1400 every 2 drop 20% seed 3", "10.64.0.6 delay 1ms drop 30% seed 7",
        "fd99::7/128 delay 1ms..5ms drop 30% seed 7")
    targets = [f"10.64.0.{n}" for n in range(1, 7)] + ["fd99::7"]
    done = todd("try", "ping", *targets, "--count", 150, "--interval", "10ms", "--timeout", "150ms", "--engine", engine, "-o", "json",
                "--expect", "total: pdv_p99 < 100ms", "--expect", "jitter_p95_p50 < 100ms", namespace=near)
    check(done.returncode == 0, f"{engine}: exits 0 ({done.returncode}: {done.stderr.strip()[:300]})")
    edges = {edge["address"]: edge for edge in json.loads(done.stdout)["tests"][0]["edges"]}
    journal = delay_lab.end()

    def number(address, metric):
        return lab.value(edges[address], metric)

    for n, damage in ((1, "payload byte 20: "), (2, "56 bytes of payload came back as 12")):
        address = f"10.64.0.{n}"
        expected = 150 // (4, 5)[n - 1]
        check(number(address, "corrupted") == expected and number(address, "received") == 150, f"{engine}: {expected} replies differ, all are answers")
        check(edges[address]["examples"][0]["detail"].startswith(damage), f"{engine}: an example says {damage!r}")

    # Held for 25 ms with 10 ms between: two rounds pass it, but for the last one.
    extents = edges["10.64.0.3"]["metrics"]["reorder_extent"]
    check(12 <= number("10.64.0.3", "reordered") <= 15 and extents["p50"] == 2, f"{engine}: {extents['count']} replies were overtaken by two")
    check(number("10.64.0.3", "jitter_rfc3550") > 0.0005, f"{engine}: and that is jitter")

    # Derived from the same histogram as the percentiles beside them.
    for address in targets:
        rtt = edges[address]["metrics"]["rtt"]
        for name, spread in (("jitter_p95_p50", rtt["p95"] - rtt["p50"]), ("pdv_p50", rtt["p50"] - rtt["min"]), ("pdv_p99", rtt["p99"] - rtt["min"])):
            check(abs(number(address, name) - spread) < 1e-9, f"{engine}: {address}: {name} is {spread * 1e3:.3f} ms by its percentiles")
    check(number("fd99::7", "pdv_p99") > 0.003 and number("fd99::7", "jitter_p95_p50") > 0.001, f"{engine}: delays of 1 to 5 ms are spread")

    for address in targets:
        requests = {row["request"]: row for row in journal if row["to"] == address and row["event"] != "duplicate"}
        rows = [requests[n] for n in sorted(requests)]
        bursts = losses(rows)
        check(len(rows) == 150 and number(address, "loss_bursts") == len(bursts), f"{engine}: {address}: {len(bursts)} bursts of loss")
        longest = max((n for n, _ in bursts), default=0)
        check(number(address, "longest_loss_burst") == longest, f"{engine}: {address}: the longest of {longest}")
        # Of several with as many probes, late departures may make another than the measured one the longest in time.
        outage, slack = number(address, "outage"), 0.008
        least = min((seconds for n, seconds in bursts if n == longest), default=0)
        check(outage > least - slack and any(abs(outage - seconds) < slack for _, seconds in bursts or [(0, 0)]),
              f"{engine}: {address}: an outage of {least * 1e3:.0f} ms at least, measured {outage * 1e3:.0f} ms")

    check(number("10.64.0.4", "outage") > 0.15, f"{engine}: the freeze is an outage")

    metrics = edges["10.64.0.5"]["metrics"]
    sent = sum(row["event"] == "icmp" for row in journal)
    check(metrics["icmp_senders"]["values"] == {"10.64.0.9": sent} and metrics["mtu"]["value"] == 1400, f"{engine}: {sent} errors of one sender, and its MTU")
    check(number("10.64.0.6", "ttl_changes") == 0 and number("10.64.0.6", "hops") >= 0, f"{engine}: one TTL throughout")
