"""ping --mode tcp: handshakes counted as probes, and who is to blame where there is none."""
import json, subprocess

import lab
from lab import check, edges, value

lab.need_namespaces()
near, far = lab.pair("near", "far")
# Behind the far end: a host that never answers, and networks it refuses to carry to.
lab.ip(far.name, "route", "add", "unreachable", "203.0.113.0/25")
lab.ip(far.name, "route", "add", "blackhole", "203.0.113.128/25")
lab.sh(*lab.inside(far.name, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0"))
lab.ip(near.name, "route", "add", "203.0.113.0/24", "via", far.address)
lab.ip(near.name, "route", "add", "unreachable", "192.0.2.0/24")
# The second one for floods, which its queue of connections takes a while to get over.
for port in (8080, 8081):
    lab.Process(["python3", "-m", "http.server", "-b", "::", port], lab.scratch() / "server.log", far)
    lab.wait_for("the server listens", lambda: subprocess.run(lab.inside(near.name, "python3", "-c", f"import socket; socket.create_connection(('{far.address}', {port}), 1)"), stderr=subprocess.DEVNULL).returncode == 0)


def ping(target, *words):
    done = lab.todd("try", "ping", target, "--mode", "tcp", "--count", 5, "--interval", "10ms", "--timeout", "700ms", "-o", "json", *words, namespace=near)
    check(done.stdout, f"{target}: a report ({done.stderr.strip()[:200]})")
    return edges(json.loads(done.stdout), "ping")[0], done.returncode


for engine in lab.back_ends():
    words = ["--engine", engine]
    for target in (f"{far.address}:8080", f"[{far.address6}]:8080"):
        edge, code = ping(target, *words, "--samples", "all")
        check(code == 0 and value(edge, "sent") == value(edge, "received") == 5, f"{engine}: {target}: 5 of 5")
        check(all(s["outcome"] == "ok" and s["tx_stamp"] == "kernel" and 0 < s["rtt"] < 0.1 for s in edge["samples"]), f"{engine}: timed by the kernel")
    for target, error in ((f"{far.address}:81", "refused"), ("203.0.113.1:80", "unreachable"), ("203.0.113.200:80", "timeout")):
        edge, code = ping(target, *words)
        errors = edge["metrics"]["connect_errors"]["values"]
        # The kernel may pass over an ICMP error that comes while it is still busy with the SYN.
        check(code == 1 and value(edge, "sent") == value(edge, "lost") == 5 == sum(errors.values()) and errors.get(error, 0) > 2, f"{engine}: {target}: {error}, and lost ({errors})")
    done = lab.todd("try", "http", "http://203.0.113.1/", "--count", 2, "--interval", "10ms", *words, namespace=near)
    check("unreachable" in done.stdout, f"{engine}: http says so too ({done.stdout})")
    edge, code = ping("192.0.2.1:80", *words)
    check(code == 5 and value(edge, "unsent") == 5 and value(edge, "lost") == 0 == value(edge, "sent"), f"{engine}: without a route nothing leaves, and nothing is lost")
    done = lab.todd("try", "ping", f"{far.address}:8081", "--mode", "tcp", *words, "--rate", "max", "--count", 3000, "-o", "json", namespace=near)
    edge, code = edges(json.loads(done.stdout), "ping")[0], done.returncode
    check(value(edge, "sent") == value(edge, "received") + value(edge, "lost") == 3000 and edge["state"] == "complete", f"{engine}: 3,000 as fast as they go, all accounted for ({[(k, value(edge, k)) for k in ('planned', 'sent', 'received', 'lost', 'unsent', 'undetermined')]}, {code})")

for words, text in (([far.address], "mode tcp needs a port"), ([f"{far.address}:80", "--size", "100"], "mode tcp sends no payload")):
    done = lab.todd("try", "ping", *words, "--mode", "tcp", namespace=near)
    check(done.returncode == 2 and text in done.stderr, f"{words}: {text} ({done.returncode}: {done.stderr.strip()[:200]})")

# Between agents the responder opens the door.
fleet = lab.Fleet(lab.scratch())
for n in (1, 2):
    fleet.add_agent(f"a{n}", test_address=f"127.0.0.1{n}", labels=["site=x"])
suite = lab.scratch() / "doors.yaml"
suite.write_text("""
apiVersion: todd/v1
kind: Group
metadata: {name: all}
spec: {match: {label: {site: "*"}}}
---
apiVersion: todd/v1
kind: Suite
metadata: {name: doors}
spec:
  tests:
    - {name: doors, testlet: ping, from: all, to: all, params: {mode: tcp, count: 20, interval: 5ms}, expect: [loss == 0%]}
""")
report, code = fleet.json("run", suite)
check(code == 0 and [value(e, "received") for e in edges(report, "doors")] == [20, 20], f"agents open connections to each other ({code})")
