"""What ping in mode udp says of each way: the queue of a router, put into one direction at a time, delays and drops there alone."""
import json, re, subprocess

import lab
from lab import check, edges, todd, value

lab.need_namespaces()
[TC] = lab.need_programs(tc="iproute2")
near, far = lab.Namespace("near", 1), lab.Namespace("far", 2)
PORTS = {"forward": "p2", "back": "p1"}  # of the hub between them: towards far, towards near


def tc(*words):
    done = subprocess.run(lab.inside(lab.Namespace.bridge, TC, *words), capture_output=True, text=True)
    if done.returncode != 0:
        lab.skip(f"this kernel has no token bucket: {done.stderr.strip()}")
    return done.stdout


class Narrow:
    """8 Mbit/s, so that a probe of 1,000 bytes takes about a millisecond, and room for so many of them."""

    def __init__(self, way, room):
        self.port, self.room = PORTS[way], room

    def __enter__(self):
        tc("qdisc", "add", "dev", self.port, "root", "tbf", "rate", "8mbit", "burst", "2100", "limit", self.room * 1042)
        return self

    def __exit__(self, *_):
        tc("qdisc", "del", "dev", self.port, "root")

    def dropped(self):
        return int(re.search(r"dropped (\d+)", tc("-s", "qdisc", "show", "dev", self.port))[1])


def ping(engine, port, *words):
    done = todd("try", "ping", f"{far.address}:{port}", "--mode", "udp", "--engine", engine, "--size", 1000, "-o", "json", *words, namespace=near)
    check(done.stdout, f"{engine}: a report ({done.stderr.strip()[:300]})")
    [edge] = json.loads(done.stdout)["tests"][0]["edges"]
    return edge


for engine in lab.back_ends():
    log = lab.scratch() / "serve.log"
    server = lab.Process([lab.BIN / "todd", "serve", "ping", "--engine", engine], log, far)
    port = lab.wait_for("the responder listens", lambda: re.search(r"port (\d+)", log.read_text()))[1]

    for way, other in (("forward", "back"), ("back", "forward")):
        # Bursts of 20: the last of each waits for 19 ms, and nothing is dropped.
        with Narrow(way, 100) as narrow:
            edge = ping(engine, port, "--count", 400, "--burst", 20, "--interval", "100ms")
            metrics = edge["metrics"]
            slow, quick = metrics[f"delay_{way}"], metrics[f"delay_{other}"]
            check(narrow.dropped() == value(edge, "lost") == 0 and slow["count"] == 400, f"{engine}: {way}: nothing is lost")
            check(slow["p90"] > 0.012 and slow["p50"] > 4 * quick["p50"], f"{engine}: the queue is on the way {way}: {slow['p50'] * 1e3:.2f} ms, the other way {quick['p50'] * 1e3:.2f} ms")
            parts = sum(metrics[name]["mean"] for name in ("delay_forward", "delay_back", "processing"))
            check(abs(parts - metrics["rtt"]["mean"]) < 1e-6, f"{engine}: the ways and the responder make up the round trip")
            check(metrics["clock_error"]["value"] < 1e-4, f"{engine}: one kernel, one clock ({metrics['clock_error']['value']})")

        # Bursts of 40 with room for 10, and one probe after them that tells.
        with Narrow(way, 10) as narrow:
            edge = ping(engine, port, "--count", 401, "--burst", 40, "--interval", "200ms", "--timeout", "300ms")
            dropped, lost = narrow.dropped(), value(edge, "lost")
            check(dropped == lost > 100, f"{engine}: {way}: the queue dropped {dropped}, and {lost} are lost")
            check(value(edge, f"lost_{way}") == lost and value(edge, f"lost_{other}") == 0, f"{engine}: {value(edge, 'lost_' + way)} on the way {way}")
    # More at once than the responder is told of in one go: each reply is that of its probe.
    edge = ping(engine, port, "--rate", "max", "--duration", "1s")
    check(value(edge, "received") > 5_000 and value(edge, "duplicate") == 0, f"{engine}: as fast as it goes: {value(edge, 'received')} answered, {value(edge, 'duplicate')} of them twice")
    server.stop()

# A plain echo service and probes without room for the report work as ever.
service = lab.udp_echo()
for words in (["--count", 5], ["--count", 5, "--size", 20], ["--count", 5, "--one-way", "false"]):
    done = todd("try", "ping", f"127.0.0.1:{service}", "--mode", "udp", "--interval", "10ms", "-o", "json", *words)
    [edge] = json.loads(done.stdout)["tests"][0]["edges"]
    check(done.returncode == 0 and value(edge, "received") == 5 and value(edge, "corrupted") == 0, f"an echo service answers {' '.join(map(str, words))}")
    check("delay_forward" not in edge["metrics"] and "processing" not in edge["metrics"], "and reports nothing")

# Agents of different kernels, as far as they can tell: each sees another id of its boot. The coordinator compares their clocks.
work = lab.scratch()
hub = lab.Namespace("mid", 3)
fleet = lab.Fleet(work, hub, hub.address)
BOOT = "/proc/sys/kernel/random/boot_id"
for name, namespace in (("one", near), ("two", far)):
    (work / f"boot-{name}").write_text(f"another kernel, of {name}\n")
    prefix = ["unshare", "--mount", "sh", "-c", f'mount --bind {work}/boot-{name} {BOOT} && exec "$@"', "sh"]
    if subprocess.run(prefix + ["true"], stderr=subprocess.DEVNULL).returncode != 0:
        lab.skip("no namespace of mounts can be made here, to give agents a kernel of their own")
    fleet.add_agent(name, namespace, test_address=(namespace.address, namespace.address6), labels=["site=x"], prefix=prefix)
suite = work / "ways.yaml"
suite.write_text("""
apiVersion: todd/v1
kind: Group
metadata: {name: all}
spec: {match: {label: {site: "*"}}}
---
apiVersion: todd/v1
kind: Suite
metadata: {name: ways}
spec:
  tests:
    - {name: ways, testlet: ping, from: all, to: all, params: {mode: udp, count: 100, interval: 10ms}, expect: [loss == 0%]}
    - {name: pairs, testlet: ping, from: all, to: all, family: both, params: {count: 10, interval: 10ms}, expect: [loss == 0%]}
""")
report, code = fleet.json("run", suite)
check(code == 0, f"the suite passes ({code})")
for edge in edges(report, "ways"):
    metrics = edge["metrics"]
    error = metrics["clock_error"]["value"]
    check(metrics["delay_forward"]["count"] == 100 and 0 < error < 0.02, f"{edge['source']['agent']}: both ways, by clocks known to {error * 1e6:.0f} us")
    # The clocks are the same in truth, so what the estimate is wrong by shows: it must be within the stated error.
    for name in ("delay_forward", "delay_back"):
        check(metrics[name]["p50"] < metrics["rtt"]["p50"] / 2 + error + 2e-4, f"{edge['source']['agent']}: {name} {metrics[name]['p50'] * 1e6:.0f} us is right within that")
pairs = sorted((edge["source"]["agent"], edge["target"]["name"], edge["address"]) for edge in edges(report, "pairs"))
check(pairs == [("one", "two", far.address), ("one", "two", far.address6), ("two", "one", near.address), ("two", "one", near.address6)], f"family both: each pair of agents by both families ({pairs})")
check(all(value(edge, "received") == 10 for edge in edges(report, "pairs")), "and all answer")
