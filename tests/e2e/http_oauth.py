"""The http testlet with Bearer tokens by OAuth 2.0, of a real server over TLS: fetched once, before they end, anew when they are revoked; servers
of tokens that mean no good; and nothing of client, secret or token in what is told."""
import base64, http.server, json, pathlib, ssl, threading, time, urllib.parse
import lab, web
from lab import check, value

SECRET, TIMEOUT_S = "offen ses\u00e4m", 1.0
work = lab.scratch()
authority = web.Authority(work)
authority.certificate("good", "/CN=auth.example", "IP:127.0.0.1")
(work / "secrets").mkdir(mode=0o700)
for name, text in {"client": SECRET, "wrong": "falsch"}.items():
    (work / "secrets" / name).write_text(text)
    (work / "secrets" / name).chmod(0o600)
ends, asked, used = {}, [], []  # of tokens, when; what was asked for; of requests: the status, and how long ago the token had ended


def issue(life_s):
    token = f"geheim-{len(asked)}-{time.monotonic_ns()}"
    ends[token] = time.monotonic() + life_s
    return token


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", -1, True

    def log_message(self, *_):
        pass

    def answer(self, status, body, more=()):
        self.send_response(status)
        for header in (*more, ("Content-Length", str(len(body)))):
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)


def bearer(life_s, **more):
    return json.dumps({"access_token": issue(life_s), "token_type": "Bearer", **more}).encode()


# What becomes of a request for a token, and what the example must say of it; None: a token.
SERVERS = {
    "refuses": (lambda h: h.answer(400, b'{"error": "invalid_scope", "error_description": "no such scope"}'), "400: invalid_scope: no such scope"),
    "fails": (lambda h: h.answer(503, b"<html>"), "503"),
    "leads elsewhere": (lambda h: h.answer(302, b"", [("Location", "/hour")]), "302"),
    "talks nonsense": (lambda h: h.wfile.write(b"\x00\xff" * 500), "bad version"),
    "has no JSON": (lambda h: h.answer(200, b"access_token=x"), "not JSON at line 1, column 1"),
    "has no token": (lambda h: h.answer(200, b"{}"), "no access_token"),
    "has a token that breaks the message": (lambda h: h.answer(200, b'{"access_token": "a\\r\\nX: y", "token_type": "Bearer"}'), "an access_token that no header can have"),
    "has another kind": (lambda h: h.answer(200, b'{"access_token": "a", "token_type": "mac"}'), "a token_type other than Bearer"),
    "has a life of nothing": (lambda h: h.answer(200, bearer(9, expires_in=0)), "an expires_in that is no number of seconds"),
    "never ends": (lambda h: [h.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")] + [h.wfile.write(b"[" * 10_000) for _ in range(1000)], "the body is longer"),
    "is deep": (lambda h: h.answer(200, b"[" * 50_000), "not JSON"),
    "stalls": (lambda h: time.sleep(TIMEOUT_S + 1), "not a byte came"),
    "hangs up": (lambda h: None, "closed the connection"),
}


class Auth(Quiet):
    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        asked.append((self.path, form, self.headers))
        kind, _, value = self.headers["Authorization"].partition(" ")
        client = [urllib.parse.unquote_plus(part) for part in base64.b64decode(value).decode().split(":")]
        self.close_connection = True
        with lab.contextlib.suppress(OSError):  # the client has had enough
            if kind != "Basic" or client != ["me:1", SECRET]:
                return self.answer(401, json.dumps({"error": "invalid_client", "error_description": f"{client[1]} {value}"}).encode())
            word = urllib.parse.unquote(self.path[1:])
            if word == "tells":
                return self.answer(400, f'{{"error": "no {SECRET}"}}'.encode())
            if word in SERVERS:
                return SERVERS[word][0](self)
            life_s = {"hour": 3600, "short": 1, "text": 1, "endless": 3600}[word]
            self.answer(200, bearer(life_s, **{"short": {"expires_in": 1}, "text": {"expires_in": "1"}, "hour": {"expires_in": 3600}, "endless": {}}[word]))


class Api(Quiet):
    def do_GET(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        good = token in ends  # one that has ended is taken: what a stall made late is no failure
        used.append((200 if good else 401, time.monotonic() - ends.get(token, 0)))
        if self.path == "/leads":
            return self.answer(302, b"", [("Location", f"/hello?{SECRET}&{urllib.parse.quote(SECRET)}&{token}".encode().decode("latin1"))])
        if self.path == "/revokes" and len(used) == 3:
            ends.pop(token, None)
        self.answer(200 if good else 401, f"hello {token}".encode())


def serve(handler, certificate=None, address="127.0.0.1"):
    server = http.server.ThreadingHTTPServer((address, 0), handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(work / f"{certificate}.pem", work / f"{certificate}.key")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # of who does not trust it, and hangs up
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


auth, api = serve(Auth, "good"), serve(Api)
h2 = lab.free_port()
nginx = web.nginx(work, f"access_log off; server {{ listen 127.0.0.1:{h2} ssl http2; {web.tls('good')} location / {{ proxy_pass http://127.0.0.1:{api}; }} }}", [h2])
API = f"http://127.0.0.1:{api}/"


def run(engine, word, *words, url=API, secret="client", code=0, trust=True):
    asked.clear(), used.clear()
    done = lab.todd("try", "http", url, "--engine", engine, "--oauth_url", f"https://127.0.0.1:{auth}/{urllib.parse.quote(word)}", "--oauth_client", "me:1", "--oauth_secret", f"secret:{secret}",
                    "--secrets", work / "secrets", "--timeout", f"{TIMEOUT_S}s", "-o", "json", *(("--authorities", authority.pem) if trust else ()), *words)
    if done.returncode != code:
        check(False, f"{engine}, {word} {words}: exit {done.returncode}, not {code}: {done.stdout[-900:]} {done.stderr}")
    told = done.stdout + done.stderr
    for hidden in ("offen", "falsch", "geheim", base64.b64encode(f"me%3A1:{urllib.parse.quote_plus(SECRET)}".encode()).decode(), base64.b64encode(b"me%3A1:falsch").decode()):
        check(hidden not in told, f"{engine}, {word}: {hidden} is not in what is told")
    [edge] = json.loads(done.stdout)["tests"][0]["edges"]
    return edge


def tokens(engine):
    for url, more in ((API, ("--connections", 4)), (f"https://127.0.0.1:{h2}/", ("--streams", 4))):
        what = f"{engine}, {url.split(':')[0]}"
        edge = run(engine, "hour", "--rate", 50, "--count", 50, "--expect", "failed == 0", *more, "--oauth_scope", "read write", url=url)
        check(20 <= value(edge, "ok") == len(used) == 50 - value(edge, "dropped"), f"{what}: every request has a token, the first ones too ({value(edge, 'ok')} of 50)")
        check(len(asked) == 1 and asked[0][1] == {"grant_type": ["client_credentials"], "scope": ["read write"]}, f"{what}: which was asked for once: {asked[0][1]}")
        check(edge["metrics"]["token_time"]["count"] == 1 and value(edge, "opened") == edge["metrics"]["connect"]["count"] <= 4, f"{what}: and is timed by itself, on no connection of the edge's")
        for word in ("short", "text"):
            edge = run(engine, word, "--rate", 50, "--duration", "3s", "--expect", "failed == 0", *more, url=url)
            late = sum(over_s > 0 for _, over_s in used)
            check(value(edge, "ok") == len(used) >= 75 and late <= len(used) / 10, f"{what}: {len(used)} requests through tokens of a second ({word}), {late} of them by one that had ended")
            check(3 <= len(asked) <= 5 and edge["metrics"]["token_time"]["count"] == len(asked), f"{what}: {len(asked)} of them")
    edge = run(engine, "endless", "--rate", "max", "--count", 200, "--connections", 4)
    check(value(edge, "ok") == 200 and len(asked) == 1, f"{engine}: one whose end is not said is kept")
    edge = run(engine, "hour", "--rate", 20, "--count", 10, url=API + "revokes", code=1)
    check([status for status, _ in used] == [200] * 3 + [401] + [200] * 6 and len(asked) == 2, f"{engine}: one that is revoked is replaced, and the refusal told: {edge['metrics']['status']['values']}")
    edge = run(engine, "hour", "--count", 1, "--check", "body ~ nothing like it", code=1)
    check("***" in edge["examples"][0]["detail"], f"{engine}: a token that comes back is blanked: {edge['examples'][0]['detail']}")
    edge = run(engine, "hour", "--count", 1, "--follow", 1, url=API + "leads")
    check(edge["info"]["final_url"] == f"{API}hello?***&***&***", f"{engine}: as secrets are in a URL: {edge['info']['final_url']}")
    edge = run(engine, "tells", "--count", 1, code=1)
    check("400: no ***" in edge["examples"][0]["detail"], f"{engine}: and in an error: {edge['examples'][0]['detail']}")


def refusals(engine):
    edge = run(engine, "hour", "--count", 3, "--interval", "10ms", secret="wrong", code=1)
    check(edge["metrics"]["reasons"]["values"] == {"token": 3} and "401: invalid_client: *** ***" in edge["examples"][0]["detail"], f"{engine}: {edge['examples'][0]['detail']}")
    edge = run(engine, "hour", "--count", 3, "--interval", "10ms", code=1, trust=False)
    check(edge["metrics"]["reasons"]["values"] == {"token": 3} and "unable to get local issuer" in edge["examples"][0]["detail"] and asked == [], f"{engine}: {edge['examples'][0]['detail']}")
    for word, (_, text) in SERVERS.items():
        began = time.monotonic()
        edge = run(engine, word, "--count", 3, "--interval", "10ms", code=1)
        seconds = time.monotonic() - began
        check(edge["metrics"]["reasons"]["values"] == {"token": 3} and text in edge["examples"][0]["detail"], f"{engine}: a server of tokens that {word}: {edge['examples'][0]['detail']}")
        check(used == [] and seconds < 3 * TIMEOUT_S + 2, f"{engine}: nothing was asked without one, and it ended in time ({seconds:.1f} s)")


def agents():
    """The server of tokens is an address like others to who owns an agent."""
    fleet = lab.Fleet(work)
    agent = fleet.add_agent("a1", options=("--refuse-targets", "127.0.0.2", "--secrets", work / "secrets"))
    far = serve(Auth, "good", "127.0.0.2")
    suite = work / "web.yaml"
    tests = "".join(f"""    - {{name: t{i}, testlet: http, from: {{agent: a1}}, to: {{urls: ['{API}']}}, params: {{requests: 2, interval: 10ms, insecure: true, oauth_url: 'https://{where}/hour', oauth_client: 'me:1', oauth_secret: {{secret: client}}}}}}
""" for i, where in enumerate((f"127.0.0.1:{auth}", f"127.0.0.2:{far}")))
    suite.write_text(f"apiVersion: todd/v1\nkind: Suite\nmetadata: {{name: web}}\nspec:\n  tests:\n{tests}")
    asked.clear()
    done = fleet.todd("run", suite, "-o", "json")
    edges = [test["edges"][0] for test in json.loads(done.stdout)["tests"]]
    check(value(edges[0], "ok") == 2 and len(asked) == 1, "an agent fetches one, by a secret of its own")
    check(edges[1]["metrics"]["reasons"]["values"] == {"token": 2} and "this host sends nothing to its address" in edges[1]["examples"][0]["detail"], f"but not where its owner refuses: {edges[1]['examples'][0]['detail']}")
    agent.stop(), fleet.coordinator.stop()
    for path in pathlib.Path(work).rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            check(SECRET.encode() not in path.read_bytes() and b"geheim" not in path.read_bytes(), f"neither secret nor token is in {path.relative_to(work)}")


def bad_input():
    for words, text in ((("--oauth_url", "auth.example"), "oauth_url: auth.example: not a URL"), (("--oauth_url", "https://a/"), "oauth_client: is missing; oauth_url needs it"),
                        (("--oauth_client", "me"), "oauth_client: is of no use without oauth_url"), (("--oauth_url", "https://a/", "--oauth_client", "me"), "oauth_secret: is missing"),
                        (("--oauth_secret", "offen"), "is a secret, which is never written down")):
        done = lab.todd("try", "http", "http://127.0.0.1:1/", *words)
        check(done.returncode == 2 and text in done.stderr, f"{words}: {done.stderr.strip().splitlines()[0]}")


for engine in lab.back_ends():
    tokens(engine)
    refusals(engine)
agents()
bad_input()
nginx.stop()
