"""Secrets: named everywhere, their values on the hosts that test alone. The testlet proves that it got one by its digest."""
import json, os, pathlib, shutil, subprocess

import lab
from lab import check

VALUE = "geheim-4711-\u00e4"
work = lab.scratch()
library = lab.BIN / "../tests/testlets/teller.so"
tree = work / "tree"
shutil.copy(library, lab.tree(tree))
said = []  # all that any command printed


def fnv(text):
    digest = 14695981039346656037
    for byte in text.encode():
        digest = (digest ^ byte) * 1099511628211 % 2**64
    return str(digest)


def folder(name, **files):
    path = work / name
    path.mkdir()
    for file, text in files.items():
        (path / file).write_text(text)
        (path / file).chmod(0o600)
    return path


def todd(*words, env=None):
    words = [str(tree / "bin/todd")] + [str(w) for w in words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env={**os.environ, "TODD_COORDINATOR": str(work / "none.sock"), "HOME": str(work), **(env or {})})
    said.append(done.stdout + done.stderr)
    return done


def digests(report, test=0):
    return {edge["source"]["agent"]: edge["info"].get("digest") for edge in report["tests"][test]["edges"]}


# On this host.
own = folder("own", db=VALUE + "\n", other="another")
use = ("try", "teller", "127.0.0.1", "-o", "json", "--password")
done = todd(*use, "secret:db", "--secrets", own)
check(done.returncode == 0, f"try takes a secret from --secrets ({done.stderr.strip()})")
report = json.loads(done.stdout)
check(digests(report)["local"] == fnv(VALUE), "the testlet gets the value, without the file's newline")
check(report["tests"][0]["params"] == {"password": {"secret": "db"}}, "the report has the name")
check(digests(json.loads(todd(*use, "secret:other", env={"TODD_SECRETS": str(own)}).stdout))["local"] == fnv("another"), "or from $TODD_SECRETS")
home = work / ".config/todd"
home.mkdir(parents=True)
shutil.copytree(own, home / "secrets")
check(digests(json.loads(todd(*use, "secret:db").stdout))["local"] == fnv(VALUE), "or from ~/.config/todd/secrets")
done = todd(*use, "secret:none", "--secrets", own)
check(done.returncode == 2 and f'secret "none": not in {own}' in done.stderr and f"put its value into {own}/none, mode 0600" in done.stderr, f"one that is missing: {done.stderr.strip()}")
done = todd("serve", "teller", "--password", "secret:none", "--secrets", own)
check(done.returncode == 2 and 'secret "none": not in' in done.stderr, f"likewise of serve: {done.stderr.strip()}")
(own / "open").write_text(VALUE)
(own / "open").chmod(0o644)
done = todd(*use, "secret:open", "--secrets", own)
check(done.returncode == 2 and f"chmod 600 {own}/open" in done.stderr, f"one that everybody may read: {done.stderr.strip()}")
(own / "out").symlink_to("/etc/hostname")
check("leads out of" in todd(*use, "secret:out", "--secrets", own).stderr, "one that is a link out of the folder")
for literal in (VALUE, "secret:ge/" + VALUE, ""):
    done = todd(*use, literal)
    check(done.returncode == 2 and "--password" in done.stderr and not done.stdout, f"a value itself is refused: {done.stderr.strip().splitlines()[0]}")
check("--password secret:NAME" in todd("try", "teller", "--help").stdout, "the help says how it is given")
shown = todd("testlets", "show", "teller").stdout
check(any(line.split()[:2] == ["password", "secret"] for line in shown.splitlines()), "and the list of params that it is one")

# In a fleet: near has it, unit has it from systemd, far lacks it.
fleet = lab.Fleet(work, options=("--sink", f"name=points,path={work / 'points.jsonl'}", "--log-level", "debug"))
options = ("--testlets", library.parent, "--log-level", "debug")
near = fleet.add_agent("near", options=(*options, "--secrets", own))
unit = fleet.add_agent("unit", options=options, prefix=("env", f"CREDENTIALS_DIRECTORY={folder('credentials', db=VALUE)}"))
fleet.add_agent("far", options=options)
suite = work / "tell.yaml"
suite.write_text("""apiVersion: todd/v1
kind: Group
metadata: {name: all}
spec: {match: {hostname: "*"}}
---
apiVersion: todd/v1
kind: Suite
metadata: {name: tell}
spec:
  tests:
    - {name: alone, testlet: teller, from: all, to: {hosts: [127.0.0.1]}, params: {password: {secret: db}, duration: 3s}}
    - {name: pair, testlet: teller, from: {agent: near}, to: {agent: [far, unit]}, params: {password: {secret: db}}}
""")


def leaks(secrets=(VALUE,)):
    """Where a value is found but where it belongs: files, logs, outputs, command lines."""
    found = [f"output {text}" for text in said for value in secrets if value in text]
    for path in work.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.parent.name not in ("own", "secrets", "credentials"):
            found += [str(path) for value in secrets if value.encode() in path.read_bytes()]
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [str(path) for value in secrets if value.encode() in path.read_bytes()]
        except OSError:
            pass
    return found


def fleet_todd(*words):
    done = fleet.todd(*words)
    said.append(done.stdout + done.stderr)
    return done


plan = fleet_todd("run", suite, "--dry-run", "-o", "json")
check(json.loads(plan.stdout)["tests"][0]["params"]["password"] == {"secret": "db"}, "the plan has the name")
started = json.loads(fleet_todd("run", suite, "--detach", "-o", "json").stdout)


def measured():
    tests = json.loads(fleet.todd("runs", "show", started["id"], "-o", "json").stdout)["tests"]
    return any(edge["info"].get("digest") for edge in tests[0]["edges"])


lab.wait_for("the testlet has the secret", measured)
journal = [path for path in (work / "coordinator").rglob("*") if path.is_file() and b"secret:db" in path.read_bytes()]
check(journal, f"the journal of the run knows the name: {[str(p.relative_to(work)) for p in journal]}")
check(not leaks(), f"while it runs the value is nowhere else {leaks()}")
lab.wait_for("the run ends", lambda: json.loads(fleet.todd("runs", "show", started["id"], "-o", "json").stdout)["state"] != "running")
for form in ("json", "jsonl", "table"):
    fleet_todd("runs", "show", "last", "-o", form)
report = json.loads(fleet.todd("runs", "show", "last", "-o", "json").stdout)
check(report["tests"][0]["params"]["password"] == {"secret": "db"}, "the report of a run has the name")
check(digests(report) == {"near": fnv(VALUE), "unit": fnv(VALUE), "far": None}, "two agents have it, by folder and by systemd")
place = f'secret "db": not in {work}/far/secrets, and systemd passed no credentials'
lost = next(edge for edge in report["tests"][0]["edges"] if edge["source"]["agent"] == "far")
check((lost["state"], lost["reason"]) == ("error", "secret_missing") and place in lost["detail"], f"the third does not: {lost['detail']}")
pair = {edge["target"]["agent"]: edge for edge in report["tests"][1]["edges"]}
check(pair["far"]["reason"] == "secret_missing" and "far: " in pair["far"]["detail"], f"a responder needs it too: {pair['far']['detail']}")
check(pair["unit"]["info"]["digest"] == fnv(VALUE), "and the other edge goes on")
check(report["state"] == "partial" and place in report["first_incomplete"], f"the run says why: {report['first_incomplete']}")
check(any(w.startswith("far: ") and place in w for w in report["warnings"]), f"and names who lacks it: {report['warnings']}")
check(next(a for a in report["agents"] if a["name"] == "far")["reason"].startswith('secret "db"'), "the agent's entry too")
checked = fleet_todd("run", suite, "--check")
check(checked.returncode == 2 and "far: secret" in checked.stdout, "--check finds it before anything is sent")
done = fleet_todd("run", suite, "--set", f"alone.password={VALUE}")
check(done.returncode == 2 and "is a secret" in done.stderr, f"a value itself is refused: {done.stderr.strip()}")
check(fleet_todd("try", "teller", "127.0.0.1", "--from", "all", "--password", VALUE).returncode == 2, "of try --from likewise, on this side")
folder("far/secrets", db=VALUE)
done = fleet_todd("run", suite)
check(done.returncode == 0, f"put there, it is found without a restart ({done.returncode} {done.stdout} {done.stderr})")
text = suite.read_text().replace("{secret: db}, duration", f"'{VALUE}', duration")
done = fleet.todd("run", "-", stdin=text)
said.append(done.stdout + done.stderr)
check(done.returncode == 2 and ":11:84:" in done.stderr and "is a secret" in done.stderr, f"in a suite too, with its place: {done.stderr.strip()}")
check(near.process.poll() is None and unit.process.poll() is None, "the agents live")
check((work / "points.jsonl").stat().st_size > 0, "the sink has points")
check(not leaks() and leaks(("near",)), f"no file, log, output or command line has the value {leaks()}")
