"""The verbs of `todd` against one coordinator and two agents on loopback: what they print, how they end, what they say to bad words."""
import json, os, pty, re, signal, subprocess, time

import lab
from lab import check, edges

lab.need_icmp()
work = lab.scratch()
port = lab.free_port()
fleet = lab.Fleet(work, options=["--listen", f"127.0.0.1:{port}"])
http = {"TODD_COORDINATOR": f"http://127.0.0.1:{port}"}
agents = {name: fleet.add_agent(name, test_address=f"127.0.0.1{name[1]}", labels=[f"site={name}"]) for name in ("a1", "a2")}


def todd(*words, code=0, says=(), stdin=None, env=None):
    """Runs it, wants that exit code and each pattern in what it prints, and gives its standard output."""
    done = lab.todd(*words, stdin=stdin, env={**fleet.env, **(env or {})})
    text = done.stderr + done.stdout
    name = f"todd {' '.join(map(str, words))}"
    check(done.returncode == code, f"{name[:110]} exits {code} (was {done.returncode}: {text.strip()[:300]})")
    check("terminate called" not in text and "what():" not in text, "  and not by an exception")
    for pattern in (says,) if isinstance(says, str) else says:
        check(re.search(pattern, text), f"  and says {pattern!r}: {text.strip()[:300]}")
    return done.stdout


def report(*words, code=0, **more):
    return json.loads(todd(*words, "-o", "json", code=code, **more))


def written(name, text):
    path = work / name
    path.write_text(text)
    return path


def document(kind, name, spec):
    return f"apiVersion: todd/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def runs():
    return json.loads(fleet.todd("runs", "-o", "json").stdout)["runs"]


def running():
    return [run["id"] for run in runs() if run["state"] == "running"]


SITES = document("Group", "sites", '{match: {label: {site: "*"}}}')
NOBODY = document("Group", "nobody", "{match: {label: {site: mars}}}")
PING = "testlet: ping, from: sites, to: sites"
QUICK = document("Suite", "quick", f"{{tests: [{{name: one, {PING}, params: {{count: 3, interval: 10ms}}}}, {{name: two, {PING}, params: {{count: 2, interval: 10ms}}, expect: []}}]}}")
LONG = document("Suite", "long", f"{{tests: [{{name: lat, {PING}, params: {{duration: 60s, interval: 50ms, timeout: 200ms}}, expect: [loss < 50%]}}]}}")
began = time.monotonic()

# Help: every verb has it, every option is explained.
for verb in ("", "run", "try", "try ping", "serve", "serve iperf", "apply", "agents", "agents show", "agents delete", "agents invite", "groups", "groups explain",
             "suites", "suites show", "runs", "runs list", "runs show", "runs watch", "runs cancel", "testlets", "testlets show", "version"):
    lines = fleet.todd(*verb.split(), "--help").stdout.split("\n")
    bare = [line for line, after in zip(lines, lines[1:]) if line.startswith("  -") and not re.search(r"\S  +\S|REQUIRED \S|--check \S", line) and not after.startswith("      ")]
    check(len(lines) > 5 and not bare, f"todd {verb} --help explains every option {bare}")
todd(code=2)
todd("frob", code=2, says="unknown word .frob.: there are run, try")
todd("agnets", code=2, says="did you mean .agents")
todd("try", "zzz", "127.0.0.1", code=2, says="there are http, iperf, ping")
todd("runs", "--limit", "0", code=2)
todd("agents", "-o", "jsonl", code=2)

# The coordinator's address.
todd("agents", env=http, says="a1 +yes")
todd("--coordinator", f"http://127.0.0.1:{port}/", "version", env={"TODD_COORDINATOR": "/nowhere"}, says="coordinator +[0-9]")
todd("agents", env={"TODD_COORDINATOR": "/nowhere/api.sock"}, code=3, says="/nowhere/api.sock: No such file.*start todd-coordinator or set --coordinator")
todd("version", "--coordinator", "http://127.0.0.1:1", code=3, says="Connection refused")
todd("agents", "--coordinator", "https://127.0.0.1", code=2, says="expected a socket's path or http")
if os.geteuid() == 0:
    work.chmod(0o755)
    outside = work / "todd"
    outside.write_bytes((lab.BIN / "todd").read_bytes())
    outside.chmod(0o755)
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", str(outside)]
    denied = subprocess.run([*nobody, "agents"], capture_output=True, text=True, env={**os.environ, **fleet.env})
    check(denied.returncode == 4 and "Permission denied" in denied.stderr, f"who may not use the socket is told so with 4 ({denied.returncode}: {denied.stderr.strip()})")
full = subprocess.run([lab.BIN / "todd", "agents"], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE, text=True, env={**os.environ, **fleet.env})
check(full.returncode == 7 and "No space left" in full.stderr, f"a full disk is no success ({full.returncode}: {full.stderr.strip()})")

# One agent, and one coordinator, to a folder.
for program, folder, first in (("todd-agent", "a1", agents["a1"]), ("todd-coordinator", "coordinator", fleet.coordinator)):
    second = subprocess.run([lab.BIN / program, "--data-dir", work / folder], capture_output=True, text=True, timeout=30)
    check(second.returncode == 7 and f"{work / folder} is in use by another {program}, pid {first.pid()};" in second.stderr, f"a second {program} on a folder is refused ({second.returncode}: {second.stderr.strip()})")

# apply: all or none.
todd("groups", says="no groups yet")
bad = written("bad.yaml", SITES + "---\n" + QUICK + "---\n" + document("Group", "third", "{mach: {}}"))
todd("apply", "-f", bad, code=2, says=r"bad.yaml:\d+:\d+: .*mach.*match")
todd("groups", says="no groups yet")
todd("suites", says="no suites yet")
todd("apply", "-f", "-", stdin=SITES + "---\n" + NOBODY + "---\n" + QUICK, says=["group sites created", "group nobody created", "suite quick created"])
applied = json.loads(todd("apply", "-f", written("long.yaml", SITES + "---\n" + LONG), "-o", "json"))["applied"]
check([(a["kind"], a["name"], a["change"]) for a in applied] == [("Group", "sites", "unchanged"), ("Suite", "long", "created")], f"what was applied is told: {applied}")
todd("apply", "-f", "/nowhere/x.yaml", code=2, says="/nowhere/x.yaml")
todd("apply", "-f", written("large.yaml", "#" * (8 << 20) + "\n"), code=2, says="large.yaml")
todd("apply", code=2, says="--file is required")

# Objects.
todd("groups", says=["sites +agents +2", "nobody +agents +0"])
todd("groups", "show", "sites", says=["2 members", "a1", 'site: "\\*"'])
todd("groups", "explain", "sites", "a1", says="agent .a1. is in group")
todd("groups", "explain", "nobody", "a1", says="is not in group")
todd("groups", "explain", "nobody", "a7", code=6, says="a7")
todd("groups", "show", "site", code=6, says="did you mean .sites")
todd("suites", "show", "quick", says="name: one")
todd("suites", "delete", "quikc", "--yes", code=6, says="did you mean .quick")
todd("agents", "show", "a1", says=["test addresses +127.0.0.11", "labels +site=a1", "connected +yes", "engine +(uring|event|not known yet)"])
todd("agents", "show", "a9", code=6, says="a9")
todd("agents", "invite", "--ttl", "soon", code=2, says="soon")
todd("testlets", "show", "ping", says=["interval", "rtt"])
todd("testlets", "show", "pong", code=6, says="did you mean .ping")
todd("groups", "delete", "nobody", code=2, says="--yes", stdin="")

# Runs.
quick = report("run", "quick")
check(quick["verdict"] == "pass" and len(edges(quick, "one")) == 2, "a stored suite runs")
todd("agents", "show", "a1", says="engine +(uring|event)")
check(set(quick) == set(report("runs", "show", quick["id"][:13])) and quick == report("runs", "show", "last", env=http), "runs show prints the same, over http too")
check(report("runs", "show", "quick~1")["id"] == quick["id"], "SUITE~1 is the latest")
check(all("periods" not in e and "samples" not in e for e in edges(quick, "one")), "periods and samples come on request")
check(all(e["periods"] for e in edges(report("runs", "show", "last", "--periods"), "one")), "and then are there")
only = report("run", "quick", "--only", "two", "--set", "two.count=7", "--label", "why=test")
check([t["name"] for t in only["tests"]] == ["two"] and edges(only, "two")[0]["metrics"]["sent"]["value"] == 7 and only["labels"]["why"] == "test", "--only, --set and --label")
lines = [json.loads(line) for line in todd("run", "quick", "-o", "jsonl").split("\n")[:-1]]
check([line["type"] for line in lines] == ["run"] + 4 * ["edge"] and lines[1]["run"] == lines[0]["id"] and lines[1]["test"] == "one", "JSON lines: the run, then its edges")
todd("run", "quick", "--dry-run", says="2 edges")
check(report("run", "quick", "--dry-run")["tests"][0]["edges"] == 2, "the plan as JSON")
count = len(runs())
check(report("run", "quick", "--check")["state"] == "completed" and len(runs()) == count + 1, "--check is a run that sends nothing")
todd("runs", "list", "--suite", "quick", "--limit", "1", says="quick +completed")
todd("runs", "list", "--suite", "quikc", code=6, says="no runs of quikc; .*did you mean .quick")
todd("runs", "list", "--suite", "long", says="no runs of long yet")
check(len(json.loads(todd("runs", "--limit", "1", "-o", "json"))["runs"]) == 1, "--limit")
todd("run", "quikc", code=6, says="did you mean .quick")
todd("run", "nowhere.yaml", code=2, says="nowhere.yaml")
todd("run", "quick", "--only", "three", code=2, says="has no test")
todd("run", "quick", "--set", "one.cuont=3", code=2, says="did you mean .count")
todd("run", "quick", "--set", "one", code=2, says="TEST.PARAM=VALUE")
todd("run", "quick", "--deadline", "5", code=2, says="--deadline.*5s")
todd("run", written("syntax.yaml", "tests: [}\n"), code=2, says=r"syntax.yaml:1:\d+")
todd("run", written("fails.yaml", SITES + "---\n" + document("Suite", "f", f"{{tests: [{{{PING}, params: {{count: 2, interval: 1ms}}, expect: [max(rtt) < 1ns]}}]}}")), code=1, says="✗")
todd("run", "-", stdin=NOBODY + "---\n" + document("Suite", "n", "{tests: [{testlet: ping, from: nobody, to: sites}]}"), code=6, says="stdin:.*nobody.*matches no enrolled agent")
todd("runs", "show", "ffff", code=6)
todd("runs", "cancel", "last", code=2, says="ended")

# try --from, and lists of targets.
asked = edges(report("try", "ping", "agent:a2", "--from", "sites", "--count", "4", "--interval", "10ms", "--samples", "all", "--period", "20ms"), "ping")
check(len(asked) == 1 and len(asked[0]["samples"]) == 4 and len(asked[0]["periods"]) > 1, "try --from shows samples and periods that were asked for")
check(len(edges(report("try", "ping", "group:sites", "--from", "sites", "--count", "1"), "ping")) == 2, "a group as target")
todd("try", "ping", "agent:a2", "127.0.0.1", "--from", "sites", code=2, says="agent:a2 must be the only target")
todd("try", "ping", "agent:a2", "--from", "sites", "--interval", "1s", "--rate", "5", code=2, says="todd: --interval: 1s and --rate: 5 exclude")
targets = written("targets", "127.0.0.1  # this one\n\n# and\n127.0.0.2\n")
for more in ([], ["--from", "sites"]):
    check(len(edges(report("try", "ping", f"@{targets}", "127.0.0.3", "--count", "1", *more), "ping")) == (6 if more else 3), f"@FILE {more}")
check(len(edges(report("try", "ping", "@-", "--count", "1", stdin="127.0.0.9\n"), "ping")) == 1, "@-")
todd("try", "ping", "@/nowhere", code=2, says="/nowhere")
todd("try", "ping", f"@{work}", code=2, says="list of targets: .*Is a directory")
todd("try", "ping", "127.0.0.1", "--from", "nobody", code=6, says="^todd: group .nobody. matches no")
todd("try", "ping", "127.0.0.1", "--from", "sties", code=6, says="did you mean .sites")
local = edges(report("try", "ping", "127.0.0.1", "--count", "2", "--interval", "1ms"), "ping")[0]
check("samples" not in local and "periods" not in local, "the local report has the same shape")
many = todd("try", "ping", "127.3.0.0/20", "--from", "sites", "--count", "1", "--rate", "max", "-o", "jsonl").count("\n")
check(many == 1 + 2 * 4094, f"a run of thousands of edges is followed to its end, a line for each ({many})")

# serve --once ends with its first client.
log = work / "serve.log"
serve = lab.Process([lab.BIN / "todd", "serve", "ping", "--once"], log)
lab.wait_for("the responder answers", lambda: "answers on port" in log.read_text())
responder = re.search(r"port (\d+)", log.read_text())[1]
todd("try", "ping", f"127.0.0.1:{responder}", "--mode", "udp", "--count", "5", "--interval", "10ms")
lab.wait_for("serve --once ends", lambda: serve.process.poll() is not None)
check(serve.process.returncode == 0, "serve --once ends with 0")


# Long runs: followed, cancelled, interrupted.
def begin(*words):
    process = subprocess.Popen([lab.BIN / "todd", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **fleet.env})
    lab.wait_for("the run has begun", running)
    return process


def ended(process, code, what):
    out, err = process.communicate(timeout=30)
    check(process.returncode == code, f"{what} ends with {code} (was {process.returncode}: {err.strip()})")
    lab.wait_for("the coordinator ends the run too", lambda: not running())
    return out, err


detached = json.loads(todd("run", "long", "--detach", "-o", "json"))
check(detached["suite"] == "long" and running() == [detached["id"]], "--detach gives the id and leaves the run alone")
watch = begin("runs", "watch", detached["id"], "-o", "json")
check(report("runs", "show", detached["id"])["state"] == "running", "a run that goes on can be shown")
todd("runs", "cancel", detached["id"][:13], says="ends")
out, err = ended(watch, 5, "watching a run that is cancelled")
check(json.loads(out)["state"] == "cancelled" and json.loads(out)["verdict"] == "unknown", "a cancelled run never passes")

out, err = ended(begin("run", "long", "--deadline", "1s", "-o", "json"), 3, "a run past its --deadline")
check(json.loads(out)["state"] == "cancelled" and "--deadline 1s" in err, "it is cancelled, and shown as far as it went")
for signo, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
    process = begin("run", "long", "-o", "json")
    process.send_signal(signo)
    out, err = ended(process, code, f"{signo.name} during a run")
    check(json.loads(out)["state"] == "cancelled" and "cancelling run" in err, "  it cancels the run and shows it")
    process = subprocess.Popen([lab.BIN / "todd", "try", "ping", "127.0.0.1", "--interval", "10ms", "--count", "100k", "-o", "json"], stdout=subprocess.PIPE, text=True)
    lab.wait_for("the local test has a worker", lambda: lab.children(process.pid))
    process.send_signal(signo)
    out, _ = process.communicate(timeout=20)
    check(process.returncode == code and json.loads(out)["state"] == "cancelled", f"{signo.name} during a local test: {process.returncode}")


def terminal(words, *talk):
    """On a terminal: after each awaited text its answer is typed. All it printed, and how it ended."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(lab.BIN / "todd", ["todd", *words], {**os.environ, **fleet.env, "TERM": "xterm"})
    seen, left, end = "", list(talk), time.monotonic() + 30
    while time.monotonic() < end:
        try:
            piece = os.read(fd, 4096).decode(errors="replace")
        except OSError:
            break  # the other end is closed
        seen += piece
        if left and left[0][0] in seen:
            os.write(fd, left.pop(0)[1])
    os.close(fd)
    return seen, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


seen, code = terminal(["run", "long"], (" sent, ", b"\x03"), ("cancelling", b"\x03"))
check("\r\x1b[Klat: 0 of 2 edges, " in seen and code == 130, f"a live line on a terminal; Ctrl-C twice leaves at once ({code}: {seen[-300:]!r})")
lab.wait_for("the run ends nevertheless", lambda: not running())
seen, code = terminal(["run", "quick"])
check("\x1b[K" in seen and "✓ quick: pass" in seen and code == 0, f"the line gives way to the report ({code}: {seen[-200:]!r})")
seen, code = terminal(["groups", "delete", "nobody"], ("[y/N]", b"n\n"))
check("nothing was deleted" in seen and code == 130, f"no is no ({code})")
seen, code = terminal(["groups", "delete", "nobody"], ("[y/N]", b"y\n"))
check("group nobody deleted" in seen and code == 0, f"yes is yes ({code})")
todd("groups", "show", "nobody", code=6)
todd("suites", "delete", "long", "--yes", says="suite long deleted")

# An agent away.
agents["a2"].stop()
lab.wait_for("a2 is away", lambda: not fleet.connected("a2"))
nothing = ["run", "quick", "--only", "two"]
check(report(*nothing, code=5)["verdict"] == "none", "missing agents count where nothing was expected")
todd(*nothing, "--allow-incomplete")
todd("agents", "delete", "a2", "--yes", says="agent a2 deleted")
todd("agents", "show", "a2", code=6)
print(f"{time.monotonic() - began:.1f} s")
