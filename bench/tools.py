"""ToDD, the floor and the peers as commands: what they did, how long they took, what they cost."""
import dataclasses, json, os, pathlib, re, resource, shutil, subprocess, threading, time

import lab
from stage import FIRST, addresses, file_of, stage

FLOOR = lab.BIN.parent / "bench/floor"
ONE_CORE = ("taskset", "-c", "0")  # before a command; ToDD makes a lane for each core it may use


@dataclasses.dataclass
class Done:
    """A command that has ended."""
    out: str
    err: str
    code: int
    seconds: float
    cpu: float  # seconds of it and all its children


def run(*words):
    """In the near namespace."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(lab.inside(stage().near.name, *words), capture_output=True, text=True)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Done(done.stdout, done.stderr, done.returncode, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def todd(*words):
    """`todd try ping WORDS`, whole."""
    return run(lab.BIN / "todd", "try", "ping", "--yes", *words)


class Report:
    """The totals of a `todd try ping` and one edge: the first, with --period the first that has a period. What follows in the report is not read:
    of many edges it would be the longer part."""

    def __init__(self, *words, before=()):
        command = lab.inside(stage().near.name, *before, lab.BIN / "todd", "try", "ping", "--yes", *words, "-o", "jsonl")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            head, edge = process.stdout.readline(), process.stdout.readline()
            # Not every edge of many keeps its periods; which do depends on which lane was first.
            while "--period" in words and edge and '"periods":[{' not in edge:
                edge = process.stdout.readline()
            process.kill()
            said = process.stderr.read()
        lab.check(head and edge, f"todd try ping {' '.join(map(str, words))} reports ({said.strip()[:300]})")
        self.run = json.loads(head)
        self.total = self.run["tests"][0]["total"]
        self.edge = json.loads(edge)

    def __getitem__(self, metric):
        return self.total[metric]["value"]

    def rtt(self, what):
        """Seconds."""
        return self.total["rtt"][what]

    def seconds(self):
        """From START to the last reply, if the period given is longer than the run. Of several lanes it is one's: they end together."""
        return self.edge["periods"][0]["seconds"]

    def missing(self, planned):
        """What is not as it must be where nothing can be lost; an empty list if all is well."""
        counts = {name: self[name] for name in ("planned", "sent", "received", "lost", "undetermined", "unsent")}
        return [] if counts["received"] == planned and counts["lost"] == 0 else [f"of {planned:,} probes: {counts}"]


def sweep(count, *words, before=()):
    """Every address once, as fast as it goes: answers per second from START to the last reply, and what was wrong."""
    report = Report(addresses(count), "--count", 1, "--rate", "max", "--period", "60s", *words, before=before)
    return report["received"] / report.seconds(), report.missing(count)


class Watch(threading.Thread):
    """What a `todd try` and its worker use while they run: CPU seconds and memory of the worker, memory of both."""

    def __init__(self, *words, testlet="ping"):
        super().__init__(daemon=True)
        self.worker_cpu = self.worker_rss = self.both_pss = 0
        command = lab.inside(stage().near.name, lab.BIN / "todd", "try", testlet, "--yes", *words)
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.start()

    def run(self):
        worker = None
        while self._process.poll() is None:
            try:
                worker = worker or next((c for c in lab.children(self._process.pid) if "worker" in pathlib.Path(f"/proc/{c}/comm").read_text()), None)
                pss = memory(self._process.pid, "Pss")
                if worker:
                    try:
                        pss += memory(worker, "Pss")
                        self.worker_rss = max(self.worker_rss, memory(worker, "Rss"))
                        self.worker_cpu = max(self.worker_cpu, cpu_of(worker))
                    except OSError:
                        pass  # it has ended, and the report is being made
                self.both_pss = max(self.both_pss, pss)
            except OSError:
                pass  # it ended while we looked
            time.sleep(0.05)

    def end(self):
        out, err = self._process.communicate()
        self.join()
        return out, err, self._process.returncode


def memory(pid, what):
    """Bytes; Rss or Pss (where memory that is shared counts once)."""
    return int(re.search(rf"^{what}:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) * 1024


def cpu_of(pid):
    """Seconds of the process so far."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")


def floor(path, *words, targets=131072, rounds=5):
    """JSON of `floor echo`."""
    done = run(FLOOR, "echo", "--interface", "eth0", "--next-hop", stage().far.address, "--first", FIRST, "--path", path, "--targets", targets, "--rounds", rounds, *words)
    lab.check(done.code == 0, f"floor echo --path {path} ({done.err.strip()})")
    return json.loads(done.out)


def zmap(count, out):
    """Whole command; the addresses that answered are in the file."""
    prefix = 32 - (count - 1).bit_length()
    nothing = lab.scratch() / "empty"
    nothing.touch()
    return run(shutil.which("zmap", path=os.environ["PATH"] + ":/usr/sbin"), "-M", "icmp_echoscan", "-i", "eth0", "-G", stage().far_mac(), "-S", stage().near.address, "-r", 1000000,
               "-T", 1, "-c", 2, "-b", nothing, "-q", "-o", out, f"{FIRST}/{prefix}")


def fping_many(count, *words):
    """fping over that many targets, a summary of each on stderr; how many probes were sent, and how many answered."""
    done = run("fping", "-q", *words, "-f", file_of(count))
    counts = [tuple(map(int, found)) for found in re.findall(r"xmt/rcv/%loss = (\d+)/(\d+)/", done.err)]
    return done, sum(sent for sent, _ in counts), sum(received for _, received in counts)
