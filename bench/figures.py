"""Sweep rate beside fping, latency of a run's begin and end, resident size. Prints one line a figure; ratios where a peer ran."""
import json, os, pathlib, platform, re, statistics, subprocess, time

import lab

lab.need_namespaces()
lab.need_programs(fping="fping", ping="iputils-ping")
ROUNDS = 5
SWEEP = "10.64.0.0/17"


def rss_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def build_type():
    cache = lab.BIN.parent / "CMakeCache.txt"
    found = re.search(r"CMAKE_BUILD_TYPE:\w+=(\w+)", cache.read_text()) if cache.exists() else None
    return found[1] if found else "unknown"


def seconds(text):
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + text[19:-1])


print(f"build {build_type()}, {os.cpu_count()} cores, Linux {platform.release()}")
if build_type() != "Release":
    print("these figures are not to be quoted: the build is not Release")

# ---- sweep: every address of a /17 once, answered by a peer namespace
left, right = lab.Namespace("left", 1), lab.Namespace("right", 2)
lab.ip(right.name, "route", "add", "local", "10.64.0.0/10", "dev", "lo")
lab.ip(left.name, "route", "add", "10.64.0.0/10", "via", right.address)
lab.sh(*lab.inside(left.name, "ping", "-c", "1", "-W", "2", right.address))


def sweep(*words):
    """Seconds of our whole command, and its output."""
    began = time.monotonic()
    done = lab.todd("try", "ping", SWEEP, "--count", 1, "--rate", "max", *words, namespace=left)
    return time.monotonic() - began, done.stdout


def answers_per_second(stamps):
    """From START to the last reply, by the report; and of the whole command with that report in JSON."""
    took, out = sweep("--period", "30s", "--stamps", stamps, "-o", "json")
    test = json.loads(out)["tests"][0]
    answered = test["total"]["received"]["value"]
    lab.check(answered == 32766 and test["total"]["lost"]["value"] == 0, f"32,766 of 32,766 answered, none lost ({answered})")
    return answered / test["edges"][0]["periods"][0]["seconds"], answered / took


exact, user, whole, table, peer = [], [], [], [], []
for _ in range(ROUNDS):
    rates = answers_per_second("exact")
    exact.append(rates[0])
    whole.append(rates[1])
    user.append(answers_per_second("user")[0])
    table.append(32766 / sweep()[0])
    began = time.monotonic()
    fping = subprocess.run(lab.inside(left.name, "fping", "-q", "-c", "1", "-i", "0", "-t", "1000", "-g", SWEEP), capture_output=True, text=True)
    peer.append(fping.stderr.count("1/1/0%") / (time.monotonic() - began))
theirs = statistics.median(peer)
print(f"sweep of a /17: fping's whole command {theirs:,.0f}/s")
for what, figures in (("from START to the last reply", exact), ("the same with --stamps user", user),
                      ("whole command with its table", table), ("whole command with all edges as JSON", whole)):
    rate = statistics.median(figures)
    print(f"  todd {what} {rate:,.0f}/s, ratio {rate / theirs:.2f}")

# ---- a run through the coordinator, all on one host
fleet = lab.Fleet(lab.scratch())
agents = [fleet.add_agent(f"a{n}", test_address=f"127.0.0.1{n}") for n in (1, 2)]
sizes = [rss_mb(a.pid()) + sum(rss_mb(c) for c in lab.children(a.pid())) for a in agents]
print(f"resident: agent with worker {max(sizes):.1f} MB, coordinator {rss_mb(fleet.coordinator.pid()):.1f} MB")
suite = lab.scratch() / "one.yaml"
suite.write_text("""
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
""")
first, last = [], []
for _ in range(ROUNDS):
    began = time.time()
    done = fleet.todd("run", suite, "-o", "json")
    ended = time.time()
    report, _ = fleet.json("runs", "show", "last", "--samples")
    at = [seconds(s["at"]) for e in report["tests"][0]["edges"] for s in e["samples"]]
    first.append(min(at) - began)
    last.append(ended - max(at))
print(f"todd run to the first packet {1000 * statistics.median(first):.0f} ms, last sample to the report {1000 * statistics.median(last):.0f} ms")
