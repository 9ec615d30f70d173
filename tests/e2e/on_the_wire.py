"""What a test costs: the bytes of its packets, as the interface counts them, and CPU time of who measures."""
import json, os, subprocess

import lab
from lab import check, edges, inside, todd, value

ETHERNET = 14  # of the link layer, in each packet
TICK = 0.01    # the kernel's longest: so far what runs on another core is brought up to date in a process's CPU time
lab.need_namespaces()
near, far = lab.pair("near", "far")
for name, address in ((near.name, far), (far.name, near)):  # nobody asks for neighbours meanwhile
    link = json.loads(subprocess.run(inside(address.name, "ip", "-j", "link", "show", "eth0"), capture_output=True, check=True).stdout)[0]["address"]
    for host in (address.address, address.address6):
        lab.ip(name, "neigh", "replace", host, "lladdr", link, "dev", "eth0", "nud", "permanent")


def seen():
    """Packets and bytes that have left near, and that came."""
    shown = subprocess.run(inside(near.name, "ip", "-j", "-s", "link", "show", "eth0"), capture_output=True, check=True).stdout
    stats = json.loads(shown)[0]["stats64"]
    return [stats[way][unit] for way in ("tx", "rx") for unit in ("packets", "bytes")]


def ping(target, *words):
    before = seen()
    done = todd("try", "ping", target, *words, "-o", "json", namespace=near)
    check(done.stdout, f"{target}: a report ({done.stderr.strip()[:300]})")
    [edge] = json.loads(done.stdout)["tests"][0]["edges"]
    return edge, [after - before for before, after in zip(before, seen())]


lab.Process([lab.BIN / "todd", "serve", "ping", "--port", 7777], lab.scratch() / "serve.log", far)
lab.wait_for("the responder listens", lambda: "7777" in subprocess.run(inside(far.name, "ss", "-Hlun"), capture_output=True, text=True).stdout)
for engine in lab.back_ends():
    for target, ip_header in ((far.address, 20), (far.address6, 40)):
        for mode, header, words in (("icmp", 8, ["--size", 100]), ("icmp", 8, ["--sizes", "0,1000"]), ("udp", 8, ["--size", 300]), ("icmp", 8, ["--size", 56, "--via", "packet"])):
            if ip_header == 40 and "--via" in words:
                continue
            at = f"[{target}]:7777" if mode == "udp" and ip_header == 40 else f"{target}:7777" if mode == "udp" else target
            edge, (tx, tx_bytes, rx, rx_bytes) = ping(at, "--mode", mode, *words, "--count", 20, "--interval", "5ms", "--engine", engine)
            size = {"100": 100, "0,1000": 500, "300": 300, "56": 56}[str(words[1])]
            ours = 20 * (ip_header + header + size)
            what = f"{engine}: {at} {mode} {' '.join(map(str, words))}"
            check(value(edge, "sent") == value(edge, "received") == 20, f"{what}: 20 of 20")
            check(value(edge, "sent_bytes") == value(edge, "received_bytes") == ours, f"{what}: {ours} B each way ({value(edge, 'sent_bytes')}, {value(edge, 'received_bytes')})")
            # Now and then the kernel has something of its own to say (router solicitations and the like).
            for way, packets, number in (("out", tx, tx_bytes), ("in", rx, rx_bytes)):
                check(packets >= 20 and 0 <= number - ETHERNET * packets - ours <= 200 * (packets - 20), f"{what}: {way} {number} B in {packets} packets on the interface")
    # One packet of 3 fragments: its header once, while the interface sees it three times.
    edge, (tx, tx_bytes, rx, rx_bytes) = ping(far.address, "--size", 4000, "--count", 5, "--interval", "5ms", "--engine", engine)
    check(value(edge, "sent_bytes") == 5 * 4028 and tx_bytes - ETHERNET * tx >= 5 * (4028 + 2 * 20), f"{engine}: fragments repeat the header, uncounted ({tx_bytes - ETHERNET * tx})")
    # Nobody answers: there is nothing but the way out.
    lab.ip(far.name, "route", "replace", "blackhole", "10.65.0.0/16")
    edge, _ = ping("10.65.0.1", "--count", 3, "--interval", "5ms", "--timeout", "100ms", "--engine", engine)
    check((value(edge, "sent_bytes"), value(edge, "received_bytes")) == (value(edge, "sent") * 84, 0), f"{engine}: silence has no bytes")

    # CPU time grows with the work, and the threads that probe are a part of their process.
    cost = {}
    for count in (10, 300_000):
        edge, _ = ping(far.address, "--count", count, "--rate", "max", "--threads", 1, "--engine", engine)
        quality = edge["quality"]
        cost[count] = quality["lane_cpu_s"]
        check(0 < quality["lane_cpu_s"] <= min(quality["worker_cpu_s"], quality["measured_s"]) + 0.001, f"{engine}: {count} probes: {quality['lane_cpu_s'] * 1e3:.2f} ms of the lane in {quality['worker_cpu_s'] * 1e3:.2f} ms of the worker in {quality['measured_s']:.3f} s")
        check(quality["other_tasks"] == 0, f"{engine}: and it was alone")
    check(cost[300_000] > 20 * cost[10], f"{engine}: 30,000 times as many cost {cost[300_000] / cost[10]:.0f} times as much")
    # The periods of two threads overlap, and the process is one: besides them there is next to nothing.
    done = todd("try", "ping", far.address, far.address6, "--count", 200_000, "--rate", "max", "--threads", 2, "--period", "100ms", "--engine", engine, "-o", "json", namespace=near)
    quality, other = (edge["quality"] for edge in json.loads(done.stdout)["tests"][0]["edges"])
    check(quality["lane_cpu_s"] <= quality["worker_cpu_s"] + 2 * TICK and quality["worker_cpu_s"] <= 1.05 * os.cpu_count() * quality["measured_s"],
          f"{engine}: two threads: {quality['lane_cpu_s'] * 1e3:.2f} ms of {quality['worker_cpu_s'] * 1e3:.2f} ms of the worker in {quality['measured_s']:.3f} s")
    check(quality["worker_cpu_s"] < 1.5 * quality["lane_cpu_s"] and quality == other, f"{engine}: counted once")
    # The warm-up is a second of as fast as it goes, which is in none of it.
    edge, _ = ping(far.address, "--count", 10, "--rate", "max", "--warm-up", "1s", "--timeout", "100ms", "--threads", 1, "--engine", engine)
    check(edge["quality"]["worker_cpu_s"] < 0.25, f"{engine}: {edge['quality']['worker_cpu_s'] * 1e3:.2f} ms without the warm-up")

# Two tests of one agent at a time know of each other.
work = lab.scratch()
fleet = lab.Fleet(work, near, near.address)
fleet.add_agent("one", near)
suite = work / "company.yaml"
suite.write_text(f"""
apiVersion: todd/v1
kind: Suite
metadata: {{name: company}}
spec:
  tests:
    - {{name: a, testlet: ping, from: {{agent: one}}, to: {{hosts: [{far.address}]}}, params: {{duration: 2s, interval: 10ms}}}}
    - {{name: b, testlet: ping, parallel: true, from: {{agent: one}}, to: {{hosts: [{far.address6}]}}, params: {{duration: 2s, interval: 10ms}}}}
    - {{name: c, testlet: ping, from: {{agent: one}}, to: {{hosts: [{far.address6}]}}, params: {{count: 5, interval: 10ms}}}}
""")
report, code = fleet.json("run", suite)
check(code == 0, f"the suite passes ({code})")
company = [edges(report, name)[0]["quality"]["other_tasks"] for name in "abc"]
check(company == [1, 1, 0], f"two at a time, then one alone ({company})")
