"""--via packet: ICMP probes as frames past the sender's own IP, and where they cannot go that way."""
import json, statistics, subprocess

import lab
from lab import check, edges, value
from truth import Truth

lab.need_namespaces()
lab.need_icmp()
near, far = lab.pair("near", "far")
BEHIND, MANY = "10.77.0.9", "10.77.0.0/20"
lab.ip(far.name, "route", "add", "local", "10.77.0.0/16", "dev", "lo")
lab.ip(near.name, "route", "add", "10.77.0.0/16", "via", far.address)
lab.sh(*lab.inside(near.name, "ping", "-c", "1", "-W", "2", far.address))
SENT_BY_IP = "OutRequests"


def ip_counter(name):
    """A counter of the near namespace's IP; frames do not pass it."""
    lines = [line.split() for line in subprocess.run(lab.inside(near.name, "cat", "/proc/net/snmp"), capture_output=True, text=True, check=True).stdout.splitlines() if line.startswith("Ip:")]
    return int(lines[1][lines[0].index(name)])


def try_ping(target, *words, code=0, **more):
    """The edges of a test, and how many packets the near side's IP sent for it."""
    before = ip_counter(SENT_BY_IP)
    done = lab.todd("try", "ping", target, "-o", "json", *words, namespace=near, **more)
    check(done.returncode == code, f"ping {target} {' '.join(map(str, words))} exits {code} ({done.returncode}: {done.stderr.strip()[:200]})")
    return (edges(json.loads(done.stdout), "ping") if done.stdout else None), ip_counter(SENT_BY_IP) - before, done.stderr


def total(found, metric):
    return sum(value(edge, metric) or 0 for edge in found)


for engine in lab.back_ends():
    words = ["--engine", engine]
    for via, by_ip in (("packet", False), ("socket", True), ("auto", False)):
        found, sent, _ = try_ping(MANY, "--count", 2, "--rate", "max", "--via", via, *words)
        check(total(found, "received") == 2 * 4094 and total(found, "lost") == 0, f"{engine}: via {via} all of {MANY} answer")
        check((sent > 4000) == by_ip, f"{engine}: via {via} IP sent {sent}")
    found, sent, _ = try_ping(MANY, "--count", 2, "--rate", "max", "--mark", 7, *words)
    check(total(found, "received") == 2 * 4094 and sent > 4000, f"{engine}: auto leaves marked probes to the socket, as frames have no mark ({sent})")
    _, sent, _ = try_ping(BEHIND, "--count", 50, "--interval", "2ms", *words)
    check(sent >= 50, f"{engine}: auto leaves a slow test to the socket ({sent})")

    # The times are as true as the sockets': the kernel stamps frames, too.
    truth = Truth(near, far)
    found, sent, _ = try_ping(BEHIND, "--count", 200, "--interval", "2ms", "--via", "packet", "--samples", "all", *words)
    real = truth.end()
    seen = [1e9 * sample["rtt"] for sample in found[0]["samples"]]
    errors = sorted(abs(a - b) for a, b in zip(seen, real))
    check(sent < 50 and len(seen) == len(real) == 200, f"{engine}: 200 frames went and came")
    check({s["tx_stamp"] for s in found[0]["samples"]} == {"kernel"}, f"{engine}: the kernel stamped their departures")
    check(statistics.median(errors) < 20_000, f"{engine}: |rtt - truth| {statistics.median(errors):.0f} ns (median)")
    found, _, _ = try_ping(BEHIND, "--count", 2, "--interval", "2ms", "--via", "packet", "--ttl", 9, "--dscp", 46, *words)
    check(value(found[0], "received") == 2, f"{engine}: with a TTL and a DSCP of their own")
    heard = found[0]["metrics"]["reply_dscp"]["values"]
    check(heard == {"46": 2}, f"{engine}: which came back: {heard}")

    # What cannot leave so goes through the socket.
    for what, target, more in (("an address without a gateway", far.address, ()), ("more than 576 bytes", BEHIND, ("--size", 1000)), ("IPv6", far.address6, ())):
        found, sent, _ = try_ping(target, "--count", 5, "--interval", "2ms", "--via", "packet", *more, *words)
        check(value(found[0], "received") == 5 and (sent >= 5 or ":" in target), f"{engine}: {what} goes through the socket ({sent})")
    lab.ip(near.name, "rule", "add", "from", "192.0.2.99", "lookup", "100")
    found, sent, _ = try_ping(BEHIND, "--count", 5, "--interval", "2ms", "--via", "packet", *words)
    lab.ip(near.name, "rule", "del", "from", "192.0.2.99", "lookup", "100")
    check(value(found[0], "received") == 5 and sent >= 5, f"{engine}: rules for routes leave it to the kernel ({sent})")

    # A neighbour that is not known yet, and a gateway that never answers.
    lab.ip(near.name, "neigh", "flush", "all")
    found, sent, _ = try_ping(BEHIND, "--count", 60, "--interval", "5ms", "--via", "packet", *words)
    check(value(found[0], "received") == 60 and 1 <= sent < 50, f"{engine}: the socket finds the gateway, then frames go ({sent} by IP)")
    lab.ip(near.name, "route", "add", "10.77.3.0/24", "via", "192.0.2.250")
    found, _, _ = try_ping("10.77.3.4", "--count", 2, "--interval", "2ms", "--timeout", "300ms", "--via", "packet", *words, code=1)
    check(value(found[0], "received") == 0, f"{engine}: a gateway that is not there is no way")
    lab.ip(near.name, "route", "del", "10.77.3.0/24")

# The interface goes in mid-run (its IPv6 addresses do not come back with it).
for engine in lab.back_ends():
    words = ["--engine", engine]
    process = subprocess.Popen(lab.inside(near.name, "sh", "-c", "sleep 0.7; ip link set eth0 down; sleep 0.7; ip link set eth0 up; ip route add 10.77.0.0/16 via " + far.address))
    found, _, _ = try_ping(BEHIND, "--count", 200, "--interval", "10ms", "--timeout", "300ms", "--via", "packet", "--allow-incomplete", *words, code=0)
    process.wait()
    edge = found[0]
    numbers = {name: value(edge, name) for name in ("planned", "sent", "unsent", "received", "lost", "undetermined")}
    check(numbers["unsent"] >= 30 and numbers["received"] >= 60 and numbers["lost"] <= 3, f"{engine}: while the interface is down probes are unsent, not lost {numbers}")
    check(numbers["planned"] == numbers["sent"] + numbers["unsent"] and numbers["sent"] == numbers["received"] + numbers["lost"] + numbers["undetermined"], f"{engine}: the books balance")

_, _, said = try_ping(BEHIND, "--via", "packet", "--df", "set", code=2)
check("packet goes by the routes; leave out source" in said, f"packet with a way of its own is refused: {said.strip()}")
