"""A run through the coordinator, all on one host: time to the first packet, from the last sample to the report, resident sizes."""
import pathlib, re, time

import lab
from table import Row

SUITE = """
apiVersion: todd/v1
kind: Group
metadata: {name: all}
spec: {match: {agent: "*"}}
---
apiVersion: todd/v1
kind: Suite
metadata: {name: one}
spec:
  tests:
    - {name: latency, testlet: ping, from: all, to: all, params: {count: 20, interval: 10ms, samples: all}}
"""


def rss_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def seconds(text):
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + text[19:-1])


def run(full):
    work = lab.scratch()
    fleet = lab.Fleet(work)
    agents = [fleet.add_agent(f"a{n}", test_address=f"127.0.0.1{n}") for n in (1, 2)]
    sizes = [rss_mb(agent.pid()) + sum(rss_mb(child) for child in lab.children(agent.pid())) for agent in agents]
    coordinator = rss_mb(fleet.coordinator.pid())
    suite = work / "one.yaml"
    suite.write_text(SUITE)
    first, last = [], []
    for _ in range(10 if full else 5):
        began = time.time()
        done = fleet.todd("run", suite, "-o", "json")
        ended = time.time()
        lab.check(done.returncode == 0, f"the run passes ({done.stderr.strip()[:200]})")
        report, _ = fleet.json("runs", "show", "last", "--samples")
        at = [seconds(sample["at"]) for edge in report["tests"][0]["edges"] for sample in edge["samples"]]
        first.append(1000 * (min(at) - began))
        last.append(1000 * (ended - max(at)))
    for process in (*agents, fleet.coordinator):
        process.stop()
    return [Row("`todd run` to the first packet", "ms", first), Row("last sample to the report", "ms", last),
            Row("resident: idle agent with its worker", "MB", [max(sizes)]), Row("resident: coordinator", "MB", [coordinator])]
