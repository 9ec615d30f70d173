"""What ToDD says of a network whose every fault is known: the delay lab's, which keeps count and the kernel's stamps."""
import collections, json, statistics

import lab
from lab import check, todd, value

lab.need_namespaces()
near, far = lab.pair("near", "far")
lab.ip(near.name, "-6", "route", "add", "default", "dev", "eth0")
MS = 1_000_000


class Tried:
    """A target, its edge of the report, and what the lab did to its requests, in the order in which they came."""

    def __init__(self, name, edge, rows):
        self.name, self.edge = name, edge
        self.by_request = collections.defaultdict(list)
        for row in sorted(rows, key=lambda row: (row["request"], row["due_ns"])):
            self.by_request[row["request"]].append(row)
        self.events = collections.Counter(row["event"] for row in rows)

    def __getitem__(self, metric):
        return value(self.edge, metric)

    def check(self, condition, what):
        counts = {name: value(self.edge, name) for name in ("planned", "unsent", "sent", "received", "lost", "late", "duplicate", "undetermined")}
        check(condition, f"{self.name}: {what}" if condition else f"{self.name}: {what}; {counts}, the lab: {dict(self.events)}")

    def accounts(self):
        """What holds whatever happens: nothing is counted twice, and no probe disappears."""
        self.check(self["planned"] == self["sent"] + self["unsent"] and self["unsent"] == 0, "every planned probe was sent")
        self.check(self["sent"] == self["received"] + self["lost"] + self["undetermined"] and self["undetermined"] == 0, "sent = received + lost")
        self.check(self["sent"] == len(self.by_request), "the lab saw each of them")
        self.check(self["late"] <= self["lost"], "what is late is lost")

    def true_round_trips(self):
        """From the request's arrival at the lab to the first reply's departure, ns; None where none left."""
        left = [[row["tx_ns"] - row["rx_ns"] for row in rows if row["event"] == "reply" and row["tx_ns"]] for rows in self.by_request.values()]
        return [first[0] if first else None for first in left]

    def check_received_within(self, timeout_ns):
        """To the unit, unless an answer left so near the timeout that the way back may decide."""
        trips = [trip for trip in self.true_round_trips() if trip is not None]
        least, most = (sum(trip < timeout_ns + edge for trip in trips) for edge in (-0.1 * MS, 0.1 * MS))
        self.check(least <= self["received"] <= most < self["sent"], f"received is what the lab answered in time, {least}{f' to {most}' if most > least else ''}")

    def errors(self):
        """Measured minus true round trip of each answered probe, ns."""
        samples = sorted(self.edge["samples"], key=lambda sample: sample["seq"])
        return [sample["rtt"] * 1e9 - true for sample, true in zip(samples, self.true_round_trips()) if sample["outcome"] == "ok"]


def ping(rules, *words, engine, port=None, timeout_ms=200):
    """Pings the address of every rule, through a lab that follows them; a Tried for each, by address."""
    reflector = lab.DelayLab(far, *rules)
    addresses = [rule.split()[0] for rule in rules]
    targets = addresses if port is None else [f"[{a}]:{port}" if ":" in a else f"{a}:{port}" for a in addresses]
    done = todd("try", "ping", *targets, *words, "--engine", engine, "--timeout", f"{timeout_ms}ms", "--samples", "all", "-o", "json", namespace=near)
    rows = reflector.end()
    check(done.stdout, f"{engine}: todd try prints a report ({done.stderr.strip()[:300]})")
    report = json.loads(done.stdout)["tests"][0]
    protocol = "udp" if port else "icmp"
    tried = {}
    for edge in report["edges"]:
        address = edge["address"]
        tried[address] = Tried(f"{engine}, {protocol} {address}", edge, [row for row in rows if row["to"] == address])
        tried[address].accounts()
    check(sorted(tried) == sorted(addresses), f"{engine}: an edge for each of {len(addresses)} rules")
    return tried


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def check_accuracy(tried, least_ms, most_ms):
    """Bounds for a host that does other things too: the median is not their doing, one probe in a hundred may be."""
    off = tried.errors()
    tried.check(len(off) == tried["received"] and len(off) > 0, "a sample for each answer")
    middle, far_off = quantile([abs(e) for e in off], 0.5), quantile([abs(e) for e in off], 0.99)
    print(f"     {tried.name}: |rtt - truth| {middle / 1000:.2f} us at the median, {far_off / 1000:.2f} us at p99")
    tried.check(middle < 20_000, "the median round trip is within 20 us of the truth")
    tried.check(all(e > -20_000 for e in off), "no round trip is shorter than the truth")
    rtt = tried.edge["metrics"]["rtt"]
    least, middle = rtt["min"] * 1000, rtt["p50"] * 1000
    tried.check(least_ms - 0.02 <= least and least_ms - 0.02 <= middle < most_ms + 1, f"rtt from {least_ms} ms to about {most_ms} ms, as programmed: {least:.6f}, {middle:.6f}")


def check_unanswered(tried, error=None, sender=None):
    tried.check(tried["received"] == 0 and tried["duplicate"] == 0 and tried["late"] == 0, "nothing counts as an answer")
    errors = tried.edge["metrics"].get("icmp_errors", {}).get("values", {})
    tried.check(errors == ({error: tried["sent"]} if error else {}), f"ICMP errors are {error}: {errors}")
    if sender:
        details = [example["detail"] for example in tried.edge["examples"]]
        tried.check(details and all(f"{error} from {sender} " in detail for detail in details), f"which {sender} sent: {details[:1]}")


# Seen by both protocols. 239 probes: the last of every 40th is the 200th, and its late answer comes before the run ends.
COUNT = ("--count", 239, "--interval", "5ms")
FAULTS = ["10.64.0.1 delay 1ms", "10.64.0.2 delay 2ms..8ms", "10.64.0.3 drop every 4", "10.64.0.4 drop 10% seed 3",
          "10.64.0.5 duplicate every 5 after 1ms", "10.64.0.6 hold every 3 for 20ms", "10.64.0.7 hold every 40 for 250ms",
          "10.64.0.8 from 10.64.0.88", "10.64.0.9 corrupt at 0", "10.64.0.10 corrupt every 2", "10.64.0.11 truncate 20 every 3",
          "10.64.0.20 icmp 3/1 by 10.64.0.254", "10.64.0.21 icmp 11/0", "10.64.0.22 icmp 3/4 mtu 1400", "10.64.0.23 icmp 3/3", "10.64.0.24 icmp 3/13",
          "fd64::1 delay 1ms", "fd64::2 drop every 3", "fd64::8 from fd64::88", "fd64::9 corrupt at 0",
          "fd64::20 icmp 1/3", "fd64::21 icmp 3/0 by fd64::99", "fd64::22 icmp 2/0 mtu 1300", "fd64::23 icmp 1/4"]
ICMP_ERRORS = {"10.64.0.20": ("host_unreachable", "10.64.0.254"), "10.64.0.21": ("ttl_exceeded", "10.64.0.21"),
               "10.64.0.22": ("packet_too_big", "10.64.0.22"), "10.64.0.23": ("port_unreachable", "10.64.0.23"), "10.64.0.24": ("admin_prohibited", "10.64.0.24"),
               "fd64::20": ("host_unreachable", "fd64::20"), "fd64::21": ("ttl_exceeded", "fd64::99"),
               "fd64::22": ("packet_too_big", "fd64::22"), "fd64::23": ("port_unreachable", "fd64::23")}


def check_faults(engine, *mode, port=None):
    tried = ping(FAULTS, *COUNT, *mode, engine=engine, port=port)
    check_accuracy(tried["10.64.0.1"], 1, 1)
    check_accuracy(tried["10.64.0.2"], 2, 8)
    check_accuracy(tried["fd64::1"], 1, 1)
    for address in ("10.64.0.3", "10.64.0.4", "fd64::2"):
        one = tried[address]
        one.check(one["lost"] == one.events["dropped"] > 0 and one["late"] == 0, f"lost is what the lab dropped, {one.events['dropped']}")
    doubled = tried["10.64.0.5"]
    doubled.check(doubled["duplicate"] == doubled.events["duplicate"] > 0 and doubled["lost"] == 0, "duplicate is what the lab sent twice")
    overtaken = tried["10.64.0.6"]
    overtaken.check(overtaken["received"] == overtaken["sent"] and overtaken["duplicate"] == 0, "answers that others overtook are answers")
    check_accuracy(overtaken, 0, 20)
    slow = tried["10.64.0.7"]
    slow.check_received_within(200 * MS)
    slow.check(slow["late"] == slow["lost"] == 5, "the others are lost, and came late")
    for address in ("10.64.0.8", "fd64::8", "10.64.0.9", "fd64::9"):
        check_unanswered(tried[address])
        tried[address].check(tried[address].edge["quality"]["unmatched"] >= tried[address]["sent"], "what came is unmatched")
    for address, changed in (("10.64.0.10", 2), ("10.64.0.11", 3)):
        one = tried[address]
        one.check(one["received"] == one["sent"] and one["corrupted"] == one["sent"] // changed, f"every {changed}. answer is corrupted")
    tried["10.64.0.1"].check(tried["10.64.0.1"]["corrupted"] == 0, "an honest answer is not")
    for address, (error, sender) in ICMP_ERRORS.items():
        check_unanswered(tried[address], error, sender)


def check_freeze(engine):
    """A reflector that stands still 300 ms of every second: what it holds meanwhile is late, or lost in another."""
    tried = ping(["10.64.1.1 delay 1ms freeze 300ms every 1s", "10.64.1.2 delay 1ms freeze 300ms every 1s dropping"],
                 "--count", 400, "--interval", "5ms", engine=engine, timeout_ms=103)
    held, dropping = tried["10.64.1.1"], tried["10.64.1.2"]
    held.check_received_within(103 * MS)
    # Those sent in the last 103 ms of a freeze are answered, and say how long they took.
    held.check(0.08 < held.edge["metrics"]["rtt"]["max"] < 0.1031, "rtt shows the freeze as far as the timeout lets it")
    held.check(held["late"] == held["lost"], "all the others came late")
    held.check(90 <= held["lost"] + sum(trip > 5 * MS for trip in held.true_round_trips() if trip < 103 * MS) <= 150, "about 300 ms of 1 s are touched")
    dropping.check(dropping["lost"] == dropping.events["frozen"] > 0 and dropping["late"] == 0, "lost is what was due in a freeze")


def check_too_large(engine):
    """What this host will not send whole is its own business: no packet of the network is told of it."""
    done = todd("try", "ping", f"{far.address}:9", "--mode", "udp", "--size", 3000, "--df", "set", "--count", 20, "--interval", "5ms", "--engine", engine, "-o", "json", namespace=near)
    edge = json.loads(done.stdout)["tests"][0]["edges"][0]
    check(value(edge, "unsent") == 20 and edge["quality"]["unmatched"] == 0, f"{engine}: 20 probes beyond the MTU are unsent, and nothing is unmatched: {edge['quality']}")


for engine in lab.back_ends():
    check_faults(engine)
    check_faults(engine, "--mode", "udp", port=4000)
    check_freeze(engine)
    check_too_large(engine)

# The same by ping sockets, whose errors come by another way.
lab.sh(*lab.inside(near.name, "sh", "-c", "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range"))
for engine in lab.back_ends():
    check_faults(engine)
