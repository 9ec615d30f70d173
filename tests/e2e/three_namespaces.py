"""Three agents in three namespaces, the coordinator in a fourth: all three testlets, and what happens when parts die. Once per back end."""
import json, os, signal, threading, time

import lab
from lab import check, edges, value

lab.need_namespaces()
[NGINX] = lab.need_programs(nginx="nginx-light")

SUITE = """
apiVersion: todd/v1
kind: Group
metadata: {name: sites}
spec: {match: {label: {site: "*"}}}
---
apiVersion: todd/v1
kind: Suite
metadata: {name: health}
spec:
  tests:
    - {name: latency, testlet: ping, from: sites, to: sites, params: {count: 50, interval: 10ms}, expect: [loss == 0%, p90(rtt) < 500ms]}
    - {name: latency6, testlet: ping, from: sites, to: {hosts: [WEB6]}, params: {count: 10, interval: 10ms}}
    - {name: echo, testlet: ping, from: sites, to: sites, params: {mode: udp, count: 20, interval: 10ms}, expect: [loss == 0%]}
    - {name: web, testlet: http, from: sites, to: {urls: ["http://WEB:8080/"]}, params: {rate: 50, duration: 1s}, expect: [failed == 0, "status[200] > 0"]}
    - {name: web-peers, testlet: http, from: sites, to: sites, pairing: ring, params: {count: 10, interval: 20ms}}
    - {name: bulk, testlet: iperf, from: sites, to: sites, pairing: ring, params: {duration: 1s, bitrate: 20M}, expect: [throughput > 10M]}
    - {name: bulk-back, testlet: iperf, from: sites, to: sites, pairing: ring, params: {duration: 1s, bitrate: 20M, reverse: true, protocol: udp}, expect: [throughput > 10M]}
    - {name: bulk-both, testlet: iperf, from: sites, to: sites, pairing: ring, params: {duration: 1s, bitrate: 20M, bidir: true, streams: 3}, expect: [throughput > 10M, reverse_throughput > 10M]}
"""

LONG = """
apiVersion: todd/v1
kind: Suite
metadata: {name: long}
spec:
  tests:
    - {name: latency, testlet: ping, from: sites, to: sites, params: {duration: 6s, interval: 20ms, timeout: 500ms}, expect: [loss < 50%]}
"""


class Background(threading.Thread):
    def __init__(self, fleet, *words):
        super().__init__()
        self.fleet, self.words = fleet, words
        self.start()

    def run(self):
        self.done = self.fleet.todd(*self.words, "-o", "json")

    def report(self):
        self.join()
        check(self.done.stdout, f"a report came: {self.done.stderr.strip()[-300:]}")
        return json.loads(self.done.stdout), self.done.returncode


def measuring(fleet, run):
    """Whether every edge of the run of `long` under way has answers to show, so more than its first period. The list is asked
    first: it costs nothing, while `last` may still be an earlier run of thousands of edges."""
    if not run.is_alive():
        check(False, f"the run was seen measuring before it ended: {run.done.stderr.strip()[-300:]}")
    done = fleet.todd("runs", "--suite", "long", "-o", "json")
    under_way = [r["id"] for r in json.loads(done.stdout)["runs"] if r["state"] == "running"] if done.returncode == 0 else []
    if not under_way:
        return False
    done = fleet.todd("runs", "show", under_way[0], "-o", "json")
    if done.returncode != 0:
        return False
    report = json.loads(done.stdout)
    found = edges(report, "latency")
    return report["state"] == "running" and len(found) == 6 and all(e["metrics"] and value(e, "received") > 20 for e in found)


def running(fleet):
    done = fleet.todd("runs", "-o", "json")
    return done.returncode == 0 and '"running"' in done.stdout


def one_back_end(engine, names):
    work = lab.scratch()
    hub, web = names["c"], names["web"]
    fleet = lab.Fleet(work, hub, hub.address, engine=engine)
    agents = {name: fleet.add_agent(name, names[name], labels=[f"site={name}"]) for name in ("a1", "a2", "a3")}
    suite = work / "health.yaml"
    suite.write_text(SUITE.replace("WEB6", web.address6).replace("WEB", web.address))

    report, code = fleet.json("run", suite)
    unhappy = [(t["name"], e["source"]["agent"], e["target"]["name"], e["state"], e.get("reason"), e["verdict"]) for t in report["tests"] for e in t["edges"] if e["verdict"] != "pass"]
    check(code == 0 and report["verdict"] == "pass", f"{engine}: the suite passes {unhappy} {[x for t in report['tests'] for x in t['expectations'] if x['verdict'] != 'pass']}")
    check(len(edges(report, "latency")) == 6, f"{engine}: all to all are six edges")
    for test, count in {"latency6": 3, "echo": 6, "web": 3, "web-peers": 3, "bulk": 3, "bulk-back": 3, "bulk-both": 3}.items():
        check(len(edges(report, test)) == count, f"{engine}: {test} has {count} edges")
    for edge in edges(report, "latency"):
        check(value(edge, "sent") == 50 and value(edge, "received") == 50 and edge["quality"]["engine"] == engine, f"{engine}: {edge['source']['agent']} counted 50 of 50")
    for edge in edges(report, "web"):
        check(value(edge, "ok") == 50, f"{engine}: 50 answers of the real nginx")
    for test, ways in (("bulk", ("",)), ("bulk-both", ("", "reverse_"))):
        for edge in edges(report, test):
            for way in ways:
                got, sent, left = (value(edge, way + name) for name in ("bytes", "sent_bytes", "undelivered_at_end"))
                check(got + left == sent and 0 < got < 3_000_000, f"{engine}: {way or 'forward'}: sent {sent} = received {got} + undelivered {left}")
                check(value(edge, way + "throughput") < 21e6 and value(edge, way + "tcp_rtt") > 0, f"{engine}: at no more than its rate, and TCP's figures are there")
            check(value(edge, "cpu") > 0 and value(edge, "peer_cpu") > 0, f"{engine}: CPU of both ends")

    fleet.todd("apply", "-f", "-", stdin=SUITE.replace("WEB6", web.address6).replace("WEB", web.address) + "---" + LONG)

    report, code = fleet.json("try", "ping", "127.3.0.0/20", "--from", "sites", "--count", "1")
    wide = edges(report, report["tests"][0]["name"])
    check(code == 0 and len(wide) == 3 * 4094 and all(value(e, "received") == 1 for e in wide), f"{engine}: a run of 12,282 edges is followed to its report ({code}, {len(wide)})")

    def start_long():
        run = Background(fleet, "run", "long")
        lab.wait_for("the run measures", lambda: measuring(fleet, run), 120)
        return run

    run = start_long()
    [worker] = [p for p in lab.children(agents["a1"].pid())]
    os.kill(worker, signal.SIGSEGV)
    report, code = run.report()
    mine = [e for e in edges(report, "latency") if e["source"]["agent"] == "a1"]
    check(len(mine) == 2 and all(e["state"] == "error" and e["reason"] == "testlet_crashed" for e in mine), f"{engine}: a killed worker's edges say testlet_crashed: {[(e['state'], e['reason']) for e in mine]}")
    check(all(value(e, "received") > 20 for e in mine), f"{engine}: and keep what was measured")
    check(report["verdict"] == "unknown" and code == 5, f"{engine}: and never pass (verdict {report['verdict']}, exit {code})")
    others = [e for e in edges(report, "latency") if e["source"]["agent"] != "a1"]
    check(len(others) == 4 and all(e["state"] == "complete" or (e["target"]["agent"] == "a1" and e["reason"] == "responder_lost") for e in others), f"{engine}: the others went on: {[(e['target']['agent'], e['state'], e['reason']) for e in others]}")

    run = start_long()
    agents["a2"].kill()
    began = time.monotonic()
    report, code = run.report()
    mine = [e for e in edges(report, "latency") if e["source"]["agent"] == "a2"]
    check(len(mine) == 2 and all(e["state"] in ("no_data", "partial", "error") and e["verdict"] != "pass" for e in mine), f"{engine}: a dead agent never passes: {[(e['state'], e['reason'], e['verdict']) for e in mine]}")
    check(code in (1, 5) and report["state"] == "partial", f"{engine}: the run is partial (exit {code}, {report['state']})")
    check(time.monotonic() - began < 20, f"{engine}: and ended within its deadline")
    agents["a2"] = fleet.start_agent("a2")

    run = start_long()
    fleet.coordinator.kill()
    fleet.start_coordinator()
    run.join()
    lab.wait_for("the run is taken up and ends", lambda: not running(fleet), 30)
    report, code = fleet.json("runs", "show", "last")
    check(report["suite"] == "long" and len(edges(report, "latency")) == 6 and all(e["state"] == "complete" and value(e, "sent") == value(e, "received") > 200 for e in edges(report, "latency")),
          f"{engine}: a restarted coordinator finishes the open run: {[(e['state'], e['reason'], value(e, 'sent') if e['metrics'] else 0) for e in edges(report, 'latency')]}")

    run = start_long()
    check(fleet.todd("runs", "cancel", "last").returncode == 0, f"{engine}: a run can be cancelled")
    report, code = run.report()
    check(report["state"] == "cancelled" and code == 5, f"{engine}: and says so (exit {code}, {report['state']})")
    check(fleet.todd("runs", "delete", report["id"]).returncode == 2 and fleet.todd("runs", "delete", report["id"], "--yes").returncode == 0 and fleet.todd("runs", "show", report["id"]).returncode != 0, f"{engine}: a run can be deleted")

    for process in agents.values():
        process.stop()
    fleet.coordinator.stop()


names = {name: lab.Namespace(name, n) for n, name in enumerate(("c", "web", "a1", "a2", "a3"), 1)}
work = lab.scratch()
(work / "nginx.conf").write_text(f"daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/error.log; worker_processes 1; events {{}}\n"
                                 f"http {{ access_log off; client_body_temp_path {work}; proxy_temp_path {work}; fastcgi_temp_path {work}; uwsgi_temp_path {work}; scgi_temp_path {work};\n"
                                 f"server {{ listen 8080; listen [::]:8080; location / {{ return 200 'hello'; }} }} }}\n")
nginx = lab.Process([NGINX, "-p", work, "-c", work / "nginx.conf"], work / "nginx.log", names["web"])
for engine in lab.back_ends():
    one_back_end(engine, names)
nginx.stop()
