"""The phases of http through a network whose delays, losses and freezes are known: the relay of the delay lab, whose journal has the
kernel's stamps of every packet. And beside curl, by the same way."""
import collections, json, statistics, subprocess

import lab, web
from lab import check, value

lab.need_namespaces()
[CURL] = lab.need_programs(curl="curl")
near, far, middle = lab.relayed("near", "far")
FAR = [f"10.70.0.{n}" for n in range(1, 8)]
for address in FAR:
    lab.ip(far.name, "addr", "add", f"{address}/32", "dev", "eth0")
work = lab.scratch()
(work / "www").mkdir()
(work / "www/small").write_text("hello\n")
(work / "www/flights").write_bytes(b"x" * 24_000)  # ten segments, a round trip, and the rest
authority = web.Authority(work)
authority.certificate("good", "/CN=www.example", ",".join(f"IP:{address}" for address in FAR))
nginx = web.nginx(work, f"""access_log off; root {work}/www;
server {{ listen 8080; }}
server {{ listen 8443 ssl; {web.tls('good')} }}
server {{ listen 8444 ssl http2; {web.tls('good')} }}
server {{ listen 8445 ssl; {web.tls('good', 'ssl_protocols TLSv1.2;')} }}""", (8080, 8443, 8444, 8445), far)
responder = lab.Process([lab.BIN / "todd", "serve", "http", "--port", 8090], work / "responder.log", far)
lab.wait_for("the responder", lambda: "8090" in (work / "responder.log").read_text())
TRUST = ("--authorities", authority.pem)


class Connection:
    """What the relay saw of one, in ms: when packets to the server arrived there, and when those back left it."""

    def __init__(self, rows, address):
        self.passed = [(row["to"] == address, row["payload"], row["rx_ns"] / 1e6, row["tx_ns"] / 1e6) for row in rows if row["event"] == "passed"]
        self.syn = min(row["rx_ns"] for row in rows) / 1e6
        self.open = next(tx for there, _, _, tx in self.passed if not there)
        self.there = [rx for there, payload, rx, _ in self.passed if there and payload]
        self.back = [tx for there, payload, _, tx in self.passed if not there and payload]

    def answered(self, before):
        """When the last of what the server said before the client's packet of that number left."""
        return max(tx for tx in self.back if tx < self.there[before])


class Tried:
    """An edge of a report, and its connections as the relay saw them."""

    def __init__(self, name, edge, rows, address):
        self.name, self.edge, self.rows = name, edge, [row for row in rows if row["protocol"] == "tcp"]
        ports = collections.defaultdict(list)
        for row in sorted(self.rows, key=lambda row: row["rx_ns"]):
            ports[row["ident"] if row["to"] == address else row["sequence"]].append(row)
        self.connections = [Connection(rows, address) for rows in ports.values()]

    def check(self, condition, what):
        check(condition, f"{self.name}: {what}")

    def metric(self, name):
        """Of a histogram, in ms."""
        return {key: self.edge["metrics"][name][key] * 1000 for key in ("min", "mean", "p50", "p90", "p95", "p99", "max")}

    def __getitem__(self, name):
        return value(self.edge, name)

    def near(self, name, true, programmed):
        """The quickest is what the relay saw of the quickest, and what was programmed but for the server's own time. Of a busy host
        the others tell too, which is nobody's error."""
        seen, true = self.metric(name)["min"], min(true(one) for one in self.connections)
        self.check(abs(seen - true) < 4 and programmed - 0.2 < seen < programmed + 15, f"{name} {seen:.2f} ms, {true:.2f} by the relay's stamps, {programmed} programmed")


def through(rules, work):
    """What work() gives, and the relay's journal of it until the last connection is closed."""
    relay = lab.DelayLab(middle, *rules, relay="eth1")
    done = work()
    open_ones = lambda end: subprocess.run(lab.inside(end.name, "ss", "-Htn", "state", "connected", "exclude", "time-wait"), capture_output=True, text=True, check=True).stdout
    lab.wait_for("the connections are closed", lambda: not open_ones(near) and not open_ones(far))
    return done, relay.end()


def http(engine, rules, url, *words):
    """todd try through a relay of those rules."""
    done, rows = through(rules, lambda: lab.todd("try", "http", url, "--engine", engine, "-o", "json", *words, namespace=near))
    if done.returncode != 0:
        check(False, f"{engine}, {url}: exit {done.returncode}: {done.stdout[-900:]} {done.stderr}")
    [edge] = json.loads(done.stdout)["tests"][0]["edges"]
    return Tried(f"{engine}, {url}", edge, rows, edge["address"])


FRESH = ("--keep_alive", "false", "--connections", 20, "--interval", "60ms", "--count", 15)

EACH_ITS_OWN = ("--http", 2, "--connections", 20, "--count", 15, "--interval", "2ms")  # the others are busy then


def phases(engine):
    """10 ms each way: a round trip to connect, one (TLS 1.3) or two (1.2) for TLS, one for the answer."""
    rules = [f"{FAR[0]} delay 10ms"]
    tried = http(engine, rules, f"http://{FAR[0]}:8080/small", *FRESH)
    tried.check(tried["ok"] == 15 == len(tried.connections) and tried["retransmits"] == 0, "15 answers on as many connections")
    tried.near("connect", lambda c: c.open - c.syn, 20)
    tried.near("wait", lambda c: c.back[0] - c.there[0], 20)
    tried.near("response_time", lambda c: c.back[-1] - c.syn, 40)
    tried.check(tried.metric("transfer")["p50"] < 1, "a small answer comes at once")
    tried.check(19 < tried["tcp_rtt"] * 1000 < 26, f"the kernel's round trip is {tried['tcp_rtt'] * 1000:.1f} ms")
    for port, trips in ((8443, 1), (8444, 1), (8445, 2)):
        tried = http(engine, rules, f"https://{FAR[0]}:{port}/small", *TRUST, *(FRESH if port != 8444 else EACH_ITS_OWN))
        tried.check(tried["failed"] == 0, "no failure")
        tried.near("connect", lambda c: c.open - c.syn, 20)
        # The client's last word of the handshake or, in 1.2, the request comes next; at the end HTTP/1.1 says goodbye.
        tried.near("tls", lambda c: c.answered(trips) - c.there[0], 20 * trips)
        tried.near("wait", lambda c: (c.back[-1] if port == 8444 else c.answered(-1)) - c.there[trips], 20)
        phases = [tried.metric(name)["mean"] for name in ("connect", "tls", "wait", "transfer")]
        tried.check(abs(sum(phases) - tried.metric("response_time")["mean"]) < 1, f"the phases add up: {' + '.join(f'{phase:.2f}' for phase in phases)}")
    tried = http(engine, rules, f"http://{FAR[0]}:8090/?delay=30ms", *FRESH)
    tried.near("wait", lambda c: c.back[0] - c.there[0], 50)
    tried = http(engine, rules, f"http://{FAR[0]}:8080/flights", *FRESH)
    seen, true = tried.metric("transfer")["p50"], statistics.median(c.back[-1] - c.back[0] for c in tried.connections)
    tried.check(abs(seen - true) < 5 and 19 < true, f"transfer {seen:.2f} ms, {true:.2f} by the relay's stamps: a round trip")


def segments_sent_again():
    """By the kernel of the near end, so far."""
    shown = subprocess.run(lab.inside(near.name, "cat", "/proc/net/snmp"), capture_output=True, text=True, check=True).stdout
    names, values = (line.split() for line in shown.splitlines() if line.startswith("Tcp:"))
    return int(values[names.index("RetransSegs")])


def losses(engine):
    """What TCP mends is no failure: it is time, and segments sent again, as many as the kernel counts."""
    before = segments_sent_again()
    tried = http(engine, [f"{FAR[1]} delay 10ms drop first 1"], f"http://{FAR[1]}:8080/small", "--keep_alive", "false", "--count", 3, "--interval", "2s")
    connect = tried.metric("connect")
    tried.check(tried["ok"] == 3 and tried["failed"] == 0, "a lost SYN is no failure")
    tried.check(1019 < connect["max"] < 1100 and connect["min"] < 25, f"but a second, the kernel's patience, and a round trip: {connect['max']:.1f} ms, another {connect['min']:.1f}")
    tried.check(tried["retransmits"] == segments_sent_again() - before == 1, "one segment was sent again, by the kernel's count too")

    before = segments_sent_again()
    tried = http(engine, [f"{FAR[2]} delay 5ms drop 4% seed 7"], f"http://{FAR[2]}:8090/echo", "--method", "POST", "--body", "x" * 60_000, *FRESH, "--timeout", "20s")
    lost = [row for row in tried.rows if row["event"] == "dropped"]
    again = segments_sent_again() - before
    tried.check(tried["ok"] == 15 and tried["failed"] == 0 and len(lost) > 10, f"{len(lost)} lost segments are no failure")
    tried.check(again - 5 <= tried["retransmits"] <= again and tried["retransmits"] >= sum(row["payload"] > 0 for row in lost),
                f"{tried['retransmits']} segments were sent again; by the kernel's count {again}, with the last words of closed connections")


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def freeze(engine):
    """Nothing passes in 120 ms of each second. One connection, so requests that are due meanwhile wait for it: corrected_time counts
    that, response_time does not."""
    count, interval = 200, 53  # so that at most two wait, which is all that may
    tried = http(engine, [f"{FAR[3]} delay 5ms freeze 120ms every 1s"], f"http://{FAR[3]}:8080/small", "--count", count, "--interval", f"{interval}ms")
    tried.check(tried["ok"] == count and tried["dropped"] == 0 and len(tried.connections) == 1, f"{count} answers on one connection")
    [one] = tried.connections
    tried.check(len(one.back) == count, "a packet for each answer")
    true = [done - (one.syn + i * interval) for i, done in enumerate(one.back)]  # the first was due when its SYN came
    corrected, plain = tried.metric("corrected_time"), tried.metric("response_time")
    for name, q in (("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        least, most = quantile(true, q - 0.01) * 0.95 - 1, quantile(true, q + 0.01 if q < 0.99 else 1) * 1.05 + 10  # what the host takes
        tried.check(least < corrected[name] < most, f"corrected {name} {corrected[name]:.1f} ms, {quantile(true, q):.1f} by the relay's stamps; uncorrected {plain[name]:.1f}")
    tried.check(60 < corrected["p95"] < 115 and 105 < corrected["p99"] < 150, "as arithmetic has it: of 1000 ms 120 are frozen")
    tried.check(plain["p90"] < 0.5 * corrected["p90"], "what is not corrected does not show how many had to wait")


def curl_times(url, version):
    """Of one request by curl, in ms."""
    said = subprocess.run(lab.inside(near.name, CURL, "-s", "-o", "/dev/null", "--cacert", authority.pem, f"--http{version}", "-w",
                                     "%{time_namelookup} %{time_connect} %{time_appconnect} %{time_starttransfer} %{time_total}", url),
                          check=True, capture_output=True, text=True).stdout
    name, connect, tls, first_byte, total = (float(word) * 1000 for word in said.split())
    return {"connect": connect - name, **({"tls": tls - connect} if tls else {}), "first_byte": first_byte, "response_time": total}


def beside_curl(engine):
    """20 ms each way, the quickest of several: each phase that curl has is curl's, but for what its process needs to come up. A
    busy host makes both of them later, so it gets more tries."""
    rules = [f"{FAR[4]} delay 20ms"]
    for scheme, port, version in (("http", 8080, "1.1"), ("https", 8443, "1.1"), ("https", 8445, "1.1"), ("https", 8444, "2")):
        url = f"{scheme}://{FAR[4]}:{port}/{'small' if scheme == 'https' else 'flights'}"
        ours, theirs = collections.defaultdict(list), collections.defaultdict(list)
        for tries in range(1, 6):
            told, _ = through(rules, lambda: [curl_times(url, version) for _ in range(5)])
            tried = http(engine, rules, url, *TRUST, *(EACH_ITS_OWN if version == "2" else FRESH))
            for name in told[0]:
                ours[name].append(tried.metric(name)["min"])
                theirs[name] += [one[name] for one in told]
            if all(abs(min(ours[name]) - min(theirs[name])) < 2 for name in ours):
                break
        for name in ours:
            tried.check(abs(min(ours[name]) - min(theirs[name])) < 4, f"{name} {min(ours[name]):.2f} ms, curl has {min(theirs[name]):.2f}, tries: {tries}")


for engine in lab.back_ends():
    for part in (phases, losses, freeze, beside_curl):
        part(engine)
