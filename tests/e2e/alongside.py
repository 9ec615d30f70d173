"""A ping alongside iperf through a bottleneck whose queue is known: what it tells of the idle and of the loaded path, by agents and by
`todd try`; and what happens when one of the two cannot run. Once per back end."""
import json

import lab
from lab import check

lab.need_namespaces()
lab.need_programs(tc="iproute2")

RATE, QUEUE = 20e6, 250_000  # bit/s, bytes: full for as long as iperf sends more
FULL_S = QUEUE * 8 / RATE

SUITE = """
tests:
  - name: bulk
    testlet: iperf
    from: {agent: near}
    to: {agent: far}
    params: {protocol: udp, bitrate: 30M, duration: 3s}
    alongside:
      - {testlet: ping}
      - {testlet: ping, name: ways, params: {mode: udp}, before: 1s, expect: [p50(loaded.delay_forward) > 50ms, p50(loaded.delay_back) < 30ms]}
      - {testlet: ping, name: web, params: {mode: tcp}, before: 4s}
    expect:
      - throughput > 15M
"""
AMBIGUOUS = "      - p50(loaded.delay_forward) > 50ms\n"
OTHER = """
tests:
  - name: bulk
    testlet: iperf
    from: {agent: near}
    to: {hosts: ["FAR:1"]}
    params: {duration: 1s}
    alongside: {testlet: ping}
"""


def test_of(report, name):
    return next(t for t in report["tests"] if t["name"] == name)


def rtt(edge, window, what="p50", metric="rtt"):
    return edge[window][metric][what]


def is_late(report):
    """Whether the host was too busy for anything to be concluded."""
    return any(e["quality"]["grade"] == "suspect" for t in report["tests"] for e in t["edges"])


def shape(port):
    """What leaves the hub by the port goes through a token bucket."""
    lab.sh(*lab.inside(lab.Namespace.bridge, "tc", "qdisc", "replace", "dev", port, "root", "tbf", "rate", f"{RATE:.0f}bit", "burst", "5k", "limit", QUEUE))


near, far = lab.Namespace("near", 1), lab.Namespace("far", 2)
shape("p2")

for engine in lab.back_ends():
    work = lab.scratch()
    fleet = lab.Fleet(work, near, near.address, engine=engine)
    agents = [fleet.add_agent(space, namespace, namespace.address) for space, namespace in (("near", near), ("far", far))]

    # All three have the metric.
    path = work / "suite.yaml"
    path.write_text(SUITE + AMBIGUOUS)
    done = fleet.todd("run", path)
    check(done.returncode == 2 and "suite.yaml:14:9: expectation" in done.stderr and "both bulk+ping and bulk+ways have that" in done.stderr, f"{engine}: whose latency is meant must be clear: {done.stderr.strip()}")
    path.write_text(SUITE)

    plan = fleet.todd("run", path, "--dry-run").stdout
    check("bulk+ping (ping" in plan and "alongside bulk, from 2 s before to 1 s after it" in plan, f"{engine}: the plan shows it")
    check("about 9.1 s" in plan, f"{engine}: and how long all take: 4 s before, 3 s, and 2.1 s after: {plan}")

    report, code = fleet.json("run", path)
    bulk, ping, ways, web = (test_of(report, name) for name in ("bulk", "bulk+ping", "bulk+ways", "bulk+web"))
    edge = bulk["edges"][0]
    check(edge["state"] == "complete" and edge["metrics"]["throughput"]["value"] > 15e6 and (bulk["verdict"] == "pass" or is_late(report)), f"{engine}: iperf fills the link: {edge['metrics']['throughput']['value'] / 1e6:.2f} Mbit/s")
    check(web["edges"][0]["state"] != "error" and ping["alongside"] == "bulk", f"{engine}: the handshakes found the port that their own responder opened: {web['edges'][0]['state']}, {web['edges'][0]['detail']}")

    edge = ping["edges"][0]
    check(edge["state"] == "complete", f"{engine}: ping is complete: {edge['state']} {edge['detail']}")
    check(rtt(edge, "idle") < FULL_S / 10 and rtt(edge, "idle", "max") < FULL_S / 2, f"{engine}: idle, the queue is empty: {rtt(edge, 'idle') * 1e3:.3f} ms, at most {rtt(edge, 'idle', 'max') * 1e3:.3f}")
    check(0.9 * FULL_S < rtt(edge, "loaded") < 1.05 * FULL_S, f"{engine}: loaded, it is full: {rtt(edge, 'loaded') * 1e3:.2f} ms of {FULL_S * 1e3:.0f}")
    check(100 <= rtt(edge, "idle", "count") <= 150 and 100 <= rtt(edge, "loaded", "count") <= 150, f"{engine}: of 3 s each at 50 probes/s: {rtt(edge, 'idle', 'count')}, {rtt(edge, 'loaded', 'count')}")
    round_trips = edge["loaded"]["responsiveness"]
    check(abs(round_trips["value"] * rtt(edge, "loaded", "mean") - 60) < 1e-6 and round_trips["unit"] == "{round_trip}/min", f"{engine}: {round_trips['value']:.0f} round trips/min")
    check(ping["loaded"]["rtt"]["count"] == rtt(edge, "loaded", "count"), f"{engine}: and in the total")

    edge = ways["edges"][0]
    check(0.9 * FULL_S < rtt(edge, "loaded", metric="delay_forward") < 1.05 * FULL_S and rtt(edge, "loaded", metric="delay_back") < FULL_S / 5,
          f"{engine}: on the way there: {rtt(edge, 'loaded', metric='delay_forward') * 1e3:.2f} ms, back {rtt(edge, 'loaded', metric='delay_back') * 1e3:.3f} ms")
    check(ways["verdict"] == "pass" or is_late(report), f"{engine}: {ways['expectations']}")

    table = fleet.todd("runs", "show", report["id"]).stdout
    check(table.count("  loaded ") == 3 and "round trips/min" in table and "alongside bulk" in table, f"{engine}: the table has both windows:\n{table}")
    lines = [json.loads(line) for line in fleet.todd("runs", "show", report["id"], "-o", "jsonl").stdout.splitlines()]
    check(sum("loaded" in line for line in lines if line["type"] == "edge") == 3, f"{engine}: and the lines")

    # A coordinator that is killed while the link is loaded tells both to end all the same.
    run = fleet.todd("run", path, "--only", "bulk", "--detach").stdout.strip()
    lab.wait_for("the link is loaded", lambda: "throughput" in test_of(fleet.json("runs", "show", run)[0], "bulk")["edges"][0]["metrics"], 30)
    fleet.coordinator.kill()
    fleet.start_coordinator()
    lab.wait_for("the run ends", lambda: fleet.json("runs", "show", run)[0]["state"] != "running", 60)
    report, code = fleet.json("runs", "show", run)
    edge = test_of(report, "bulk+ping")["edges"][0]
    check((code == 0 or is_late(report)) and edge["state"] == "complete" and rtt(edge, "idle") < FULL_S / 10 and 0.9 * FULL_S < rtt(edge, "loaded") < 1.05 * FULL_S,
          f"{engine}: a restarted coordinator knows both windows: {rtt(edge, 'idle') * 1e3:.3f} ms ({rtt(edge, 'idle', 'count')}), {rtt(edge, 'loaded') * 1e3:.2f} ms ({rtt(edge, 'loaded', 'count')})")

    # One that cannot run alongside leaves the other alone: a handshake needs a port, and iperf's is not its own.
    path.write_text(OTHER.replace("FAR:1", far.address).replace("{testlet: ping}", "{testlet: ping, params: {mode: tcp}}"))
    report, code = fleet.json("run", path)
    edge = test_of(report, "bulk+ping")["edges"][0]
    check(edge["state"] == "error" and edge["reason"] == "bad_param", f"{engine}: {edge['state']}: {edge['detail']}")
    check(test_of(report, "bulk")["edges"][0]["state"] != "skipped", f"{engine}: and iperf was tried")

    report, code = fleet.json("run", lab.SOURCE / "examples/loaded.yaml", "--set", "bulk.duration=1s")
    check(report["state"] == "completed" and (code == 0 or is_late(report)) and all(e["state"] == "complete" and e["idle"] and e["loaded"] for e in test_of(report, "bulk+ping")["edges"]), f"{engine}: the example runs (exit {code}, {report['reason']})")

    for process in agents:
        process.stop()
    fleet.coordinator.stop()

    # From the command line, against a stand-alone responder.
    serve = lab.Process([lab.BIN / "todd", "serve", "iperf", "--port", "5301"], work / "serve.log", far)
    lab.wait_for("iperf is served", lambda: "5301" in (work / "serve.log").read_text())
    words = ["try", "iperf", f"{far.address}:5301", "--protocol", "udp", "--bitrate", "30M", "--duration", "2s", "--engine", engine, "--alongside", "ping interval=10ms before=1s after=500ms"]
    done = lab.todd(*words, "--expect", "p50(loaded.rtt) < 50ms", "-o", "json", namespace=near)
    report = json.loads(done.stdout)
    edge = test_of(report, "iperf+ping")["edges"][0]
    check(is_late(report) or done.returncode == 1 and [e["verdict"] for e in test_of(report, "iperf+ping")["expectations"]] == ["pass", "fail"], f"{engine}: too slow while loaded (exit {done.returncode})")
    check(0.9 * FULL_S < rtt(edge, "loaded") < 1.05 * FULL_S and rtt(edge, "idle") < FULL_S / 10, f"{engine}: todd try: {rtt(edge, 'idle') * 1e3:.3f} ms, {rtt(edge, 'loaded') * 1e3:.2f} ms")
    serve.stop()

done = lab.todd("try", "iperf", far.address, "--alongside", "ping nonsense", namespace=near)
check(done.returncode == 2 and '"nonsense" is no PARAM=VALUE' in done.stderr, done.stderr.strip())
done = lab.todd("try", "iperf", far.address, "--alongside", "iperf", namespace=near)
check(done.returncode == 2 and "iperf is heavy" in done.stderr, done.stderr.strip())
done = lab.todd("try", "iperf", "no.such.host.invalid", "--alongside", "ping", namespace=near)
check(done.returncode == 2 and "no.such.host.invalid" in done.stderr and done.stdout == "", f"nothing began: {done.stderr.strip()}")
