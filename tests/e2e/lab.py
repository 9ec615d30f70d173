"""Processes and network namespaces of an end-to-end test, cleaned up whatever happens."""
import atexit, contextlib, csv, ctypes, json, os, pathlib, random, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time

BIN = pathlib.Path(os.environ["TODD_BIN"])
SOURCE = pathlib.Path(os.environ["TODD_SOURCE"])
_undo = []


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def need_icmp():
    """Skips unless this process may send echoes: by a ping socket or by a raw one."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except PermissionError:
            pass
    skip('ICMP needs root, CAP_NET_RAW, or sysctl -w net.ipv4.ping_group_range="0 2147483647"')


def need_programs(**package_of):
    """The paths of the programs; skips where one is missing."""
    found = [shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") for program in package_of]
    for (program, package), path in zip(package_of.items(), found):
        if path is None:
            skip(f"needs {program}, of the package {package}")
    return found


def need_namespaces():
    """Skips where no network namespace can be made: without root, and in most containers."""
    if os.geteuid() != 0:
        skip("network namespaces need root")
    need_programs(ip="iproute2", nsenter="util-linux")
    remove_namespaces_of_the_dead()
    name = namespace_name("probe")
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    if made.returncode != 0:
        skip(f"no network namespace can be made here: {made.stderr.strip()}")


def namespace_name(word):
    return f"todd-{word}-{os.getpid()}"


def remove_namespaces_of_the_dead():
    """Those of tests that were killed and could not clean up, with what still runs in them."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    for name in re.findall(r"^(todd-\S+-\d+)\b", listed, re.MULTILINE):
        if pathlib.Path(f"/proc/{name.rsplit('-', 1)[1]}").exists():
            continue
        pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout
        for pid in pids.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", name], capture_output=True)  # another test may be about it too


def back_ends():
    """The engines this host has. Without io_uring the rest runs on the other, and the reason is printed."""
    done = todd("try", "http", f"http://127.0.0.1:{free_port()}/", "--count", 1, "--engine", "uring")
    reason = re.search(r"worker: (io_uring: .*)", done.stderr)
    if not reason:
        return ("uring", "event")
    print("skipped: the uring engine,", reason[1])
    return ("event",)


def loopbacks():
    """127.0.0.1, and ::1 where this host has it."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        print("skipped: ::1,", error)
        return ("127.0.0.1",)
    return ("127.0.0.1", "::1")


def free_port():
    """A port nobody has, for programs that can be told a port but not to choose one. None that the kernel gives to connections
    and to who binds 0, where it can be: somebody else would have it before the program does."""
    first, last = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    port = random.choice([*range(10_000, first), *range(last + 1, 65_536)] or range(1024, 65_536))
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            tcp.bind(("", port)), udp.bind(("", port))
        except OSError:
            return free_port()
    return port


def _killed(signo, _):
    """Ends what waits for a child, in other threads too, and leaves as at the end of the test."""
    signal.signal(signo, signal.SIG_IGN)
    for pid in children(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    sys.exit(128 + signo)


def _end_with_ctest():
    """ctest that is killed leaves its tests running: they ask the kernel to be told."""
    parent = os.getppid()
    if pathlib.Path(f"/proc/{parent}/comm").read_text().strip() != "ctest":
        return
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


for _signo in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signo, _killed)
_end_with_ctest()


@atexit.register
def _cleanup():
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # once is enough
        signal.signal(signo, signal.SIG_IGN)
    for undo in reversed(_undo):
        try:
            undo()
        except Exception as error:  # one failure must not keep the others from being cleaned
            with contextlib.suppress(OSError):  # nobody reads any more
                print("cleanup:", error, file=sys.stderr)


def scratch():
    path = pathlib.Path(tempfile.mkdtemp(prefix="todd-e2e-"))
    _undo.append(lambda: shutil.rmtree(path, ignore_errors=True))
    return path


def check(condition, what):
    if not condition:
        print("FAILED:", what, file=sys.stderr)
        sys.exit(1)
    print("ok:", what)


def abi_minor():
    """Of the SDK of this tree."""
    return int(re.search(r"#define TODD_ABI_MINOR (\d+)", (SOURCE / "sdk/include/todd/testlet.h").read_text())[1])


def tree(path):
    """An own copy of the command and the worker under path; returns its folder of testlets, empty. Links would not do: the
    programs look for each other beside what they really are."""
    (path / "bin").mkdir(parents=True)
    for name in ("todd", "todd-worker"):
        shutil.copy(BIN / name, path / "bin" / name)
    testlets = path / "lib/todd/testlets"
    testlets.mkdir(parents=True)
    return testlets


NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all"]


def tree_for_nobody():
    """An own copy with its testlets, where NOBODY may read and run it."""
    path = scratch()
    shutil.copytree(BIN / "../lib/todd/testlets", tree(path), dirs_exist_ok=True)
    path.chmod(0o755)
    return path


def udp_echo():
    """The port on 127.0.0.1 of a UDP echo that lives as long as the test."""
    echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    echo.bind(("127.0.0.1", 0))

    def serve():
        while True:
            echo.sendto(*echo.recvfrom(65536))

    threading.Thread(target=serve, daemon=True).start()
    return echo.getsockname()[1]


def sh(*words):
    subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL)


def wait_for(what, predicate, seconds=20):
    """For things outside our own protocol that offer no event: polls until true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = predicate()
        if value:
            return value
        time.sleep(0.05)
    check(False, f"{what} within {seconds} s")


def inside(namespace, *words):
    """The command in the network namespace of that name. Not `ip netns exec`, which remounts / and so fails in a chroot."""
    return ["nsenter", f"--net=/run/netns/{namespace}"] + [str(w) for w in words]


def ip(namespace, *words):
    sh(*inside(namespace, "ip", *words))


class Namespace:
    """A network namespace joined by veth to one bridge; address 198.18.0.N/24 and fd18::N/64. See pair() for two without a bridge."""
    bridge = None

    def __init__(self, name, n, bridged=True):
        self.name, self.address, self.address6 = namespace_name(name), f"198.18.0.{n}", f"fd18::{n}"
        if bridged and Namespace.bridge is None:
            Namespace.bridge = namespace_name("hub")
            _undo.append(lambda: sh("ip", "netns", "del", Namespace.bridge))
            sh("ip", "netns", "add", Namespace.bridge)
            ip(Namespace.bridge, "link", "add", "br0", "type", "bridge")
            ip(Namespace.bridge, "link", "set", "br0", "up")
        _undo.append(lambda: sh("ip", "netns", "del", self.name))  # first: a signal may come in between
        sh("ip", "netns", "add", self.name)
        ip(self.name, "link", "set", "lo", "up")
        if bridged:
            sh("ip", "link", "add", "eth0", "netns", self.name, "type", "veth", "peer", "name", f"p{n}", "netns", Namespace.bridge)
            ip(Namespace.bridge, "link", "set", f"p{n}", "master", "br0", "up")
            self.bring_up()

    def bring_up(self):
        ip(self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        ip(self.name, "addr", "add", f"{self.address6}/64", "dev", "eth0", "nodad")
        ip(self.name, "link", "set", "eth0", "up")
        ip(self.name, "route", "add", "default", "dev", "eth0")


def pair(near, far):
    """Two namespaces joined by one veth pair, with nothing in between."""
    need_programs(ping="iputils-ping")
    ends = Namespace(near, 1, bridged=False), Namespace(far, 2, bridged=False)
    sh("ip", "link", "add", "eth0", "netns", ends[0].name, "type", "veth", "peer", "name", "eth0", "netns", ends[1].name)
    for end in ends:
        end.bring_up()
    sh(*inside(ends[0].name, "ping", "-c", "1", "-W", "2", ends[1].address))
    return ends


def relayed(near, far):
    """Two namespaces with a third between them, whose eth0 and eth1 are joined by nothing but a DelayLab that relays. Packets come
    one by one as on a wire: no segmentation is left to the interfaces."""
    ends, middle = (Namespace(near, 1, bridged=False), Namespace(far, 2, bridged=False)), Namespace("relay", 3, bridged=False)
    for end, name in zip(ends, ("eth0", "eth1")):
        sh("ip", "link", "add", "eth0", "netns", end.name, "type", "veth", "peer", "name", name, "netns", middle.name)
        sh(*inside(middle.name, "sh", "-c", f"echo 1 >/proc/sys/net/ipv6/conf/{name}/disable_ipv6"))
        ip(middle.name, "link", "set", name, "up")
        ip(end.name, "link", "set", "eth0", "gso_max_segs", 1)
        end.bring_up()
    return *ends, middle


class Process:
    def __init__(self, words, log, namespace=None, env=None):
        words = [str(w) for w in words]
        if namespace:
            words = inside(namespace.name, *words)
        self.log = log
        self.process = subprocess.Popen(words, stdout=open(log, "ab"), stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        _undo.append(self.kill)

    def pid(self):
        return self.process.pid

    def kill(self, signo=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(signo)
            self.process.wait()

    def stop(self):
        self.kill(signal.SIGTERM)


class DelayLab:
    """Answers for addresses that nobody has, in a namespace, by rules (tests/support/delay_lab/README.md). It owns those that its
    rules name; the others must have a route there. relay: the other interface, to which it passes packets of addresses that
    somebody has (see relayed())."""

    def __init__(self, namespace, *rules, interface="eth0", relay=None):
        work = scratch()
        self._log, self._journal = work / "delay-lab.log", work / "delay-lab.csv"
        words = [BIN / "../tests/delay-lab", "--interface", interface, "--journal", self._journal]
        words += ["--relay", relay] if relay else []
        for rule in rules:
            words += ["--rule", rule]
            if relay is None:
                ip(namespace.name, "route", "replace", "blackhole", rule.split()[0])  # or the kernel there calls it unreachable
        self._process = Process(words, self._log, namespace)
        wait_for("the delay lab is ready", lambda: "ready" in self._log.read_text() or self._process.process.poll() is not None)
        check("ready" in self._log.read_text(), f"the delay lab starts: {self._log.read_text().strip()}")

    def end(self):
        """Its journal: a dict for each thing done to a request, in that order, numbers as int. See Journal in the lab's sources."""
        self._process.stop()
        said = self._log.read_text()
        check(self._process.process.returncode == 0 and re.search(r", 0 frames missed, 0 not sent", said), f"the delay lab saw and sent all: {said.splitlines()[-1]}")
        words = ("event", "protocol", "from", "to")
        with open(self._journal) as file:
            return [{key: value if key in words else int(value) for key, value in row.items()} for row in csv.DictReader(file)]


def todd(*words, namespace=None, env=None, stdin=None, timeout=120):
    command = [str(BIN / "todd")] + [str(w) for w in words]
    if namespace:
        command = inside(namespace.name, *command)
    return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=timeout, env={**os.environ, **(env or {})})


def listening_ports(process, namespace=None):
    """TCP ports the process listens on, of a program that does not say which it got."""
    command = ["ss", "-Hltnp"] if namespace is None else inside(namespace.name, "ss", "-Hltnp")
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(line.split()[3].rsplit(":", 1)[1]) for line in shown.splitlines() if f"pid={process.pid()}," in line]


class Fleet:
    """A coordinator and agents, each in the namespace given (or none)."""

    def __init__(self, work, namespace=None, address="127.0.0.1", options=(), engine="auto"):
        self.work, self.namespace, self.address, self.options, self.engine = work, namespace, address, list(options), engine
        self.port = 0  # any; after a restart the one that the agents know
        self.env = {"TODD_COORDINATOR": str(work / "coordinator/api.sock")}
        self.agents = {}
        self.start_coordinator()

    def start_coordinator(self):
        self.coordinator = Process([BIN / "todd-coordinator", "--data-dir", self.work / "coordinator", "--link", f"{self.address}:{self.port}"] + self.options,
                                   self.work / "coordinator.log", self.namespace)
        wait_for("the coordinator answers", lambda: self.todd("version").returncode == 0 and "coordinator" in self.todd("version").stdout)
        self.port = int(re.findall(r"agents on \S+:(\d+)", (self.work / "coordinator.log").read_text())[-1])

    def todd(self, *words, **more):
        return todd(*words, env=self.env, **more)

    def json(self, *words):
        done = self.todd(*words, "-o", "json")
        check(done.stdout, f"todd {' '.join(map(str, words))} prints JSON ({done.stderr.strip()})")
        return json.loads(done.stdout), done.returncode

    def add_agent(self, name, namespace=None, test_address=None, labels=(), prefix=(), options=()):
        token = self.todd("agents", "invite").stdout.strip()
        check(token, f"a token for {name}")
        words = [*prefix, BIN / "todd-agent", "--data-dir", self.work / name, "--name", name, "--join", token, "--engine", self.engine, *options]
        for address in [test_address] if isinstance(test_address, str) else test_address or ():
            words += ["--test-address", address]
        for label in labels:
            words += ["--label", label]
        self.agents[name] = (words, namespace)
        return self.start_agent(name)

    def start_agent(self, name):
        words, namespace = self.agents[name]
        process = Process(words, self.work / f"{name}.log", namespace)
        wait_for(f"{name} is connected", lambda: self.connected(name))
        return process

    def connected(self, name):
        done = self.todd("agents", "-o", "json")
        if done.returncode != 0:
            return False
        text = json.loads(done.stdout)
        agents = text if isinstance(text, list) else text.get("agents", text.get("items", []))
        return any((a.get("name") or a.get("agent")) == name and a.get("connected") for a in agents)


def edges(report, test):
    return next(t for t in report["tests"] if t["name"] == test)["edges"]


def value(edge, metric):
    return edge["metrics"][metric]["value"]


def children(pid):
    """Pids of the process's children."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(entry.name))
            except (OSError, IndexError):
                pass
    return found
