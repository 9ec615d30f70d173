"""What nobody can mean, by `todd try` and by a coordinator: refused at once, with where it stands and what to do. And names: none,
one, or several addresses."""
import json, os, re, resource, subprocess, sys, time

import lab
from lab import check, value

lab.need_namespaces()
lab.need_icmp()
lab.need_programs(unshare="util-linux", mount="mount")
near, far = lab.pair("near", "far")
lab.ip(far.name, "route", "add", "local", "10.64.0.0/14", "dev", "lo")
lab.ip(near.name, "route", "add", "10.64.0.0/14", "via", far.address)
work = lab.scratch()
hosts, resolv = work / "hosts", work / "resolv.conf"
hosts.write_text("127.0.0.1 localhost\n10.64.1.1 one.test\n10.64.2.1 two.test\n10.64.2.2 two.test\n10.64.3.1 both.test\n::1 both.test\n::1 six.test\n"
                 "0.0.0.0 blocked.test\n:: blocked.test\n0.0.0.0 mixed.test\n224.0.0.1 mixed.test\n10.64.5.1 mixed.test\n")
resolv.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")  # where nobody answers
MEMORY = 1 << 30  # of address space, for a command that should refuse before it expands anything


def with_names(*words):
    """The command in the near namespace, with the hosts and name servers of this test."""
    script = f"mount --make-rprivate / && mount --bind {hosts} /etc/hosts && mount --bind {resolv} /etc/resolv.conf && exec \"$@\""
    return lab.inside(near.name, "unshare", "--mount", "sh", "-c", script, "sh", *words)


# A sanitizer takes terabytes of it.
LIMITED = not re.search(rb"__[at]san_init", (lab.BIN / "todd").read_bytes())


def try_ping(*words, names=False, limit=False):
    """How it ended, and the seconds it took."""
    command = [lab.BIN / "todd", "try", "ping", *map(str, words)]
    command = with_names(*command) if names else lab.inside(near.name, *command)
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                          preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))) if limit and LIMITED else None)
    return done, time.monotonic() - began


def suite_of(to, params="{count: 1}", more=""):
    path = work / "bad.yaml"
    path.write_text(f"apiVersion: todd/v1\nkind: Suite\nmetadata: {{name: bad}}\nspec:\n  tests:\n    - name: ping\n      testlet: ping\n"
                    f"      from: {{agent: a1}}\n      to: {{hosts: [{to}]}}\n      params: {params}\n{more}")
    return path


def check_refused(done, what, *texts, code=2):
    check(done.returncode == code and not done.stdout, f"{what} exits {code} ({done.returncode})")
    said = done.stderr.strip()
    for text in texts:
        check(re.search(text, said), f"  and says {text!r}: {said[:250]}")


# Each param, what cannot be meant by it, and the remedy.
WRONG = [("rate", "0", "0 is out of range, allowed 0.0001 to 100M"), ("rate", "-1", "is no rate; write for example 10"), ("rate", "1e18", "is no rate; write for example 10"),
         ("rate", "nan", "is no rate; write for example 10"), ("rate", "inf", "is no rate"), ("rate", "1000000000000000000", "out of range, allowed 0.0001 to 100M"),
         ("rate", "0.00001", "out of range"), ("interval", "0", "0 is out of range, allowed 1us to 3650d"), ("interval", "max", "is no duration; write for example 10s"),
         ("interval", "-1s", "out of range"), ("count", "0", "0 is out of range, allowed at least 1"), ("count", "max", "is no whole number; write for example 1000"),
         ("count", "-5", "out of range"), ("count", "1e18", "is no whole number"), ("count", "99999999999999999999", "too large"), ("timeout", "0", "out of range, allowed 1us to 1d"), ("timeout", "2d", "out of range, allowed 1us to 1d"),
         ("timeout", "max", "is no duration"), ("duration", "nan", "is no duration"), ("burst", "max", "is no whole number"), ("burst", "0", "out of range, allowed 1 to 1000"),
         ("period", "0", "out of range, allowed at least 10ms"), ("samples", "-1", "is no amount; write none, all or a number")]


def check_params(fleet):
    for name, wrong, remedy in WRONG:
        done, seconds = try_ping("10.64.0.1", f"--{name}={wrong}")
        check_refused(done, f"try --{name}={wrong}", f"^todd: --{name}: .*{remedy}", re.escape(wrong))
        check(seconds < 5, f"  at once ({seconds:.1f} s)")
        done = fleet.todd("run", suite_of("10.64.0.1", f"{{{name}: {wrong}}}"))
        check_refused(done, f"a suite with {name}: {wrong}", rf'bad\.yaml:10:\d+: test "ping": {name}: .*{remedy}', re.escape(wrong))
    for extremes in (["--interval", "3650d", "--count", 2, "--duration", "10ms"], ["--timeout", "1d", "--count", 1], ["--rate", "100M", "--count", 1]):
        done, seconds = try_ping("10.64.0.1", *extremes)
        check(done.returncode == 0 and seconds < 10, f"the largest that may be meant works: {extremes} ({done.returncode}, {seconds:.1f} s)")


def check_ranges(fleet):
    """A /8 for a /18, or so."""
    for target, code, text in (("10.0.0.0/8", 2, "16777214 addresses, at most 1048576 .*name a smaller network"), ("10.64.0.0/14", 2, "262142 addresses; add --yes"),
                               ("::/0", 2, "name a smaller network"), ("10.0.0.0-10.255.255.255", 2, "16777216 addresses, at most 1048576")):
        for yes in ([], ["--yes"]):
            if yes and "--yes" in text:
                continue
            done, seconds = try_ping(target, "--count", 1, "--rate", "max", *yes, limit=True)
            check_refused(done, f"try {target} {' '.join(yes)}", text, code=code)
            check(seconds < 5, f"  at once, in {MEMORY >> 20} MiB of address space ({seconds:.1f} s)")
    done, _ = try_ping("10.0.0.0/12", "10.16.0.0/12", "--yes", limit=True)
    check_refused(done, "try with two networks of a million each", "would have 2097148 targets, at most 1048576 are allowed: name fewer")

    def peak():
        return int(re.search(r"VmHWM:\s+(\d+) kB", open(f"/proc/{fleet.coordinator.pid()}/status").read())[1])
    before = peak()
    for to, text in (("10.0.0.0/8", r"bad\.yaml:6:7: .*16777214 addresses, at most 1048576 .*name a smaller network"), ("10.64.0.0/14", "these are 262142 edges, more than 65536; add --yes if you mean it"),
                     ("10.0.0.0/12, 10.16.0.0/12", r"bad\.yaml:6:7: .*would have 2097148 targets, at most 1048576")):
        began = time.monotonic()
        check_refused(fleet.todd("run", suite_of(to, "{count: 1, rate: max}")), f"run to {to}", text)
        check(time.monotonic() - began < 5, "  at once")
    check(peak() < before + (32 << 10), f"  and the coordinator has expanded nothing ({before} kB, then {peak()})")
    check_refused(fleet.todd("try", "ping", "10.64.0.0/14", "--from", "all", "--count", 1), "try --from", "these are 262142 edges, more than 65536; add --yes")
    plan = fleet.todd("run", suite_of("10.64.0.0/14", "{count: 1, rate: max}"), "--dry-run")
    check(plan.returncode == 0 and "1 edge of 262142 targets" in plan.stdout, f"its plan is shown: {plan.stderr.strip()}")

    began = time.monotonic()
    done, _ = try_ping("10.64.0.0/15", "10.66.0.1", "--count", 1, "--rate", "max", "--yes")
    check(done.returncode == 0 and "131,071 sent, 131,071 received, 0 lost" in done.stdout, f"with --yes try does it: {done.stdout[-300:]}")
    done = fleet.todd("run", suite_of("10.64.0.0/15", "{count: 1, rate: max}"), "--yes")
    check(done.returncode == 0 and "131,070 sent, 131,070 received, 0 lost" in done.stdout, f"with --yes run does it: {done.stdout[-300:]}")


def check_together(fleet):
    """Values that are good one by one: only the testlet knows, and either end may be asked first."""
    remedy = "flows: mode tcp needs source_port too"
    done, _ = try_ping("10.64.0.1:9", "--mode", "tcp", "--flows", 3, "--count", 1)
    check_refused(done, "try with values that do not fit together", remedy)
    check(done.stderr.count("flows: ") == 1 and len(done.stderr.splitlines()) == 1, f"  once: {done.stderr}")
    for to, who in (("{hosts: ['10.64.0.1:9']}", "the source"), ("{agent: a2}", "the responder")):
        suite = work / "together.yaml"
        suite.write_text(f"apiVersion: todd/v1\nkind: Suite\nmetadata: {{name: bad}}\nspec:\n  tests:\n    - {{testlet: ping, from: {{agent: a1}}, to: {to}, params: {{count: 1, mode: tcp, flows: 3}}}}\n")
        check(fleet.todd("run", suite, "--dry-run").returncode == 0, f"a plan does not show what {who} refuses")
        for option in ([], ["--check"]):
            done = fleet.todd("run", suite, *option, "-o", "json")
            [edge] = json.loads(done.stdout)["tests"][0]["edges"]
            check(done.returncode == 2 and edge["reason"] == "bad_param" and remedy in edge["detail"], f"{who} refuses it {' '.join(option)} ({done.returncode}): {edge['reason']}, {edge['detail']}")


def check_no_hosts(fleet):
    for target, text in (("0.0.0.0", "0.0.0.0 is no host; this host is 127.0.0.1"), ("::", ":: is no host"), ("239.255.255.250", "multicast"), ("ff02::1%eth0", "multicast"), ("255.255.255.255", "broadcast")):
        done, _ = try_ping(target, "--count", 1)
        check_refused(done, f"try {target}", f'target "{re.escape(target)}": .*{text}')
        check_refused(fleet.todd("run", suite_of(f"'{target}'"), "--dry-run"), f"the plan of a run to {target}", rf'bad\.yaml:\d+:\d+: .*target "{re.escape(target)}": .*{text}')


def check_files():
    """A list of targets is wrong in a line."""
    path = work / "targets.txt"
    for lines, text in (("10.64.0.1\n\n10.64.0.256 # no such\n", r'targets\.txt:3: target "10\.64\.0\.256": expected an address'), ("# all\n224.0.0.1\n", r'targets\.txt:2: target "224\.0\.0\.1": .*multicast')):
        path.write_text(lines)
        done, _ = try_ping(f"@{path}", "--count", 1)
        check_refused(done, "a bad line of a file", text)


def check_names(report_of, how):
    """report_of(targets, options): the code, the edges by target and what was said."""
    code, found, _ = report_of(["one.test"], [])
    check(code == 0 and found["one.test"][0]["address"] == "10.64.1.1" and value(found["one.test"][0], "received") == 1, f"{how}: a name with one address")
    code, found, _ = report_of(["two.test"], [])
    check(code == 0 and len(found["two.test"]) == 1 and found["two.test"][0]["address"] in ("10.64.2.1", "10.64.2.2"), f"{how}: of several addresses one is tested, and the report says which: {found['two.test'][0]['address']}")
    code, found, _ = report_of(["both.test"], ["both"])
    check(code == 0 and {edge["address"] for edge in found["both.test"]} == {"10.64.3.1", "::1"}, f"{how}: one of each family, where both are wanted")
    code, found, _ = report_of(["mixed.test"], [])
    check(code == 0 and found["mixed.test"][0]["address"] == "10.64.5.1" and value(found["mixed.test"][0], "received") == 1, f"{how}: what is no host's is passed over: {found['mixed.test'][0]['address']}")
    for names, options, detail in ((["nothing.test"], [], "nothing.test"), (["six.test"], ["v4"], "six.test: no address of the wanted family"),
                                   (["blocked.test"], [], "blocked.test resolves to 0.0.0.0, which is no host's")):
        code, found, said = report_of(names, options)
        check(code == 2, f"{how}: {names[0]} {options} exits {code}: {said[:200]}")
        check("ameserver" not in said, f"  and nothing of libevent's is on stderr: {said}")
        edge = found[names[0]][0]
        check(edge["state"] == "error" and edge["reason"] == "name_resolution" and detail in edge["detail"] and edge["verdict"] == "unknown", f"{how}: {names[0]} is an error of resolution: {edge['state']}, {edge['reason']}, {edge['detail']}")
    code, found, _ = report_of(["one.test", "nothing.test", "10.64.0.9"], [])
    states = {name: edges[0]["state"] for name, edges in found.items()}
    check(code == 5 and states == {"one.test": "complete", "nothing.test": "error", "10.64.0.9": "complete"}, f"{how}: one name without an address costs the others nothing ({code}): {states}")
    check(all(value(found[name][0], "received") == 1 for name in ("one.test", "10.64.0.9")), f"{how}: they are measured")


def check_misfits(report_of, how):
    """A target that does not fit the mode is an error of its own edge."""
    for options, good, bad, detail in (([], "10.64.0.9", "10.64.0.10:80", "mode icmp takes no port; leave 80 out"), (["tcp"], "10.64.0.9:9", "10.64.0.10", "mode tcp needs a port")):
        code, found, said = report_of([good, bad], options)
        edge = found[bad][0]
        check(edge["state"] == "error" and edge["reason"] == "bad_param" and detail in edge["detail"] and edge["verdict"] == "unknown", f"{how}: {bad} is an error: {edge['state']}, {edge['reason']}, {edge['detail']}")
        other = found[good][0]
        check(other["state"] == "complete" and value(other, "planned") == value(other, "sent") == 1, f"{how}: {good} is measured all the same ({code}: {said[:200]})")
        check(code == (1 if options else 5), f"{how}: exits {code}")  # nobody listens at port 9


def by_target(stdout):
    found = {}
    for edge in json.loads(stdout)["tests"][0]["edges"]:
        found.setdefault(edge["target"]["name"], []).append(edge)
    return found


def names_by_try(targets, families):
    flags = {"both": ["-4", "-6"], "v4": ["-4"], "tcp": ["--mode", "tcp"]}
    done, _ = try_ping(*targets, "--count", 1, *(flag for family in families for flag in flags[family]), "-o", "json", names=True)
    return done.returncode, by_target(done.stdout), done.stderr


def names_by_run(targets, families):
    params = "{count: 1, mode: tcp}" if "tcp" in families else "{count: 1}"
    done = fleet.todd("run", suite_of(", ".join(f"'{target}'" for target in targets), params, "".join(f"      family: {family}\n" for family in families if family != "tcp")), "-o", "json")
    return done.returncode, by_target(done.stdout), done.stderr


# Knows one name, and answers 0.2 s after it was asked.
NAME_SERVER = '''
import socket, threading
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("listens", flush=True)
while True:
    query, peer = server.recvfrom(512)
    question = query[12:query.index(0, 12) + 5]
    if not question.lower().startswith(bytes([4]) + b"slow" + bytes([4]) + b"test"):
        continue
    address = question[-4:-2] == bytes([0, 1])  # type A
    answer = bytes([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 64, 4, 1]) if address else b""
    reply = query[:2] + bytes([0x81, 0x80, 0, 1, 0, address, 0, 0, 0, 0]) + question + answer
    threading.Timer(0.2, server.sendto, (reply, peer)).start()
'''


def check_resolution():
    log = work / "names.log"
    server = lab.Process([sys.executable, "-c", NAME_SERVER], log, near)
    lab.wait_for("the name server listens", lambda: "listens" in log.read_text())
    for ask, how in ((names_by_try, "try"), (names_by_run, "run")):
        _, found, said = ask(["slow.test", "one.test", "10.64.2.1"], ["v4"])
        slow, one, literal = (found[name][0] for name in ("slow.test", "one.test", "10.64.2.1"))
        check(all(value(edge, "received") == 1 for edge in (slow, one, literal)), f"{how}: two names and an address are reached: {said.strip()[:200]}")
        check(slow["address"] == "10.64.4.1" and slow["resolve_s"] > 0.199, f"{how}: the server took 0.2 s, the name {slow['resolve_s']} s")
        check(one["resolve_s"] > 0, f"{how}: a name of the hosts file took {one['resolve_s']} s")
        check("resolve_s" not in literal, f"{how}: an address was not resolved")
    server.kill()


fleet = lab.Fleet(work, near, near.address)
fleet.add_agent("a1", near, near.address, prefix=with_names()[len(lab.inside(near.name)):], options=["--log-level", "debug"])
group = work / "all.yaml"
group.write_text("apiVersion: todd/v1\nkind: Group\nmetadata: {name: all}\nspec: {match: {agent: a1}}\n")
check(fleet.todd("apply", "-f", group).returncode == 0, "a group of the agent")
check_resolution()
check_params(fleet)
check_ranges(fleet)
check_no_hosts(fleet)
check_files()
fleet.add_agent("a2", far, far.address)
check_together(fleet)
for check_all in (check_names, check_misfits):
    check_all(names_by_try, "try")
    check_all(names_by_run, "run")
log = (work / "a1.log").read_text()
check("debug names: All nameservers have failed" in log and "[msg]" not in log and "[warn]" not in log, "that its name server is dead stands in the agent's log at debug level")
done = subprocess.run([lab.BIN / "todd-agent", "--test-address", "foo"], capture_output=True, text=True)
check_refused(done, "todd-agent --test-address foo", 'todd-agent: --test-address: "foo" is no IPv4 or IPv6 address')
