"""ping over several source ports, towards a service that does not like one of them; pairs of families; params refused in the plan."""
import json, re, socket, subprocess, threading

import lab
from lab import check, edges, loopbacks, todd, value


class Picky(threading.Thread):
    """Echoes datagrams, but only every second one from this port. Remembers who came."""

    def __init__(self, family, host, disliked):
        super().__init__(daemon=True)
        self.disliked, self.came = disliked, []
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            data, peer = self.socket.recvfrom(65536)
            self.came.append(peer[1])
            if peer[1] != self.disliked or self.came.count(peer[1]) % 2:
                self.socket.sendto(data, peer)


class Door(threading.Thread):
    """Accepts connections and remembers their ports."""

    def __init__(self):
        super().__init__(daemon=True)
        self.came = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            connection, peer = self.socket.accept()
            self.came.append(peer[1])
            connection.close()


def ping(target, *words):
    done = todd("try", "ping", target, "--interval", "10ms", "--timeout", "300ms", "-o", "json", *words)
    check(done.stdout, f"{target}: a report ({done.stderr.strip()[:300]})")
    return json.loads(done.stdout)["tests"][0]["edges"][0]


def free_ports(count):
    """The first of so many that nobody has, for datagrams or for connections."""
    while True:
        first = lab.free_port()
        held = []
        try:
            for port in range(first, first + count):
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                        held.append(socket.socket(family, kind))
                        if family == socket.AF_INET6:
                            held[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                        held[-1].bind((host, port))
            return first
        except (OSError, OverflowError):
            pass
        finally:
            for one in held:
                one.close()


for engine in lab.back_ends():
    for host in loopbacks():
        first = free_ports(4)
        family, shown = (socket.AF_INET6, f"[{host}]") if ":" in host else (socket.AF_INET, host)
        service = Picky(family, host, first + 2)
        edge = ping(f"{shown}:{service.port}", "--engine", engine, "--mode", "udp", "--flows", 4, "--source-port", first, "--count", 80)
        metrics = edge["metrics"]
        came, rounds = service.came, [first + n % 4 for n in range(80)]
        # Each port has a socket of its own, and what is due at once, after a stall of this host, leaves in the order of sockets.
        in_turn = came == rounds or edge["quality"]["lateness_p99_s"] > 0.005 and sorted(came) == sorted(rounds)
        check(in_turn, f"{engine}: {host}: the rounds go through ports {first} to {first + 3} ({came}, {edge['quality']['lateness_p99_s']} s late)")
        check(metrics["flow_sent"]["values"] == {str(first + n): 20 for n in range(4)}, f"{engine}: 20 probes of each")
        check(metrics["flow_lost"]["values"] == {str(first + 2): 10} and value(edge, "lost") == 10, f"{engine}: and who loses them")
        notes = [example["detail"] for example in edge["examples"] if example["outcome"] == "flow_loss"]
        check(notes == [f"udp {shown}:{first + 2} to {shown}:{service.port}: 10 of 20 lost"], f"{engine}: named in full: {notes}")
    edge = ping(f"127.0.0.1:{Picky(socket.AF_INET, '127.0.0.1', 0).port}", "--engine", engine, "--mode", "udp", "--flows", 64, "--count", 640)
    check(len(edge["metrics"]["flow_sent"]["values"]) == 64 and value(edge, "received") == 640, f"{engine}: 64 flows from ports of the system's choice")

    door, first = Door(), free_ports(3)
    edge = ping(f"127.0.0.1:{door.port}", "--engine", engine, "--mode", "tcp", "--source-port", f"{first}-{first + 2}", "--count", 60)
    check(value(edge, "received") == 60 and value(edge, "unsent") == 0, f"{engine}: 60 handshakes from three ports, again and again ({value(edge, 'received')}, {value(edge, 'unsent')} unsent)")
    check(sorted(set(door.came)) == [first, first + 1, first + 2], f"{engine}: and from no others")

# A pair of edges for a name of both families, which a table of names of our own has.
hosts = lab.scratch() / "hosts"
hosts.write_text("127.0.0.1 localhost\n127.0.0.77 pair.example\n::1 pair.example\n")
mounted = ["unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
if len(loopbacks()) == 2 and subprocess.run(mounted + ["true"], stderr=subprocess.DEVNULL).returncode == 0:
    for flags, addresses in ((["-4", "-6"], ["127.0.0.77", "::1"]), (["-6"], ["::1"]), (["-4"], ["127.0.0.77"])):
        words = [str(lab.BIN / "todd"), "try", "ping", "pair.example", *flags, "--count", "3", "--interval", "10ms", "-o", "json"]
        done = subprocess.run(mounted + words, capture_output=True, text=True)
        pair = json.loads(done.stdout)["tests"][0]["edges"]
        check(done.returncode == 0 and sorted(edge["address"] for edge in pair) == addresses, f"{' '.join(flags)}: {addresses} ({done.stderr.strip()[:200]})")
        check(all(value(edge, "received") == 3 for edge in pair), "which answer")
else:
    print("skipped: -4 -6, no mounts of our own here")

# What only the testlet could read is refused before a run begins, without any worker.
for words, text in ((["--payload", "zz"], '--payload: "zz" does not fit: content of a probe'), (["--sizes", "56..1400"], "--sizes:"), (["--mode", "udp", "--source-port", "http"], "--source-port:")):
    done = todd("try", "ping", "127.0.0.1", *words)
    check(done.returncode == 2 and text in done.stderr, f"{' '.join(words)} is refused in the plan: {done.stderr.strip()[:200]}")
fleet = lab.Fleet(lab.scratch())
fleet.add_agent("a1", test_address="127.0.0.11", labels=["site=x"])
suite = lab.scratch() / "bad.yaml"
suite.write_text("""
apiVersion: todd/v1
kind: Suite
metadata: {name: bad}
spec:
  tests:
    - {name: lat, testlet: ping, from: {agent: a1}, to: {hosts: [127.0.0.1]}, params: {payload: zz}}
""")
done = fleet.todd("run", suite, "--dry-run")
check(done.returncode != 0 and re.search(r'bad.yaml:\d+:\d+: .*payload: "zz" does not fit', done.stdout + done.stderr), f"--dry-run refuses it too, with its place: {(done.stdout + done.stderr).strip()[:200]}")
