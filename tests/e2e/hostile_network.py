"""Answers that are none, more probes under way than may be, an interface that goes for good: nothing of it is counted as what it is
not."""
import json, subprocess, sys

import lab
from lab import check, todd, value

lab.need_namespaces()
lab.need_icmp()
NAMES = ("planned", "unsent", "sent", "received", "lost", "late", "duplicate", "undetermined")


def ping(namespace, *words, engine, codes):
    """The edges of a test by address, whose books balance."""
    done = todd("try", "ping", *words, "--engine", engine, "-o", "json", namespace=namespace)
    check(done.returncode in codes, f"{engine}: todd try ping {' '.join(map(str, words))} exits {done.returncode}: {done.stderr.strip()[:300]}")
    found = {edge["address"]: edge for edge in json.loads(done.stdout)["tests"][0]["edges"]}
    for address, edge in found.items():
        counts = numbers(edge)
        check(counts["planned"] == counts["sent"] + counts["unsent"] and counts["sent"] == counts["received"] + counts["lost"] + counts["undetermined"],
              f"{engine}: the books of {address} balance: {counts}")
    return found


def numbers(edge):
    return {name: value(edge, name) for name in NAMES}


def reasons(edge):
    return {f"{example['outcome']}: {example['detail']}" for example in edge["examples"]}


def check_forgeries(near, engine, ping_socket, *words):
    """tests/e2e/forger.py says which address lies in which way."""
    count = 50
    found = ping(near, *(f"10.66.0.{i}" for i in range(1, 13)), "--count", count, "--interval", "20ms", "--timeout", "300ms", *words, engine=engine, codes=(1,))
    how = f"{engine}, {'a ping socket' if ping_socket else 'a raw socket'}"
    check(numbers(found["10.66.0.1"])["received"] == count, f"{how}: honest answers count: {numbers(found['10.66.0.1'])}")
    for last, what in ((2, "cut after the header"), (3, "cut in the header"), (4, "with a wrong ident"), (5, "with a wrong sequence"), (6, "with a wrong cookie"),
                       (7, "from another address"), (10, "with a wrong checksum"), (11, "that are requests"), (12, "cut in the cookie")):
        counts = numbers(found[f"10.66.0.{last}"])
        check(counts["received"] == counts["duplicate"] == counts["late"] == 0 and counts["lost"] == count, f"{how}: answers {what} are none: {counts}")
    doubled = numbers(found["10.66.0.8"])
    check(doubled["received"] == doubled["duplicate"] == count, f"{how}: the second of two is a duplicate: {doubled}")
    overtaken = found["10.66.0.9"]
    check(numbers(overtaken)["received"] == count and numbers(overtaken)["duplicate"] == 0 and overtaken["metrics"]["rtt"]["min"] >= 0.01,
          f"{how}: forgeries that come first change nothing: {numbers(overtaken)}, rtt from {overtaken['metrics']['rtt']['min']}")


def check_cut_datagrams(near, far, engine):
    """Too short to hold the key that proves an answer."""
    reflector = lab.DelayLab(far, "10.67.0.1 truncate 7", "10.67.0.2 delay 1ms")
    found = ping(near, "10.67.0.1:4000", "10.67.0.2:4000", "--mode", "udp", "--count", 50, "--interval", "5ms", "--timeout", "200ms", engine=engine, codes=(1,))
    reflector.end()
    cut = found["10.67.0.1"]
    check(value(cut, "lost") == 50 and value(found["10.67.0.2"], "received") == 50 and cut["quality"]["unmatched"] >= 50, f"{engine}: datagrams cut in the key answer nothing: {numbers(cut)}")


def check_full_table(near, engine, *words):
    """Nobody answers for 3 s, and 100,000 are due in the first two."""
    edge = next(iter(ping(near, "10.65.0.1", "--count", 100_000, "--rate", 50_000, "--timeout", "3s", *words, engine=engine, codes=(5,)).values()))
    counts = numbers(edge)
    check(counts["planned"] == 100_000 and counts["received"] == 0 and 0 < counts["sent"] == counts["lost"] < 100_000, f"{engine} {' '.join(words)}: the rest is unsent: {counts}")
    check(any(f"only {counts['sent']} may leave meanwhile" in reason for reason in reasons(edge)) and "unsent" in edge["quality"]["causes"],
          f"{engine}: which is said: {reasons(edge)}")


def check_interface_deleted(engine, *words, port=None):
    """A pair of its own, for it does not come back. Replies take 20 ms, so that some are under way when it goes."""
    near, far = lab.pair(f"near{len(ends)}", f"far{len(ends)}")
    ends.append((near, far))
    if "--unprivileged" in words:
        allow_ping_sockets(near)
    lab.ip(near.name, "route", "add", "10.67.0.0/16", "via", far.address)
    reflector = lab.DelayLab(far, "10.67.0.1 delay 20ms")
    target = f"10.67.0.1:{port}" if port else "10.67.0.1"
    gone = subprocess.Popen(lab.inside(near.name, "sh", "-c", "sleep 0.7; ip link del eth0"))
    edge = next(iter(ping(near, target, "--count", 1000, "--interval", "2ms", "--timeout", "300ms", *words, engine=engine, codes=(5,)).values()))
    gone.wait()
    lab.wait_for("the far end has lost its interface, too", lambda: b"eth0" not in subprocess.run(lab.inside(far.name, "ip", "link"), capture_output=True).stdout)
    how, counts = f"{engine} {' '.join(words)}", numbers(edge)
    check(edge["state"] == "complete" and counts["planned"] == 1000, f"{how}: the test goes on to its end without the interface: {edge['state']}, {counts}")
    check(counts["received"] >= 100 and counts["unsent"] >= 300, f"{how}: received before, unsent after")
    # 20 ms of probes were under way, and their answers went with the interface.
    check(counts["lost"] + counts["undetermined"] <= 25, f"{how}: lost is at most what was under way")
    check(any("local_error: Network is unreachable" in r or "local_error: No such device" in r for r in reasons(edge)), f"{how}: why is said: {reasons(edge)}")
    check("unsent" in edge["quality"]["causes"] and edge["verdict"] == "unknown", f"{how}: and nothing is concluded: {edge['verdict']}")


def allow_ping_sockets(namespace):
    lab.sh(*lab.inside(namespace.name, "sh", "-c", "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range"))


ends = []
near, far = lab.pair("near", "far")
lab.ip(far.name, "route", "add", "local", "10.66.0.0/24", "dev", "lo")
lab.ip(far.name, "route", "add", "blackhole", "10.65.0.0/16")
lab.sh(*lab.inside(far.name, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all"))
for prefix in ("10.65.0.0/16", "10.66.0.0/16", "10.67.0.0/16"):
    lab.ip(near.name, "route", "add", prefix, "via", far.address)
log = lab.scratch() / "forger.log"
lab.Process([sys.executable, lab.SOURCE / "tests/e2e/forger.py"], log, far)
lab.wait_for("the forger is ready", lambda: "ready" in log.read_text())

engines = lab.back_ends()
for engine in engines:
    check_forgeries(near, engine, False)
    check_forgeries(near, engine, False, "--via", "packet")
    check_cut_datagrams(near, far, engine)
    check_full_table(near, engine)
    check_full_table(near, engine, "--via", "packet")
    check_interface_deleted(engine)
    check_interface_deleted(engine, "--via", "packet")
    check_interface_deleted(engine, "--mode", "udp", port=4000)
    check_interface_deleted(engine, "--interface", "eth0")
allow_ping_sockets(near)
for engine in engines:
    check_forgeries(near, engine, True, "--unprivileged")
    check_interface_deleted(engine, "--unprivileged")
