"""A thousand targets, each once a second, idle and with every core busy: what it costs, what is lost, how true the round trips are."""
import json, os, re, resource, shutil, subprocess, time

import lab
from conditions import cores, quantile
from truth import Truth

lab.need_namespaces()
lab.need_programs(fping="fping")
SECONDS = int(os.environ.get("SECONDS_EACH", 30))
TARGETS = [f"10.64.{n >> 8}.{n & 255}" for n in range(1, 1001)]


def cpu_of(pids):
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as stat:
            ticks += sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def timed(words):
    """Output of the command, and the CPU seconds of it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def todd():
    done, cpu = timed(lab.inside(near.name, lab.BIN / "todd", "try", "ping", f"@{targets}", "--count", SECONDS, "--interval", "1s", "--samples", "all", "-o", "json"))
    edges = json.loads(done.stdout)["tests"][0]["edges"]
    lost = sum(e["metrics"]["lost"]["value"] for e in edges)
    samples = sorted((s["at"], s["rtt"]) for e in edges for s in e["samples"] if s["outcome"] == "ok")
    return cpu, lost, [round(rtt * 1e9) for _, rtt in samples]


def fping():
    done, cpu = timed(lab.inside(near.name, "fping", "-c", SECONDS, "-p", 1000, "-i", 1, "-f", targets))
    rtts = [round(float(ms) * 1e6) for ms in re.findall(r"bytes, ([\d.]+) ms", done.stdout)]
    return cpu, SECONDS * len(TARGETS) - len(rtts), rtts


def smokeping():
    process = lab.Process(["prometheus-smokeping-prober", "--privileged", "--web.listen-address=127.0.0.1:9374"] + TARGETS, lab.scratch() / "smokeping.log", near)
    time.sleep(SECONDS)
    shown = subprocess.run(lab.inside(near.name, "python3", "-c", "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9374/metrics').read().decode())"), capture_output=True, text=True).stdout
    cpu = cpu_of([process.pid()])
    process.stop()
    total = lambda name: sum(float(value) for value in re.findall(rf"^{name}\{{.*\}} ([\d.e+]+)$", shown, re.M))
    return cpu, round(total("smokeping_requests_total") - total("smokeping_response_duration_seconds_count")), []


near, far = lab.pair("near", "far")
lab.ip(far.name, "route", "add", "local", "10.64.0.0/16", "dev", "lo")
lab.ip(near.name, "route", "add", "10.64.0.0/16", "via", far.address)
targets = lab.scratch() / "targets"
targets.write_text("\n".join(TARGETS) + "\n")
tools = {"todd": todd, "fping": fping}
if shutil.which("prometheus-smokeping-prober"):
    tools["smokeping-prober"] = smokeping
print(f"{len(TARGETS)} targets once a second for {SECONDS} s; CPU of one core, lost probes, |round trip - truth| in microseconds")
print(f"{'':18}{'idle CPU':>9}{'lost':>7}{'p50':>8}{'p99':>8}{'busy CPU':>10}{'lost':>7}{'p50':>8}{'p99':>8}")
for name, tool in tools.items():
    row = f"{name:18}"
    for busy in (False, True):
        with cores(busy):
            truth = Truth(near, far)
            cpu, lost, measured = tool()
            true = truth.end()
        off = [abs(m - t) for m, t in zip(measured, true)] if len(measured) == len(true) else []
        errors = f"{quantile(off, 0.5) / 1000:8.2f}{quantile(off, 0.99) / 1000:8.2f}" if off else f"{'-':>8}{'-':>8}"
        if measured and not off:
            print(f"{name}: {len(measured)} round trips measured, {len(true)} seen by the taps; no errors can be told")
        row += f"{100 * cpu / SECONDS:{10 if busy else 9}.1f}%{lost:6}{errors}"
    print(row, flush=True)
