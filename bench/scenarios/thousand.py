"""A thousand targets, each once a second, idle and with every core busy: cost, loss and truth, beside fping, ping and smokeping-prober."""
import json, re, shutil, time

import lab
import tools
from stage import FIRST, at, cores, file_of, stage
from table import Row
from truth import Truth

TARGETS = 1000


def todd(seconds):
    """CPU seconds, lost probes, round trips in ns in the order in which they left (empty: not known)."""
    done = tools.todd(f"@{file_of(TARGETS)}", "--count", seconds, "--interval", "1s", "--samples", "all", "-o", "json")
    edges = json.loads(done.out)["tests"][0]["edges"]
    samples = sorted((sample["at"], sample["rtt"]) for edge in edges for sample in edge["samples"] if sample["outcome"] == "ok")
    return done.cpu, sum(lab.value(edge, "lost") for edge in edges), [round(rtt * 1e9) for _, rtt in samples]


def fping(seconds):
    done = tools.run("fping", "-c", seconds, "-p", 1000, "-i", 1, "-f", file_of(TARGETS))
    round_trips = [round(float(ms) * 1e6) for ms in re.findall(r"bytes, ([\d.]+) ms", done.out)]
    return done.cpu, seconds * TARGETS - len(round_trips), round_trips


def pings(seconds):
    """One ping for each target."""
    done = tools.run("sh", "-c", f"while read t; do ping -q -c {seconds} $t & done < {file_of(TARGETS)}; wait")
    counts = re.findall(r"(\d+) packets transmitted, (\d+) received", done.out)
    return done.cpu, sum(int(sent) - int(received) for sent, received in counts), []


def smokeping(seconds):
    targets = file_of(TARGETS).read_text().split()
    process = lab.Process(["prometheus-smokeping-prober", "--privileged", "--web.listen-address=127.0.0.1:9374"] + targets, lab.scratch() / "smokeping.log", stage().near)
    time.sleep(seconds)
    shown = tools.run("python3", "-c", "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9374/metrics').read().decode())").out
    cpu = tools.cpu_of(process.pid())
    process.stop()

    def total(name):
        return sum(float(value) for value in re.findall(rf"^{name}\{{.*\}} ([\d.e+]+)$", shown, re.M))

    return cpu, round(total("smokeping_requests_total") - total("smokeping_response_duration_seconds_count")), []


def measure(tool, seconds):
    """Per cent of a core, lost, and |round trip - truth| in us."""
    truth = Truth(stage().near, stage().far)
    cpu, lost, measured = tool(seconds)
    true = truth.end()
    off = [abs(m - t) / 1000 for m, t in zip(measured, true)] if len(measured) == len(true) else []
    return 100 * cpu / seconds, lost, off


def run(full):
    lab.need_programs(fping="fping")
    lab.sh(*lab.inside(stage().near.name, "ping", "-c", "1", str(FIRST)))
    peers = {"fping": fping, "1,000 x ping": pings}
    if shutil.which("prometheus-smokeping-prober"):
        peers["smokeping-prober"] = smokeping
    rows = []
    for busy in (True, False):
        load = "cores busy" if busy else "idle"
        seconds = 600 if full and busy else 20
        with cores(busy):
            cpu, lost, off = measure(todd, seconds)
            theirs = {name: measure(tool, 20 if name == "1,000 x ping" else seconds) for name, tool in peers.items()}
        known = {name: values for name, (_, _, values) in theirs.items() if values}
        wrong = [] if off else ["round trips and the taps' do not match one to one"]
        rows += [Row(f"{load}: lost of {TARGETS * seconds:,}", "", [lost], {name: [value] for name, (_, value, _) in theirs.items()}, at_most=0),
                 Row(f"{load}: |rtt - truth| p50", "us", at(0.5, off), {name: at(0.5, values) for name, values in known.items()}, at_most=1, wrong=wrong),
                 Row(f"{load}: |rtt - truth| p99", "us", at(0.99, off), {name: at(0.99, values) for name, values in known.items()}, at_most=5 if busy else 3, wrong=wrong),
                 Row(f"{load}: CPU of the whole command", "% of a core", [cpu], {name: [value] for name, (value, _, _) in theirs.items()}, at_most=4 if busy else None)]
    return rows
