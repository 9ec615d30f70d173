"""Where the benches play: two namespaces, one veth pair, and behind the far end four million addresses that its kernel answers for."""
import contextlib, functools, ipaddress, os, subprocess

import lab

FIRST = ipaddress.IPv4Address("10.64.0.0")  # of 10.64.0.0/10
LAB_PREFIX = "10.32.0.0/16"  # where a delay lab at the far end may answer


class Stage:
    def __init__(self):
        self.near, self.far = lab.pair("near", "far")
        lab.ip(self.far.name, "route", "add", "local", "10.64.0.0/10", "dev", "lo")  # one neighbour for all: no storm of ARP
        for prefix in ("10.64.0.0/10", LAB_PREFIX):
            lab.ip(self.near.name, "route", "add", prefix, "via", self.far.address)
        # As most distributions set it: without it ToDD's sockets would be raw ones.
        lab.sh(*lab.inside(self.near.name, "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647"))
        lab.sh(*lab.inside(self.near.name, "ping", "-c", "1", "-W", "2", str(FIRST)))

    def far_mac(self):
        return subprocess.run(lab.inside(self.far.name, "ip", "-o", "link", "show", "eth0"), capture_output=True, text=True, check=True).stdout.split("link/ether ")[1].split()[0]


@functools.cache
def stage():
    """The one of this run."""
    return Stage()


def addresses(count):
    """That many targets as ToDD writes a range."""
    return f"{FIRST}-{FIRST + count - 1}" if count > 1 else str(FIRST)


@functools.cache
def file_of(count):
    """The same, one a line, for peers that read files."""
    path = lab.scratch() / f"targets-{count}"
    path.write_text("".join(f"{FIRST + n}\n" for n in range(count)))
    return path


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def at(q, values):
    """The quantile as the values of a row: none of nothing."""
    return [quantile(values, q)] if values else []


@contextlib.contextmanager
def cores(busy):
    """Every core computes while it lasts, if busy."""
    load = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() if busy else 0)]
    try:
        yield
    finally:
        for process in load:
            process.kill()
            process.wait()
