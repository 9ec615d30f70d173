"""ICMP without any privilege: ping sockets, where net.ipv4.ping_group_range allows them."""
import json, signal, subprocess

import lab
from lab import check

lab.need_namespaces()


def idents(namespace, ident):
    """Whether an echo request with that ident passes in the namespace."""
    code = f"""
import socket, struct, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
tap.settimeout(2)
while True:
    packet = tap.recv(200)
    header = (packet[0] & 15) * 4
    if packet[9] == 1 and packet[header] == 8:
        sys.exit(0 if struct.unpack_from('>H', packet, header + 4)[0] == {ident} else 1)
"""
    return subprocess.run(lab.inside(namespace.name, "python3", "-c", code), stderr=subprocess.DEVNULL).returncode == 0


# A network of its own, because the range belongs to it; and a tree that another user may read.
home = lab.Namespace("ping", 1)
lab.sh(*lab.inside(home.name, "sh", "-c", "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range"))
tree = lab.tree_for_nobody()
engines = lab.back_ends()
# What an older kernel has of io_uring, withheld here.
for asked, runs, said in (("uring:6.0", "uring", ""), ("auto:5.15", "event", ""), ("uring:5.15", None, "io_uring: SUBMIT_ALL is missing")):
    if "uring" not in engines:
        continue
    done = subprocess.run(lab.inside(home.name, str(tree / "bin/todd"), "try", "ping", "127.0.0.1", "--count", "20", "--interval", "5ms", "--engine", asked, "-o", "json"),
                          capture_output=True, text=True)
    [edge] = json.loads(done.stdout)["tests"][0]["edges"]
    if runs:
        check(edge["quality"]["engine"] == runs and lab.value(edge, "received") == 20, f"--engine {asked} runs on {runs}, 20 of 20")
    else:
        check(done.returncode != 0 and said in done.stderr, f"--engine {asked}: {done.stderr.strip()[:300]}")
for who, prefix in (("root", []), ("nobody", lab.NOBODY)):
    for engine in engines:
        words = prefix + [str(tree / "bin/todd"), "try", "ping", "127.0.0.1", "::1", home.address, "--count", "20", "--interval", "5ms",
                          "--engine", engine, "-o", "json"]
        done = subprocess.run(lab.inside(home.name, *words), capture_output=True, text=True)
        fixed = subprocess.run(lab.inside(home.name, *words, "--ident", "4242"), capture_output=True, text=True)
        check(fixed.returncode == 0, f"{who}, {engine}: with an ident of its own too ({fixed.returncode}: {fixed.stderr.strip()[:200]})")
        check(done.returncode == 0, f"{who}, {engine}: exits 0 ({done.returncode}: {done.stderr.strip()[:200]})")
        edges = json.loads(done.stdout)["tests"][0]["edges"]
        check(len(edges) == 3, f"{who}, {engine}: an edge per address")
        for edge in edges:
            metrics = edge["metrics"]
            check(metrics["received"]["value"] == 20 and metrics["lost"]["value"] == 0, f"{who}, {engine}: 20 of 20 at {edge['target']['name']}")

def lines_of(namespace, *files):
    return [line.split() for line in subprocess.run(lab.inside(namespace.name, "cat", *files), capture_output=True, text=True, check=True).stdout.splitlines()]


def sent_so_far(namespace, protocol, counter):
    names, values = (words for words in lines_of(namespace, "/proc/net/snmp") if words[0] == f"{protocol}:")
    return int(values[names.index(counter)])


# Who does not ping by ICMP gets no socket for it, and so needs no privilege.
for mode, protocol, counter in (("icmp", "Icmp", "OutEchos"), ("udp", "Udp", "OutDatagrams"), ("tcp", "Tcp", "ActiveOpens")):
    before = sent_so_far(home, protocol, counter)
    words = [lab.BIN / "todd", "try", "ping", home.address if mode == "icmp" else f"{home.address}:9", "--mode", mode, "--interval", "20ms", "--count", 10000]
    running = lab.Process(words, lab.scratch() / "mode.log", home)
    lab.wait_for(f"mode {mode} has sent", lambda: sent_so_far(home, protocol, counter) >= before + 3)
    found = [words for words in lines_of(home, "/proc/net/raw", "/proc/net/icmp") if words[0] != "sl"]
    running.kill(signal.SIGINT)
    check(bool(found) == (mode == "icmp"), f"mode {mode} has {len(found)} sockets of ICMP")

# Without a route nothing leaves, and nothing is lost.
subprocess.run(lab.inside(home.name, "ip", "route", "add", "unreachable", "203.0.113.0/24"), check=True)
done = subprocess.run(lab.inside(home.name, *lab.NOBODY, str(tree / "bin/todd"), "try", "ping", "203.0.113.1", "--count", "2", "--interval", "5ms", "-o", "json"),
                      capture_output=True, text=True)
edge = json.loads(done.stdout)["tests"][0]["edges"][0]
check(edge["metrics"]["received"]["value"] == 0 and edge["metrics"]["unsent"]["value"] == 2, f"no route: the probes did not leave ({done.returncode})")

# Without privileges, asked for: root pings by ping sockets where they are allowed; else the remedy is named, and
# what needs none goes on.
lab.Process(["python3", "-m", "http.server", "-b", home.address, 8080], lab.scratch() / "server.log", home)
lab.wait_for("the server listens", lambda: ":8080" in subprocess.run(lab.inside(home.name, "ss", "-Hltn"), capture_output=True, text=True).stdout)
for engine in engines:
    for groups, mode, code in (("0 2147483647", "icmp", 0), ("1 0", "icmp", 4), ("1 0", "tcp", 0)):
        lab.sh(*lab.inside(home.name, "sh", "-c", f"echo {groups} >/proc/sys/net/ipv4/ping_group_range"))
        target = f"{home.address}:8080" if mode == "tcp" else home.address
        done = subprocess.run(lab.inside(home.name, str(tree / "bin/todd"), "try", "ping", target, "--mode", mode, "--count", "20", "--interval", "5ms",
                                         "--unprivileged", "--engine", engine, "-o", "json"), capture_output=True, text=True)
        [edge] = json.loads(done.stdout)["tests"][0]["edges"]
        told = f"{engine}, unprivileged, {mode}, groups {groups}"
        check(done.returncode == code, f"{told}: exits {code} ({done.returncode}: {done.stderr.strip()[:200]})")
        if code == 0:
            check(lab.value(edge, "received") == 20, f"{told}: 20 of 20 are answered")
        else:
            check(edge["reason"] == "permission" and "CAP_NET_RAW" in edge["detail"] and "ping_group_range" in edge["detail"], f"{told}: {edge['detail']}")

# A fixed ident is on the wire, with ping sockets and with raw ones, and refused where another ping has it.
for kind, groups in (("ping", "0 2147483647"), ("raw", "1 0")):
    lab.sh(*lab.inside(home.name, "sh", "-c", f"echo {groups} >/proc/sys/net/ipv4/ping_group_range"))
    for engine in engines:
        base = [str(tree / "bin/todd"), "try", "ping", "--engine", engine, "--ident", "4242", "-o", "json"]
        first = subprocess.Popen(lab.inside(home.name, *base, "127.0.0.1", "::1", "--count", "2000", "--interval", "5ms", "--samples", "all"), stdout=subprocess.PIPE, text=True)
        lab.wait_for("its echoes leave", lambda: idents(home, 4242))
        for target in ("127.0.0.1", "::1"):
            second = subprocess.run(lab.inside(home.name, *base, target, "--count", "1"), capture_output=True, text=True)
            [edge] = json.loads(second.stdout)["tests"][0]["edges"]
            check(edge["reason"] == "local_resource" and "ident 4242 is in use by another ping of this host" in edge["detail"], f"{kind}, {engine}: {edge['reason']}: {edge['detail']}")
        first.send_signal(signal.SIGINT)
        for edge in json.loads(first.communicate()[0])["tests"][0]["edges"]:
            check(lab.value(edge, "received") > 0 and lab.value(edge, "lost") == 0, f"{kind}, {engine}: the first one goes on at {edge['address']}")
        again = subprocess.run(lab.inside(home.name, *base, "127.0.0.1", "--count", "2", "--interval", "5ms"), capture_output=True, text=True)
        check(again.returncode == 0, f"{kind}, {engine}: and leaves the ident free ({again.stderr.strip()[:200]})")
done = subprocess.run([str(tree / "bin/todd"), "try", "ping", "127.0.0.1:7", "--mode", "udp", "--ident", "4242", "-o", "json"], capture_output=True, text=True)
check("ident: belongs to mode icmp" in done.stdout + done.stderr, "an ident in mode udp is refused")
