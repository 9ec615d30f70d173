"""A sweep by `todd try` and the same by a coordinator and an agent: the same results in the same form."""
import json

import lab
from lab import check, edges, todd, value

lab.need_namespaces()
lab.need_icmp()
near, far = lab.pair("near", "far")
lab.ip(far.name, "route", "add", "local", "10.64.0.0/16", "dev", "lo")  # its kernel answers, whatever the address
lab.ip(far.name, "route", "add", "blackhole", "10.65.0.0/16")
lab.ip(near.name, "route", "add", "10.64.0.0/15", "via", far.address)
work = lab.scratch()
# What two runs of one test may differ in: when they were, who ran them, and how long things took.
OWN = {"id", "run", "suite", "spec_digest", "labels", "started_at", "finished_at", "agents", "from", "agent", "worst_edge", "at",
       "lateness_p99_s", "clock_error_s", "lane_cpu_s", "worker_cpu_s", "measured_s"}


def forms(try_words, run_words, fleet, suite, code):
    """stdout of the same test by both, which must end with the same code."""
    done = todd("try", "ping", *try_words, namespace=near)
    check(done.returncode == code, f"todd try ping {' '.join(map(str, try_words))} exits {code} ({done.returncode}: {done.stderr.strip()[:300]})")
    other = fleet.todd("run", suite, *run_words)
    check(other.returncode == code, f"and todd run of the same exits {code} ({other.returncode}: {other.stderr.strip()[:300]})")
    return done.stdout, other.stdout


def difference(a, b, where=""):
    """The first place where they differ in form or, but for OWN, in value; None where they do not."""
    if type(a) is not type(b) and not (isinstance(a, (int, float)) and isinstance(b, (int, float))):
        return f"{where}: {a!r} and {b!r}"
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return f"{where}: keys {sorted(a.keys() ^ b.keys())}"
        timed = a.get("unit") == "s" and "kind" in a  # a metric of times: only how many there were
        found = (difference(a[key], b[key], f"{where}.{key}") for key in a if key not in OWN and (not timed or key in ("kind", "unit", "count")))
    elif isinstance(a, list):
        if len(a) != len(b):
            return f"{where}: {len(a)} and {len(b)} entries"
        found = (difference(x, y, f"{where}[{i}]") for i, (x, y) in enumerate(zip(a, b)))
    else:
        return None if a == b else f"{where}: {a!r} and {b!r}"
    return next((one for one in found if one), None)


def suite_of(to, params):
    path = work / "sweep.yaml"
    path.write_text(f"apiVersion: todd/v1\nkind: Suite\nmetadata: {{name: sweep}}\nspec:\n  tests:\n    - name: ping\n      testlet: ping\n"
                    f"      from: {{agent: a1}}\n      to: {{hosts: [{to}]}}\n      params: {params}\n")
    return path


def check_sweep(engine, fleet):
    suite = suite_of("10.64.0.0/16", "{count: 1, rate: max}")
    words = ["10.64.0.0/16", "--count", 1, "--rate", "max", "--engine", engine]
    reports = [json.loads(text) for text in forms([*words, "-o", "json"], ["-o", "json"], fleet, suite, 0)]
    found = difference(*reports)
    check(found is None, f"{engine}: the reports differ in names and times alone ({found})")
    check(reports[0]["agents"][0].keys() == reports[1]["agents"][0].keys() and len({report["agents"][0]["version"] for report in reports}) == 1, f"{engine}: both say by which version")
    for who, report in zip(("try", "run"), reports):
        by_address = {edge["address"]: edge for edge in edges(report, "ping")}
        check(len(by_address) == len(edges(report, "ping")) == 65534, f"{engine}: {who} has an edge for each of 65,534 addresses")
        wrong = [(address, edge["metrics"]) for address, edge in by_address.items()
                 if [value(edge, name) for name in ("planned", "sent", "received", "lost", "unsent")] != [1, 1, 1, 0, 0] or not 0 < edge["metrics"]["rtt"]["min"] < 1]
        check(not wrong, f"{engine}: {who}: each has planned 1, sent 1, received 1, lost 0 ({len(wrong)} have not: {wrong[:1]})")
        total = report["tests"][0]["total"]
        check([total[name]["value"] for name in ("planned", "sent", "received", "lost")] == [65534, 65534, 65534, 0], f"{engine}: {who}: so does the total")

    lines = [[json.loads(line) for line in text.splitlines()] for text in forms([*words, "-o", "jsonl"], ["-o", "jsonl"], fleet, suite, 0)]
    found = difference(*lines)
    check(len(lines[0]) == 65535 and found is None, f"{engine}: as JSON lines they differ as little ({found})")
    for who, text in zip(("try", "run"), forms(words, [], fleet, suite, 0)):
        check("... and 65,494 more ok" in text and "total of 65,534 " in text and "65,534 sent, 65,534 received, 0 lost\n" in text, f"{engine}: the table of {who} has the total: {text.splitlines()[-4:]}")


def check_without_answers(engine, fleet):
    """The halves of a network of which one answers: exit codes, verdicts and the reasons are the same, too."""
    suite = suite_of("10.64.0.1-10.64.0.8, 10.65.0.1-10.65.0.8", "{count: 2, interval: 10ms, timeout: 200ms}")
    words = ["10.64.0.1-10.64.0.8", "10.65.0.1-10.65.0.8", "--count", 2, "--interval", "10ms", "--timeout", "200ms", "--engine", engine]
    reports = [json.loads(text) for text in forms([*words, "-o", "json"], ["-o", "json"], fleet, suite, 1)]
    found = difference(*reports)
    check(found is None, f"{engine}: where half of them are silent, too ({found})")
    lost = {edge["address"] for edge in edges(reports[0], "ping") if value(edge, "lost") == 2 and edge["verdict"] == "fail"}
    check(lost == {f"10.65.0.{i}" for i in range(1, 9)}, f"{engine}: the silent ones are lost")
    for text in forms(words, [], fleet, suite, 1):
        check("total of 16 " in text and "32 sent, 16 received, 16 lost\n" in text, f"{engine}: the table says how many")


for engine in lab.back_ends():
    folder = work / engine
    folder.mkdir()
    fleet = lab.Fleet(folder, near, near.address, engine=engine)
    fleet.add_agent("a1", near, near.address)
    check_sweep(engine, fleet)
    check_without_answers(engine, fleet)
