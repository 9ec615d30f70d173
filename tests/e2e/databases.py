"""A run's counts in the report equal what InfluxDB and VictoriaMetrics return to a query, to the unit."""
import json, time, urllib.parse, urllib.request

import lab
from lab import check, edges, value

lab.need_icmp()
influxd, vm, _ = lab.need_programs(**{"influxd": "influxdb", "victoria-metrics": "victoria-metrics", "ss": "iproute2"})
work = lab.scratch()


def get(url, data=None):
    try:
        with urllib.request.urlopen(url, data=data, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return None


(work / "influxdb.conf").write_text(f"""reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "{work}/meta"
[data]
dir = "{work}/data"
wal-dir = "{work}/wal"
[http]
bind-address = "127.0.0.1:0"
""")
influx_process = lab.Process([influxd, "-config", work / "influxdb.conf"], work / "influxd.log")
vm_process = lab.Process([vm, f"-storageDataPath={work}/vm", "-httpListenAddr=127.0.0.1:0", "-retentionPeriod=10y", "-search.latencyOffset=1ms"], work / "vm.log")


def port_of(process, path):
    """The one of its ports that answers HTTP at the path."""
    return next((port for port in lab.listening_ports(process) if get(f"http://127.0.0.1:{port}{path}") is not None), None)


influx = lab.wait_for("influxd answers", lambda: port_of(influx_process, "/ping"))
metrics = lab.wait_for("victoria-metrics answers", lambda: port_of(vm_process, "/health"))
lab.wait_for("influxd makes a database", lambda: get(f"http://127.0.0.1:{influx}/query", urllib.parse.urlencode({"q": "CREATE DATABASE todd"}).encode()))

lines = work / "points.jsonl"
fleet = lab.Fleet(work, options=["--sink", f"name=influx,url=http://127.0.0.1:{influx},db=todd", "--sink", f"name=vm,url=http://127.0.0.1:{metrics},db=todd",
                                 "--sink", f"name=file,path={lines}"])
for n in (1, 2, 3):
    fleet.add_agent(f"a{n}", test_address=f"127.0.0.1{n}")
report, code = fleet.json("run", lab.SOURCE / "examples/quickstart.yaml")
check(code == 0, "the quickstart passes")
seen = []


def delivered():
    seen[:] = fleet.json("runs", "show", "last")[0]["delivery"]
    return all(d["state"] == "delivered" for d in seen)


try:
    lab.wait_for("every sink has delivered", delivered, 60)
except SystemExit:
    print(seen, (work / "coordinator.log").read_text()[-2000:], (work / "influxd.log").read_text()[-1500:])
    raise
shown, _ = fleet.json("runs", "show", "last")
check(len(shown["delivery"]) == 3 and all(d["pending"] == 0 and d["dead"] == 0 for d in shown["delivery"]), f"three sinks, nothing pending or dead: {shown['delivery']}")
run = report["id"]


def influx_sum(measurement, field, source, target):
    query = f'SELECT SUM("{field}") FROM "{measurement}" WHERE "source" = \'{source}\' AND "target" = \'{target}\''
    answer = json.loads(get(f"http://127.0.0.1:{influx}/query?" + urllib.parse.urlencode({"db": "todd", "q": query})))
    series = answer["results"][0].get("series")
    return series[0]["values"][0][1] if series else None


get(f"http://127.0.0.1:{metrics}/internal/force_flush")


def vm_sum(name, source, target):
    query = f'sum(sum_over_time({name}{{source="{source}",target="{target}"}}[1h]))'
    answer = json.loads(get(f"http://127.0.0.1:{metrics}/api/v1/query?" + urllib.parse.urlencode({"query": query})))
    result = answer["data"]["result"]
    return float(result[0]["value"][1]) if result else None


def vm_settled(name, source, target, expected):
    """Points become visible some time after the flush: asks again until they are all there, and gives what there is at the end."""
    for _ in range(100):
        stored = vm_sum(name, source, target)
        if stored == expected:
            break
        time.sleep(0.1)
        get(f"http://127.0.0.1:{metrics}/internal/force_flush")
    return stored


compared = 0
for test, metrics_of in {"latency": ("sent", "received"), "web": ("ok",), "bulk": ("bytes", "sent_bytes")}.items():
    testlet = next(t for t in report["tests"] if t["name"] == test)["testlet"]
    for edge in edges(report, test):
        source, target = edge["source"]["agent"], edge["target"]["name"]
        for metric in metrics_of:
            expected = value(edge, metric)
            stored = influx_sum(f"todd_{testlet}", metric, source, target)
            check(stored == expected, f"InfluxDB has {metric} of {test} {source} to {target}: {stored} == {expected}")
            stored = vm_settled(f"todd_{testlet}_{metric}", source, target, expected)
            check(stored == expected, f"VictoriaMetrics has {metric} of {test} {source} to {target}: {stored} == {expected}")
            compared += 1
check(compared == 6 * 2 + 3 + 3 * 2, f"all edges were compared ({compared})")
points = [json.loads(line)["fields"] for line in open(lines)]
spreads = [(p["pdv_p99"], p["rtt_p99"] - p["rtt_min"]) for p in points if "pdv_p99" in p]
check(len(spreads) == sum(p.get("rtt_count", 0) > 0 for p in points) > 0 and all(abs(a - b) < 1e-9 for a, b in spreads),
      f"{len(spreads)} points with round trips have their spread")
check(sum(1 for _ in open(lines)) > 0 and all(json.loads(line) for line in open(lines)), "the JSON lines file is JSON lines")
