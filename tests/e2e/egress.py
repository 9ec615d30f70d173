"""By which way probes leave: --source, --interface, --mark, --flow-label and --df, as the far end sees them."""
import ctypes, json, os, socket, struct, subprocess, threading

import lab
from lab import check, edges, value
from truth import CLONE_NEWNET

lab.need_namespaces()
near, far = lab.pair("near", "far")
SECOND, SECOND6 = "198.18.0.77", "fd18::77"
lab.ip(near.name, "addr", "add", f"{SECOND}/32", "dev", "eth0")
lab.ip(near.name, "addr", "add", f"{SECOND6}/128", "dev", "eth0", "nodad")


class Seen(threading.Thread):
    """What probes look like when they arrive in a namespace: (source, whether DF is set, whether it is a fragment)."""

    def __init__(self, namespace, device="eth0"):
        super().__init__(daemon=True)
        self.namespace, self.device, self.packets, self.labels, self.ready, self.ended = namespace, device, [], [], threading.Event(), False
        self.start()
        self.ready.wait()

    def run(self):
        handle = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
        assert ctypes.CDLL(None).setns(handle, CLONE_NEWNET) == 0
        os.close(handle)
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        tap.bind((self.device, 3))
        tap.settimeout(0.2)
        self.ready.set()
        while not self.ended:
            try:
                packet, address = tap.recvfrom(65536)
            except TimeoutError:
                continue
            if address[2] == socket.PACKET_OUTGOING:
                continue
            if packet[0] >> 4 == 4 and packet[9] in (socket.IPPROTO_ICMP, socket.IPPROTO_TCP, socket.IPPROTO_UDP):
                flags = struct.unpack_from("!H", packet, 6)[0]
                self.packets.append((socket.inet_ntoa(packet[12:16]), bool(flags & 0x4000), bool(flags & 0x3FFF)))
            elif packet[0] >> 4 == 6 and (packet[6] in (socket.IPPROTO_TCP, socket.IPPROTO_UDP) or (packet[6] == socket.IPPROTO_ICMPV6 and packet[40] == 128)):
                self.packets.append((socket.inet_ntop(socket.AF_INET6, packet[8:24]), None, False))
                self.labels.append(struct.unpack_from("!I", packet)[0] & 0xFFFFF)

    def end(self):
        self.ended = True
        self.join()
        return set(self.packets)


def try_ping(target, *words, code=0):
    seen = Seen(far.name)
    done = lab.todd("try", "ping", target, "--count", 5, "--interval", "5ms", "--timeout", "500ms", "-o", "json", *words, namespace=near)
    check(done.returncode == code, f"ping {target} {' '.join(map(str, words))} exits {code} ({done.returncode}: {done.stderr.strip()[:200]})")
    report = json.loads(done.stdout) if done.stdout else None
    return seen.end(), report and edges(report, "ping")[0]


for engine in lab.back_ends():
    words = ["--engine", engine]
    seen, edge = try_ping(far.address, "--source", SECOND, *words)
    check({s for s, _, _ in seen} == {SECOND} and value(edge, "received") == 5, f"{engine}: all come from the source asked for {seen}")
    seen, edge = try_ping(far.address6, "--source", SECOND6, *words)
    check({s for s, _, _ in seen} == {SECOND6} and value(edge, "received") == 5, f"{engine}: the same with IPv6 {seen}")
    for df, bit in (("set", True), ("clear", False)):
        seen, _ = try_ping(far.address, "--df", df, *words)
        check({d for _, d, _ in seen} == {bit}, f"{engine}: --df {df} is what arrives {seen}")
    seen, edge = try_ping(far.address, "--df", "clear", "--size", 3000, *words)
    check(any(f for _, _, f in seen) and value(edge, "received") == 5, f"{engine}: cut where it may be, and answered")
    seen, edge = try_ping(far.address, "--df", "set", "--size", 3000, *words, code=5)
    check(not seen and value(edge, "unsent") == 5 and value(edge, "lost") == 0, f"{engine}: with DF too long a probe does not leave, and is not lost")
    seen, edge = try_ping(far.address, "--interface", "eth0", *words)
    check(value(edge, "received") == 5, f"{engine}: through the interface that leads there")
    seen, edge = try_ping(far.address, "--interface", "lo", *words, code=1)
    check(not seen and value(edge, "received") == 0, f"{engine}: nothing through one that does not")

seen = Seen(far.name)
lab.todd("try", "http", f"http://{far.address}:9/", "--count", 1, "--source", SECOND, namespace=near)
check({s for s, _, _ in seen.end()} == {SECOND}, "a TCP connection comes from there too")

# A second link, which only marked packets take.
MARK = "0x2a"
lab.sh("ip", "link", "add", "eth1", "netns", near.name, "type", "veth", "peer", "name", "eth1", "netns", far.name)
for side, host in ((near, 1), (far, 2)):
    lab.ip(side.name, "addr", "add", f"198.19.0.{host}/24", "dev", "eth1")
    lab.ip(side.name, "addr", "add", f"fd19::{host}/64", "dev", "eth1", "nodad")
    lab.ip(side.name, "link", "set", "eth1", "up")
for family, there, gateway in (("-4", far.address, "198.19.0.2"), ("-6", far.address6, "fd19::2")):
    lab.ip(near.name, family, "rule", "add", "fwmark", MARK, "table", 77)
    lab.ip(near.name, family, "route", "add", there, "via", gateway, "table", 77)
    lab.wait_for(f"{gateway} answers", lambda: subprocess.run(lab.inside(near.name, "ping", "-c", "1", "-W", "1", gateway), stdout=subprocess.DEVNULL).returncode == 0)
for engine in lab.back_ends():
    for mode, target in (("icmp", far.address), ("icmp", far.address6), ("udp", far.address), ("udp", far.address6), ("tcp", far.address), ("tcp", far.address6)):
        for mark, device in ((MARK, "eth1"), ("43", "eth0")):
            seen = {name: Seen(far.name, name) for name in ("eth0", "eth1")}
            at = target if mode == "icmp" else f"[{target}]:9" if ":" in target else f"{target}:9"
            lab.todd("try", "ping", at, "--mode", mode, "--count", 3, "--interval", "5ms", "--timeout", "300ms", "--mark", mark, "--engine", engine, namespace=near)
            came = {name: len(one.end()) for name, one in seen.items()}
            check({name for name, packets in came.items() if packets} == {device}, f"{engine}: {mode} to {target} with mark {mark} arrives through {device} {came}")


def check_labels(engine, sockets):
    for mode, target in (("icmp", far.address6), ("udp", f"[{far.address6}]:9"), ("tcp", f"[{far.address6}]:9")):
        for label in (1, 0xFFFFF):
            seen = Seen(far.name)
            lab.todd("try", "ping", target, "--mode", mode, "--count", 3, "--interval", "5ms", "--timeout", "300ms", "--dscp", 46, "--flow-label", label, "--engine", engine, namespace=near)
            seen.end()
            check(len(seen.labels) >= 3 and set(seen.labels) == {label}, f"{engine}, {sockets}: {mode} with flow label {label} arrives with it {seen.labels}")


def check_vrf(engine):
    for mode, target in (("icmp", "198.19.0.2"), ("udp", "198.19.0.2:9")):
        seen = {name: Seen(far.name, name) for name in ("eth0", "eth1")}
        lab.todd("try", "ping", target, "--mode", mode, "--count", 3, "--interval", "5ms", "--timeout", "300ms", "--interface", "vrf0", "--engine", engine, namespace=near)
        came = {name for name, one in seen.items() if one.end()}
        check(came == {"eth1"}, f"{engine}: {mode} through the VRF of eth1 comes through {came}")


for engine in lab.back_ends():
    check_labels(engine, "raw")
made = subprocess.run(lab.inside(near.name, "ip", "link", "add", "vrf0", "type", "vrf", "table", "100"), capture_output=True, text=True)
if made.returncode == 0:
    lab.ip(near.name, "link", "set", "vrf0", "up")
    lab.ip(near.name, "link", "set", "eth1", "master", "vrf0")
    for engine in lab.back_ends():
        check_vrf(engine)
else:
    print("skipped: VRF, this kernel has none:", made.stderr.strip())

# A third host behind a link of 1,400 bytes.
end = lab.Namespace("end", 3, bridged=False)
lab.sh("ip", "link", "add", "eth2", "mtu", 1400, "netns", far.name, "type", "veth", "peer", "name", "eth0", "mtu", 1400, "netns", end.name)
lab.sh(*lab.inside(far.name, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"))
for side, host in ((far, 2), (end, 3)):
    lab.ip(side.name, "addr", "add", f"198.20.0.{host}/24", "dev", "eth2" if side is far else "eth0")
    lab.ip(side.name, "addr", "add", f"fd20::{host}/64", "dev", "eth2" if side is far else "eth0", "nodad")
    lab.ip(side.name, "link", "set", "eth2" if side is far else "eth0", "up")
for net, gateway, way_back in (("198.20.0.0/24", far.address, "198.20.0.2"), ("fd20::/64", far.address6, "fd20::2")):
    lab.ip(near.name, "route", "add", net, "via", gateway)
    lab.ip(end.name, "-6" if ":" in net else "-4", "route", "add", "default", "via", way_back)
for target in ("198.20.0.3", "fd20::3"):
    lab.wait_for(f"{target} answers", lambda: subprocess.run(lab.inside(near.name, "ping", "-c", "1", "-W", "1", target), stdout=subprocess.DEVNULL).returncode == 0)
    for engine in lab.back_ends():
        for df, largest in (("set", 1400), ("system", None)):
            done = lab.todd("try", "ping", target, "--df", df, "--sizes", "1300..1420/4", "--count", 62, "--interval", "5ms", "--timeout", "500ms", "--engine", engine, "-o", "json", namespace=near)
            [edge] = edges(json.loads(done.stdout), "ping")
            found = edge["metrics"].get("path_mtu", {}).get("value")
            check(found == largest, f"{engine}: to {target} with df {df} the largest packet is {found} B")
            if df == "set":
                check(value(edge, "mtu") == 1400, f"{engine}: as the router says")


def refused(text, *words):
    done = lab.todd("try", "ping", *words, namespace=near)
    check(done.returncode == 2 and text in done.stderr, f"{' '.join(words)}: {text} ({done.returncode}: {done.stderr.strip()[:200]})")


refused("this host has no such address", far.address, "--source", "203.0.113.9")
refused("this host has no such address", f"{far.address}:80", "--mode", "tcp", "--source", "203.0.113.9")
refused("this host has no such address", f"{far.address}:80", "--mode", "udp", "--source", "203.0.113.9")
done = lab.todd("try", "http", f"http://{far.address}:9/", "--count", 1, "--source", "203.0.113.9", namespace=near)
check(done.returncode == 2 and "this host has no such address" in done.stderr, f"http says so too ({done.returncode}: {done.stderr.strip()[:200]})")
refused("this host has no such interface", far.address, "--interface", "eth7")
refused("is no IPv4 or IPv6 address", far.address, "--source", "eth0")
refused("is IPv6, but the test's family is IPv4", far.address6, "--source", SECOND)
refused("which is not the family of the test", "-6", far.address6, "--source", SECOND)
refused("longer than the 15 characters", far.address, "--interface", "an-interface-of-some-length")
refused('did you mean "set"', far.address, "--df", "sett")
for words in (["--mark", "1"], ["--flow-label", "1"]):
    refused("via: packet goes by the routes", far.address, *words, "--via", "packet")
refused("is IPv4, but the test's family is IPv6", far.address, "--flow-label", "1")
refused("only IPv6 has one", "-4", "localhost", "--flow-label", "1")
for wrong, text in (("-1", "out of range, allowed 0 to 1048575"), ("1048576", "out of range"), ("blue", "is no whole number")):
    refused("--flow-label: ", far.address6, f"--flow-label={wrong}")
    refused(text, far.address6, f"--flow-label={wrong}")
for wrong, text in (("-1", "out of range, allowed 0 to 4294967295"), ("4294967296", "out of range"), ("blue", "is no whole number")):
    refused("--mark: ", far.address, f"--mark={wrong}")
    refused(text, far.address, f"--mark={wrong}")
lab.sh(*lab.inside(near.name, "sh", "-c", "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range"))
for engine in lab.back_ends():
    check_labels(engine, "ping sockets")
for words in ([far.address], [f"{far.address}:9", "--mode", "udp"], [f"{far.address}:9", "--mode", "tcp"]):
    command = ["setpriv", "--bounding-set=-net_admin,-net_raw", str(lab.BIN / "todd"), "try", "ping", *words, "--count", "1", "--mark", MARK]
    done = subprocess.run(lab.inside(near.name, *command), capture_output=True, text=True)
    check(done.returncode == 4 and "mark 42: " in done.stderr and "grant" in done.stderr, f"{' '.join(words)} without the privilege to mark: {done.returncode}: {done.stderr.strip()[:250]}")
