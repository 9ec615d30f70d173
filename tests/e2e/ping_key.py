"""ping's key: who has it is answered and believed, who stands between the ends and forges, replays and reflects is not."""
import hashlib, hmac, json, re, select, socket, threading

import lab
from lab import check, edges, todd, value

VALUE, OTHER = "geheim-4711-\u00e4", "another"
COUNT = 20
work = lab.scratch()


def folder(name, **files):
    path = work / name
    path.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (path / file).write_text(text)
        (path / file).chmod(0o600)
    return path


own, wrong = folder("own", path=VALUE), folder("wrong", path=OTHER)
KEY = ("--key", "secret:path", "--secrets", own)


class Responder:
    def __init__(self, engine, *words):
        self.log = work / f"serve-{len(list(work.glob('serve-*')))}.log"
        self.process = lab.Process([lab.BIN / "todd", "serve", "ping", "--engine", engine, *words], self.log)
        self.port = int(lab.wait_for("the responder listens", lambda: re.search(r"port (\d+)", self.log.read_text()))[1])

    def end(self):
        """What it has said."""
        self.process.stop()
        return self.log.read_text()


def ping(engine, port, *words, code=0, timeout="300ms"):
    done = todd("try", "ping", f"127.0.0.1:{port}", "--mode", "udp", "--engine", engine, "--count", COUNT, "--interval", "10ms", "--timeout", timeout, "-o", "json", *words)
    check(done.returncode == code, f"{engine}: todd try ping {' '.join(map(str, words))} exits {done.returncode}: {done.stderr.strip()[:300]}")
    return json.loads(done.stdout)["tests"][0]["edges"][0]


def reasons(edge):
    return {f"{example['outcome']}: {example['detail']}" for example in edge["examples"]}


def sent_back(port, datagrams):
    """How many of them a responder answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        for datagram in datagrams:
            sender.send(datagram)
        answers = 0
        while select.select([sender], [], [], 0.3)[0]:
            sender.recv(65536)
            answers += 1
        return answers


class Between:
    """Sees all that passes and hurries ahead of the true reply, which it passes on 10 ms later: four forgeries of each reply, that have
    all that can be known without the key. It sends each request twice, too."""
    FORGERIES = 4

    def __init__(self, responder):
        self.front, self.back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.front.bind(("127.0.0.1", 0))
        self.back.connect(("127.0.0.1", responder))
        self.back.settimeout(2)
        self.port, self.requests, self.replies = self.front.getsockname()[1], [], []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            request, sender = self.front.recvfrom(65536)
            self.requests.append(request)
            self.back.send(request)
            self.back.send(request)
            try:
                reply = self.back.recv(65536)
            except TimeoutError:
                continue  # what is missing, the counts tell
            for forgery in (
                request,  # reflected
                reply[:20] + bytes([reply[20] ^ 1]) + reply[21:],  # another report
                request[:8] + (self.replies[-1] if self.replies else reply[:-1] + b"\0")[8:],  # the true reply to another probe
                reply[:-16] + hmac.new(OTHER.encode(), reply[:-16], hashlib.sha256).digest()[:16],  # made with another key
            ):
                self.front.sendto(forgery, sender)
            self.replies.append(reply)
            threading.Timer(0.01, self.front.sendto, (reply, sender)).start()


for engine in lab.back_ends():
    keyed = Responder(engine, *KEY)
    edge = ping(engine, keyed.port, *KEY)
    check(value(edge, "received") == COUNT and value(edge, "forged") == value(edge, "corrupted") == 0, f"{engine}: who shares the key is answered and believed")
    check(edge["metrics"]["delay_forward"]["count"] == COUNT and edge["metrics"]["processing"]["count"] == COUNT, f"{engine}: with the times of each way")
    edge = ping(engine, keyed.port, *KEY, "--sizes", "40,1400,9000", "--payload", "random", "--flows", 3)
    check(value(edge, "received") == COUNT and edge["metrics"]["by_size"]["values"]["9000_received"] > 0, f"{engine}: at all sizes")

    between = Between(keyed.port)
    edge = ping(engine, between.port, *KEY, timeout="2s")
    counts = {name: value(edge, name) for name in ("received", "lost", "late", "duplicate", "forged", "corrupted")}
    check(counts == {"received": COUNT, "lost": 0, "late": 0, "duplicate": 0, "forged": COUNT * Between.FORGERIES, "corrupted": 0}, f"{engine}: forgeries that come first change nothing: {counts}")
    check(edge["metrics"]["rtt"]["min"] >= 0.01, f"{engine}: the time is that of the true reply: {edge['metrics']['rtt']['min']}")
    expected = [hmac.new(VALUE.encode(), message[first:-16], hashlib.sha256).digest()[:16] for first, messages in ((8, between.requests), (0, between.replies)) for message in messages]
    check([message[-16:] for message in between.requests + between.replies] == expected, f"{engine}: the bytes are what proof.h says")
    check(len(between.replies) == COUNT and sent_back(keyed.port, between.requests) == 0, f"{engine}: what is sent again is not answered")
    check(sent_back(keyed.port, between.replies + [b"\0" * 88, b"", b"x" * 39]) == 0, f"{engine}: nor a reply, nor what is no probe")

    edge = ping(engine, keyed.port, code=1)
    check(value(edge, "lost") == COUNT, f"{engine}: who has no key gets no answer")
    edge = ping(engine, keyed.port, "--key", "secret:path", "--secrets", wrong, code=1)
    check(value(edge, "lost") == COUNT and any(r.startswith("unproven: no answer that the key proves") for r in reasons(edge)), f"{engine}: nor who has another, and it is said what that may be: {reasons(edge)}")
    said = keyed.end()
    check(re.search(r"todd try ping \S+ --mode udp --key secret:path\n", said), f"{engine}: serve says how it is asked")
    check("does not prove that its sender has the key" in said, f"{engine}: the responder says so: {said.strip()}")
    refused, copies = map(int, re.search(r"not answered: (\d+) datagrams without proof of the key, (\d+) copies", said).groups())
    check(refused == 3 * COUNT + 3 and copies == 2 * COUNT, f"{engine}: and how many: {refused}, {copies} copies")

    plain = Responder(engine)
    check(value(ping(engine, plain.port), "received") == COUNT, f"{engine}: without a key all is as ever")
    edge = ping(engine, plain.port, *KEY, code=1)
    check(value(edge, "lost") == value(edge, "forged") == COUNT and any("the responder has no key" in r for r in reasons(edge)), f"{engine}: a responder without the key is not believed: {reasons(edge)}")
    check(VALUE not in plain.end() + said, f"{engine}: nobody says the key")

for words, text in ((("--mode", "icmp"), "key: belongs to mode udp"), (("--mode", "tcp"), "key: belongs to mode udp"), (("--mode", "udp", "--size", 39), "size: with a key at least 40 bytes"),
                    (("--mode", "udp", "--sizes", "64,39"), "sizes go from 40 to 65507")):
    done = todd("try", "ping", "127.0.0.1:9", *KEY, *words)
    check(done.returncode == 2 and text in done.stderr, f"{words} is refused: {done.stderr.strip()}")
done = todd("try", "ping", "127.0.0.1:9", "--mode", "udp", "--key", VALUE)
check(done.returncode == 2 and "secret:NAME" in done.stderr and VALUE not in done.stdout, f"the key itself is no word of a command: {done.stderr.strip()}")

# Agents: near and far share the key, odd has another, bare has none.
fleet = lab.Fleet(work)
for name, secrets in (("near", own), ("far", own), ("odd", wrong), ("bare", folder("bare-secrets"))):
    fleet.add_agent(name, options=("--secrets", secrets))
suite = work / "keyed.yaml"
suite.write_text("""apiVersion: todd/v1
kind: Suite
metadata: {name: keyed}
spec:
  tests:
    - {name: keyed, testlet: ping, from: {agent: near}, to: {agent: [far, odd, bare]}, params: {mode: udp, key: {secret: path}, count: 20, interval: 10ms, timeout: 300ms}}
""")
checked = fleet.todd("run", suite, "--check")
check(checked.returncode == 2 and 'bare: secret "path": not in' in checked.stdout, f"--check names who lacks it: {checked.stdout.strip()}")
report, code = fleet.json("run", suite)
found = {edge["target"]["agent"]: edge for edge in edges(report, "keyed")}
check(value(found["far"], "received") == COUNT and found["far"]["metrics"]["processing"]["count"] == COUNT, "agents that share a key measure")
check(value(found["odd"], "lost") == COUNT and any("unproven" in r for r in reasons(found["odd"])), f"one with another key is lost, and it is said what that may be: {reasons(found['odd'])}")
check(found["bare"]["reason"] == "secret_missing" and "bare: " in found["bare"]["detail"], f"one without is named: {found['bare']['detail']}")
check("does not prove that its sender has the key" in (work / "odd.log").read_text(), "the other's log says so")
leaks = [str(path) for path in work.rglob("*") if path.is_file() and path.parent not in (own, wrong) and VALUE.encode() in path.read_bytes()]
check(not leaks, f"no file has the key: {leaks}")
