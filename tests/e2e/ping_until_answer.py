"""ping with until_answer: who has answered is asked no more, and when everybody has the run is over."""
import json, subprocess

import lab
from lab import check, edges, todd, value

lab.need_namespaces()
near, far = lab.pair("near", "far")
PORT = 8080
lab.Process(["python3", "-m", "http.server", "-b", "::", PORT], lab.scratch() / "server.log", far)
lab.wait_for("the server listens", lambda: subprocess.run(lab.inside(near.name, "python3", "-c", f"import socket; socket.create_connection(('{far.address}', {PORT}), 1)"), stderr=subprocess.DEVNULL).returncode == 0)


def counts(edge):
    return tuple(value(edge, name) for name in ("planned", "sent", "received", "unsent"))


def ping(*words):
    """The edges by address, the total and the seconds that it took."""
    done = todd("try", "ping", "--until-answer", "true", *words, "-o", "json", namespace=near)
    check(done.stdout, f"{words}: a report ({done.stderr.strip()[:300]})")
    [test] = json.loads(done.stdout)["tests"]
    return {edge["address"]: edge for edge in test["edges"]}, test, done.returncode


for engine in lab.back_ends():
    for mode, answering, silent, words in (("icmp", "10.64.0.1", "10.64.0.2", []), ("udp", "10.64.0.1", "10.64.0.2", []), ("udp", "10.64.0.1", "10.64.0.2", ["--flows", 3]),
                                           ("tcp", far.address, "10.64.0.2", [])):
        delay_lab = lab.DelayLab(far, "10.64.0.1 delay 1ms", "10.64.0.2 drop")
        targets = [f"{host}:{PORT}" if mode == "tcp" else host for host in (answering, silent)]
        found, test, code = ping(*targets, "--mode", mode, *words, "--count", 5, "--interval", "300ms", "--timeout", "200ms", "--engine", engine,
                                 "--expect", "50% of edges: received > 0", "--expect", "total: received >= 1")
        came = [row["to"] for row in delay_lab.end()]
        what = f"{engine}: {mode} {words}"
        check(counts(found[answering]) == (1, 1, 1, 0), f"{what}: one probe was enough ({counts(found[answering])})")
        check(counts(found[silent]) == (5, 5, 0, 0), f"{what}: five to who is silent ({counts(found[silent])})")
        check(mode == "tcp" or (came.count(answering), came.count(silent)) == (1, 5), f"{what}: and so they came ({len(came)})")
        check(code == 0 and test["verdict"] == "pass", f"{what}: half of the targets answer ({code})")

    # A day of probes if anybody were silent. Of the second one an answer is seldom seen.
    delay_lab = lab.DelayLab(far, "10.64.0.1 delay 1ms", "10.64.0.3 delay 150ms freeze 900ms every 1s dropping")
    found, test, code = ping("10.64.0.1", "10.64.0.3", "--interval", "300ms", "--timeout", "200ms", "--duration", "1d", "--engine", engine)
    delay_lab.end()
    check(counts(found["10.64.0.1"]) == (1, 1, 1, 0) and all(edge["state"] == "complete" for edge in found.values()), f"{engine}: over as soon as everybody has answered")
    planned, sent, received, unsent = counts(found["10.64.0.3"])
    check(planned == sent > received == 1 and value(found["10.64.0.3"], "lost") == sent - 1, f"{engine}: the other one was asked {sent} times")

    # What the warm-up has learned is of no use to who counts.
    delay_lab = lab.DelayLab(far, "10.64.0.1 delay 1ms")
    found, test, code = ping("10.64.0.1", "--interval", "200ms", "--timeout", "100ms", "--count", 5, "--warm-up", "1s", "--engine", engine)
    check(counts(found["10.64.0.1"]) == (1, 1, 1, 0), f"{engine}: asked again behind the warm-up")
    check([row["to"] for row in delay_lab.end()] == ["10.64.0.1"] * 2, f"{engine}: and once in it")

    # On as many lanes as there are cores, with targets that are silent on each of them. A round takes half a second.
    done = todd("try", "ping", "--until-answer", "true", "127.0.0.0/16", "192.0.2.0/28", "--rate", "130k", "--yes", "--count", 3, "--timeout", "300ms", "--engine", engine, "-o", "jsonl", namespace=near)
    check(done.stdout, f"{engine}: a report ({done.stderr.strip()[:300]})")
    total = {name: metric["value"] for name, metric in json.loads(done.stdout.splitlines()[0])["tests"][0]["total"].items() if "value" in metric}
    check(total["planned"] == total["sent"] + total["unsent"] and 65534 <= total["received"] + total["unsent"] and total["planned"] < 1.5 * 65534, f"{engine}: 65,534 targets answer, 14 do not: {[(name, total[name]) for name in ('planned', 'sent', 'received', 'unsent', 'lost')]}")
    check(total["sent"] - total["received"] >= 3 * 14, f"{engine}: who is silent was asked three times")

# Each family of a pair has an answer of its own.
work = lab.scratch()
fleet = lab.Fleet(work, near, near.address)
for name, namespace in (("one", near), ("two", far)):
    fleet.add_agent(name, namespace, test_address=(namespace.address, namespace.address6), labels=["site=x"])
suite = work / "once.yaml"
suite.write_text("""
apiVersion: todd/v1
kind: Group
metadata: {name: all}
spec: {match: {label: {site: "*"}}}
---
apiVersion: todd/v1
kind: Suite
metadata: {name: once}
spec:
  tests:
    - {name: icmp, testlet: ping, from: all, to: all, family: both, params: {count: 20, interval: 300ms, until_answer: true}}
    - {name: udp, testlet: ping, from: all, to: all, family: both, params: {mode: udp, count: 20, interval: 300ms, until_answer: true, flows: 2}}
""")
report, code = fleet.json("run", suite)
check(code == 0, f"the suite passes ({code})")
for name in ("icmp", "udp"):
    pairs = {(edge["source"]["agent"], edge["address"]): counts(edge) for edge in edges(report, name)}
    check(len(pairs) == 4 and set(pairs.values()) == {(1, 1, 1, 0)}, f"{name}: one probe for each pair and family: {pairs}")
