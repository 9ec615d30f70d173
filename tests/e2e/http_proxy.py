"""The http testlet through proxies: tinyproxy before nginx, counted at both, and proxies that mean no good beside one that does."""
import base64, json, socket, struct, threading, time
import lab, web
from lab import check, value

[TINYPROXY] = lab.need_programs(tinyproxy="tinyproxy-bin")
COUNT, TIMEOUT_S = 10, 2.0
AUF, ZU = "auf-und-davon", "zu-und-gesperrt"  # the proxy's password, and the server's
work = lab.scratch()
www = work / "www"
www.mkdir()
(www / "small").write_text("hello\n")
authority = web.Authority(work)
authority.certificate("good", "/CN=www.invalid", "DNS:www.invalid,DNS:*.bad.invalid,IP:127.0.0.1")
ports = {name: lab.free_port() for name in ("plain", "h1", "h2", "closed_to_it", "tinyproxy")}
log = work / "access.log"
(work / "site").write_text(f"""root {www};
location = /up {{ return 302 https://127.0.0.1:{ports['h2']}/small; }}
location = /echo {{ return 200 "$http_authorization $http_proxy_authorization"; }}
location = /away {{ return 307 https://127.0.0.1:{ports['h1']}/small; }}
""")
nginx = web.nginx(work, f"""log_format line '$server_port $request_method $request_uri $server_protocol $status $ssl_session_reused "$http_authorization" "$http_proxy_authorization$http_x_for_the_proxy"';
access_log {log} line;
server {{ listen 127.0.0.1:{ports['plain']}; include {work}/site; }}
server {{ listen 127.0.0.1:{ports['h1']} ssl; {web.tls('good')} include {work}/site; }}
server {{ listen 127.0.0.1:{ports['closed_to_it']} ssl; {web.tls('good')} include {work}/site; }}
server {{ listen 127.0.0.1:{ports['h2']} ssl http2; {web.tls('good')} include {work}/site; }}""", [ports[name] for name in ("plain", "h1", "h2", "closed_to_it")])
(work / "secrets").mkdir(mode=0o700)
for name, text in {"proxy": AUF, "site": ZU, "wrong": "falsch-4711"}.items():
    (work / "secrets" / name).write_text(text)
    (work / "secrets" / name).chmod(0o600)
(work / "tinyproxy.conf").write_text(f"""Port {ports['tinyproxy']}
Listen 127.0.0.1
Timeout 60
MaxClients 100
LogFile "{work}/tinyproxy.log"
LogLevel Info
BasicAuth me {AUF}
ConnectPort {ports['h1']}
ConnectPort {ports['h2']}
""")
tinyproxy = lab.Process([TINYPROXY, "-d", "-c", work / "tinyproxy.conf"], work / "tinyproxy.out")
lab.wait_for("tinyproxy", lambda: ports["tinyproxy"] in lab.listening_ports(tinyproxy))
TRUST = ("--authorities", authority.pem, "--secrets", work / "secrets")
THROUGH = (*TRUST, "--proxy", f"http://127.0.0.1:{ports['tinyproxy']}", "--proxy_user", "me", "--proxy_password", "secret:proxy")


SECRETS = (AUF, ZU, *(base64.b64encode(f"me:{text}".encode()).decode() for text in (AUF, ZU)))


def new_lines(path):
    lines = path.read_text().splitlines()
    seen, new_lines.seen[path] = new_lines.seen.get(path, 0), len(lines)
    return lines[seen:]


new_lines.seen = {}


def asked():
    """The first lines of the requests that tinyproxy has read since the last time."""
    return [line.split("): ", 1)[1] for line in new_lines(work / "tinyproxy.log") if "Request (file descriptor" in line]


def run(engine, url, *words, code=0, count=COUNT):
    done = lab.todd("try", "http", url, "--count", count, "--rate", "max", "--engine", engine, "--timeout", f"{TIMEOUT_S}s", "-o", "json", *words)
    if done.returncode != code:
        check(False, f"{engine}, {url} {words}: exit {done.returncode}, not {code}: {done.stdout[-900:]} {done.stderr}")
    for hidden in SECRETS:
        if hidden in done.stdout + done.stderr:
            check(False, f"{engine}, {url} {words}: {hidden} is told: {done.stdout} {done.stderr}")
    [edge] = json.loads(done.stdout)["tests"][0]["edges"]
    return edge


def real(engine):
    """As many requests at nginx as asked for, as many ways at tinyproxy as connections."""
    new_lines(log), asked()
    for port, version, kept, protocol in (("plain", "auto", "true", "HTTP/1."), ("h1", "auto", "true", "HTTP/1.1"), ("h1", "auto", "false", "HTTP/1.1"), ("h2", "auto", "true", "HTTP/2.0"),
                                          ("h2", "2", "true", "HTTP/2.0")):
        scheme = "http" if port == "plain" else "https"
        what = f"{engine}, {scheme} {port}, http {version}, keep_alive {kept}"
        edge = run(engine, f"{scheme}://127.0.0.1:{ports[port]}/small", *THROUGH, "--http", version, "--keep_alive", kept, "--token", "secret:site", "--proxy_header", "X-For-The-Proxy: alone")
        lines, ways = new_lines(log), asked()
        check(value(edge, "ok") == COUNT == len(lines), f"{what}: {COUNT} answers, as many in nginx's log")
        check(all(f" /small {protocol}" in line and line.endswith(f'"Bearer {ZU}" "--"') for line in lines), f"{what}: with the server's credentials, without the proxy's: {lines[0]}")
        if scheme == "http":
            check(ways and all(way.startswith(f"GET http://127.0.0.1:{ports[port]}/small HTTP/1.1") for way in ways), f"{what}: the proxy reads {ways[0]}")
            check("proxy" not in edge["metrics"] or edge["metrics"]["proxy"]["count"] == 0, f"{what}: no way is asked for")
            continue
        check(len(ways) == value(edge, "opened") and all(way.startswith(f"CONNECT 127.0.0.1:{ports[port]} HTTP/1.1") for way in ways), f"{what}: {len(ways)} ways, as many as connections")
        check(value(edge, "opened") == (1 if kept == "true" else COUNT), f"{what}: kept as asked")
        phases = {name: edge["metrics"][name] for name in ("connect", "proxy", "tls")}
        check(all(phase["count"] == len(ways) for phase in phases.values()), f"{what}: each with its phases")
        check(edge["metrics"]["first_byte"]["max"] >= sum(phase["min"] for phase in phases.values()), f"{what}: which the first byte includes")
    edge = run(engine, f"https://127.0.0.1:{ports['h1']}/small", *THROUGH, "--keep_alive", "false", "--resume", "true")
    check(value(edge, "resumed") == sum(line.split()[5] == "r" for line in new_lines(log)) == COUNT - 1, f"{engine}: sessions are resumed through it")
    asked()
    edge = run(engine, f"http://127.0.0.1:{ports['plain']}/up", *THROUGH, "--follow", 3, count=3)
    check(value(edge, "ok") == 3 and edge["metrics"]["versions"]["values"] == {"2": 3} and sum(way.startswith("CONNECT") for way in asked()) == 3, f"{engine}: a redirect from http to https has a way of its own")
    edge = run(engine, f"https://127.0.0.1:{ports['h2']}/away", *THROUGH, "--follow", 3, "--token", "secret:site", count=3)
    ways = asked()
    check(value(edge, "ok") == 3 and sorted(set(way.split()[1] for way in ways)) == sorted(f"127.0.0.1:{ports[name]}" for name in ("h1", "h2")), f"{engine}: one to another server, too")
    new_lines(log)


def echoed(engine):
    """A server that sends back what it was told: here it is its own proxy, too."""
    plain = f"http://127.0.0.1:{ports['plain']}"
    for ours, told in ((("--user", "me", "--password", "secret:site"), "Basic *** Basic ***"), (("--token", "secret:site"), "Bearer *** Basic ***")):
        edge = run(engine, f"{plain}/echo", *TRUST, *ours, "--proxy", plain, "--proxy_user", "me", "--proxy_password", "secret:proxy", "--check", "body ~ nothing like it", count=1, code=1)
        check(f'"{told}"' in edge["examples"][0]["detail"], f"{engine}: credentials that come back are blanked: {edge['examples'][0]['detail']}")
    check(all(f'"Basic {SECRETS[2]}' in line for line in new_lines(log)), f"{engine}: nginx had them")


def refused(engine):
    """What the proxy does not do is told as such."""
    h1 = f"https://127.0.0.1:{ports['h1']}/small"
    for url, password, text in ((h1, "secret:wrong", f"CONNECT 127.0.0.1:{ports['h1']}: 40"),
                             (f"https://127.0.0.1:{ports['closed_to_it']}/small", "secret:proxy", f"CONNECT 127.0.0.1:{ports['closed_to_it']}: 403")):
        edge = run(engine, url, *THROUGH[:-1], password, count=3, code=1)
        check(edge["metrics"]["reasons"]["values"] == {"proxy": 3} and text in edge["examples"][0]["detail"], f"{engine}: {edge['examples'][0]['detail']}")
        check(value(edge, "opened") == 0 and "status" not in edge["metrics"], f"{engine}: and nothing of it counts as the server's")
    edge = run(engine, f"http://127.0.0.1:{ports['plain']}/small", *TRUST, "--proxy", f"http://127.0.0.1:{ports['tinyproxy']}", count=3, code=1)
    check(edge["metrics"]["reasons"]["values"] == {"status": 3}, f"{engine}: of http its answers are answers: {edge['metrics']['status']['values']}")
    edge = run(engine, h1, *TRUST, "--proxy", f"http://127.0.0.1:{lab.free_port()}", count=3, code=1)
    check(edge["metrics"]["reasons"]["values"] == {"refused": 3} and "the proxy 127.0.0.1:" in edge["examples"][0]["detail"], f"{engine}: {edge['examples'][0]['detail']}")
    check(new_lines(log) == [], f"{engine}: nginx saw none of it")


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def forever(s, piece):
    while True:
        s.sendall(piece)


def way(s):
    """To nginx, as one should."""
    far = socket.create_connection(("127.0.0.1", ports["h1"]))
    s.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

    def copy(a, b):
        try:
            while piece := a.recv(65536):
                b.sendall(piece)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    back = threading.Thread(target=copy, args=(far, s), daemon=True)
    back.start()
    copy(s, far)
    back.join()
    far.close()


OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
# What it says to CONNECT, the reason that must come of it, or one of several.
PROXIES = {
    "opens a way": (way, None),
    "stalls": (lambda s: time.sleep(TIMEOUT_S + 1), "timeout"),
    "trickles": (lambda s: [(s.sendall(OPEN[i:i + 1]), time.sleep(0.2)) for i in range(len(OPEN))], "timeout"),
    "hangs up": (lambda s: None, "proxy"),
    "resets": (reset, "proxy"),
    "talks nonsense": (lambda s: s.sendall(b"\x00\xff" * 500), "proxy"),
    "wants credentials": (lambda s: s.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno"), "proxy"),
    "fails": (lambda s: s.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), "proxy"),
    "leads elsewhere": (lambda s: s.sendall(b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\n\r\n"), "proxy"),
    "has a huge head": (lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), "proxy"),
    "never ends its head": (lambda s: (s.sendall(b"HTTP/1.1 200 OK\r\n"), forever(s, b"X-Y: zzzz\r\n" * 100)), "proxy"),
    "never ends its interim answers": (lambda s: forever(s, b"HTTP/1.1 100 Continue\r\n\r\n"), "proxy"),
    "speaks too soon": (lambda s: (s.sendall(OPEN + b"\x16\x03\x03"), time.sleep(0.2)), "proxy"),
    "closes at once": (lambda s: s.sendall(OPEN), ("proxy", "reset")),  # whether TLS has begun then is a matter of moments
    "resets at once": (lambda s: (s.sendall(OPEN), reset(s)), ("proxy", "reset")),
    "speaks right after": (lambda s: (s.sendall(OPEN), s.sendall(b"hello"), time.sleep(TIMEOUT_S + 1)), ("proxy", "tls")),
    "speaks a while after": (lambda s: (s.sendall(OPEN), time.sleep(0.2), s.sendall(b"hello, world"), time.sleep(TIMEOUT_S + 1)), "tls"),
    "closes a while after": (lambda s: (s.sendall(OPEN), time.sleep(0.2), s.recv(65536)), "reset"),
    "ends inside its head": (lambda s: s.sendall(OPEN[:-4]), "proxy"),
    "hangs up on the way": (lambda s: (s.sendall(OPEN), s.recv(1)), "reset"),
    "leads into nonsense": (lambda s: (s.sendall(OPEN), s.recv(1), s.sendall(b"\x00\xff" * 500)), "tls"),
    "leads to nobody": (lambda s: (s.sendall(OPEN), time.sleep(TIMEOUT_S + 1)), "timeout"),
    "leads to http": (lambda s: (s.sendall(OPEN), s.recv(1), s.sendall(b"HTTP/1.1 200 OK\r\n\r\n")), "tls"),
}
heads = []


def serve():
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=talk, args=(connection,), daemon=True).start()


def talk(connection):
    """Behaves by the name that it is asked for, which no name server knows."""
    with connection:
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            heads.append(head.decode())
            number = int(head.split(b" ")[1].split(b".")[0].removeprefix(b"p"))
            list(PROXIES.values())[number][0](connection)
        except OSError:
            pass  # the client has had enough


def hostile(engine):
    urls = [f"https://p{i}.bad.invalid/small" for i in range(len(PROXIES))]
    heads.clear()
    began = time.monotonic()
    done = lab.todd("try", "http", *urls, *TRUST, "--proxy", f"http://127.0.0.1:{listening.getsockname()[1]}", "--user_agent", "", "--count", 3, "--interval", "20ms", "--connections", 3, "--timeout",
                    f"{TIMEOUT_S}s", "--engine", engine, "-o", "json")
    seconds = time.monotonic() - began
    check(done.stdout, f"{engine}: there is a report ({done.stderr.strip()[:300]})")
    check(seconds < 2 * TIMEOUT_S + 2, f"{engine}: within its time ({seconds:.1f} s)")
    edges = {edge["target"]["name"]: edge for edge in json.loads(done.stdout)["tests"][0]["edges"]}
    for url, (name, (_, reason)) in zip(urls, PROXIES.items()):
        edge = edges[url]
        reasons = edge["metrics"]["reasons"]["values"] if "reasons" in edge["metrics"] else {}
        fine = sum(reasons.values()) == 3 and set(reasons) <= set(reason) if isinstance(reason, tuple) else reasons == ({reason: 3} if reason else {})
        check(fine and value(edge, "ok") == (0 if reason else 3), f"{engine}: a proxy that {name}: {reasons}, {edge['examples'][:1]}")
    check(f"CONNECT p0.bad.invalid:443 HTTP/1.1\r\nHost: p0.bad.invalid:443\r\n\r\n" in heads, f"{engine}: names go to the proxy as they are: {heads[0]!r}")
    new_lines(log)


def agents():
    """The proxy is an address like others to who owns an agent; its target's name is none of theirs."""
    fleet = lab.Fleet(work)
    fleet.add_agent("a1", options=("--refuse-targets", "127.0.0.2"))
    port = listening.getsockname()[1]
    suite = work / "web.yaml"
    suite.write_text(f"""apiVersion: todd/v1
kind: Suite
metadata: {{name: web}}
spec:
  tests:
    - {{name: open, testlet: http, from: {{agent: a1}}, to: {{urls: ['https://p0.bad.invalid/small']}}, params: {{requests: 2, insecure: true, proxy: 'http://127.0.0.1:{port}'}}}}
    - {{name: shut, testlet: http, from: {{agent: a1}}, to: {{urls: ['https://p0.bad.invalid/small']}}, params: {{requests: 2, insecure: true, proxy: 'http://127.0.0.2:{port}'}}}}
    - {{name: far, testlet: http, from: {{agent: a1}}, to: {{urls: ['http://127.0.0.2:{port}/']}}, params: {{requests: 2, proxy: 'http://127.0.0.1:{port}'}}}}
""")
    report = json.loads(fleet.todd("run", suite, "-o", "json").stdout)
    edges = [test["edges"][0] for test in report["tests"]]
    check(value(edges[0], "ok") == 2, "an agent goes through a proxy to a name that it cannot resolve")
    check(edges[1]["metrics"]["reasons"]["values"] == {"denied": 2} and "this host sends nothing to its address" in edges[1]["examples"][0]["detail"], f"not by one that its owner refuses: {edges[1]['examples'][0]['detail']}")
    check(edges[2]["reason"] == "denied", f"nor to an address that its owner refuses: {edges[2]['detail']}")


def bad_input():
    for words, text in ((("--proxy", "proxy.example:3128"), "--proxy: proxy.example:3128: not a URL"), (("--proxy", "http://proxy.example"), "must be http://HOST:PORT"),
                        (("--proxy", "http://me:auf-und-davon@proxy.example:1"), "--proxy: has credentials; give proxy_user and proxy_password"), (("--proxy_user", "me"), "is of no use without proxy"),
                        (("--proxy", "http://a:1", "--proxy_header", "Host: b"), "is not for a request without content"), (("--proxy", "http://a:1", "--http", "2"), "http: 2 goes through a proxy over TLS alone"),
                        (("--proxy", "http://a:1", "--host_header", "b"), "a proxy puts that in its place")):
        done = lab.todd("try", "http", "http://127.0.0.1:1/", *words)
        check(done.returncode == 2 and text.replace("--", "") in done.stderr.replace("--", ""), f"{words}: {done.stderr.strip()}")
        check(AUF not in done.stderr, "a password is not repeated")


listening = socket.create_server(("", 0), backlog=100)
threading.Thread(target=serve, daemon=True).start()
for name in lab.back_ends():
    for part in (real, echoed, refused, hostile):
        part(name)
agents()
bad_input()
tinyproxy.stop()
nginx.stop()
