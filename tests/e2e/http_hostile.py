"""Servers that mean no good, beside one that does: each of them ends as the outcome it is, within its time, and the good one does not notice."""
import gzip, json, pathlib, socket, ssl, struct, sys, threading, time
import lab, web
from lab import check, value

COUNT, TIMEOUT_S = 3, 1.0
BOMB = gzip.compress(b"\0" * 50_000_000)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


SETTINGS = frame(4)


def forever(s, piece, pause=0.0):
    while True:
        s.sendall(piece)
        time.sleep(pause)


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def h2(s, *frames):
    s.sendall(SETTINGS + b"".join(frames))
    time.sleep(TIMEOUT_S + 1)


def redirect(to):
    return lambda s: s.sendall(f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())


def h2_good(s):
    """Answers every request, as one should."""
    s.sendall(SETTINGS)
    came = b""
    while piece := s.recv(65536):
        came = (came + piece).removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        while len(came) >= 9 and len(came) >= 9 + (size := int.from_bytes(came[:3], "big")):
            kind, flags, stream, payload, came = came[3], came[4], int.from_bytes(came[5:9], "big"), came[9:9 + size], came[9 + size:]
            if kind == 4 and flags == 0:
                s.sendall(frame(4, 1))
            if kind == 6 and flags == 0:
                s.sendall(frame(6, 1, 0, payload))
            if kind == 1:
                s.sendall(frame(1, 4, stream, b"\x88") + frame(0, 1, stream, b"hello"))


def chunk(text):
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + text


H2 = ("--http", 2)
# What it does once a request has come, the reason it must end with, more words.
SERVERS = {
    "good": (lambda s: s.sendall(OK), None, ()),
    "stalls": (lambda s: time.sleep(TIMEOUT_S + 1), "timeout", ()),
    "trickles": (lambda s: [(s.sendall(OK[i:i + 1]), time.sleep(0.2)) for i in range(len(OK))], "timeout", ()),
    "stops in the body": (lambda s: (s.sendall(OK[:-2]), time.sleep(TIMEOUT_S + 1)), "timeout", ()),
    "resets": (reset, "reset", ()),
    "hangs up": (lambda s: None, "closed", ()),
    "talks nonsense": (lambda s: s.sendall(b"\x00\xff" * 500), "protocol", ()),
    "has another version": (lambda s: s.sendall(b"HTTP/7.3 200 OK\r\n\r\n"), "protocol", ()),
    "has a huge header": (lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), "too_large", ()),
    "never ends its head": (lambda s: (s.sendall(b"HTTP/1.1 200 OK\r\n"), forever(s, b"X-Y: zzzz\r\n" * 100)), "too_large", ()),
    "never ends its interim answers": (lambda s: forever(s, b"HTTP/1.1 100 Continue\r\n\r\n"), "protocol", ()),
    "never ends its body": (lambda s: (s.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), forever(s, b"x" * 10_000)), "too_large", ("--max_body", "1M")),
    "announces too much": (lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"), "too_large", ()),
    "gives less than it said": (lambda s: s.sendall(OK[:-2]), "truncated", ()),
    "has two lengths": (lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), "protocol", ()),
    "has a length below 0": (lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), "protocol", ()),
    "has bad chunks": (lambda s: s.sendall(chunk(b"zz\r\nhello\r\n0\r\n\r\n")), "protocol", ()),
    "has a huge chunk": (lambda s: s.sendall(chunk(b"ffffffffffffffffff\r\n")), "protocol", ()),
    "sends a bomb": (lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB), "too_large", ("--compressed", "true", "--max_body", "1M")),
    "sends what is no gzip": (lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"), "protocol", ("--compressed", "true")),
    "leads in circles": (redirect("/again"), "redirect", ("--follow", 5)),
    "leads to this host": (redirect("http://127.0.0.1:1/"), "denied", ("--follow", 5)),
    "leads to this host by IPv6": (redirect("http://[::1]:1/"), "denied", ("--follow", 5)),
    "leads to the metadata of a cloud": (redirect("http://169.254.169.254/latest/"), "denied", ("--follow", 5)),
    "leads to what is too long": (lambda s: s.sendall(b"HTTP/1.1 302 Found\r\nLocation: /" + b"\xe4" * 15_000 + b"\r\nContent-Length: 0\r\n\r\n"), "redirect", ("--follow", 5)),
    "leads into a file": (redirect("file:///etc/passwd"), "redirect", ("--follow", 5)),
    "has no HTTP/2": (lambda s: (s.sendall(OK), time.sleep(0.2)), "protocol", H2),
    "says nothing in HTTP/2": (lambda s: h2(s), "timeout", H2),
    "resets its streams": (lambda s: h2(s, *[frame(3, 0, n, struct.pack(">I", 2)) for n in range(1, 20, 2)]), "reset", H2),
    "floods with settings": (lambda s: forever(s, SETTINGS * 1000), "protocol", H2),
    "floods with pings": (lambda s: (s.sendall(SETTINGS), forever(s, frame(6, payload=b"12345678") * 1000)), "protocol", H2),
    "floods with empty frames": (lambda s: (s.sendall(SETTINGS), forever(s, frame(0, 0, 1) * 1000)), "protocol", H2),
    "never ends its fields": (lambda s: (s.sendall(SETTINGS + frame(1, 0, 1, b"\x88")), forever(s, frame(9, 0, 1, b"\x00\x01a\x7f\x81\x00" + b"b" * 256))), "protocol", H2),
    "says goodbye": (lambda s: h2(s, frame(7, payload=struct.pack(">II", 0, 0))), None, H2),
}


def secure(certificate, least=ssl.TLSVersion.TLSv1_2, most=ssl.TLSVersion.TLSv1_3):
    """Answers as one should, with that certificate."""
    def converse(s):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = least, most
        context.load_cert_chain(FOLDER / f"{certificate}.pem", FOLDER / f"{certificate}.key")
        with context.wrap_socket(s, server_side=True) as inside:
            while inside.recv(65536):
                inside.sendall(OK)

    return converse


def half(s):
    """The first half of what a server says in the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "good.pem", FOLDER / "good.key")
    came, leaves = ssl.MemoryBIO(), ssl.MemoryBIO()
    came.write(s.recv(65536))
    try:
        context.wrap_bio(came, leaves, server_side=True).do_handshake()
    except ssl.SSLWantReadError:
        pass
    flight = leaves.read()
    s.sendall(flight[:len(flight) // 2])


# What it does with a connection, the reason it must end with, what is told of its certificate: the verdict, the subject, whether it has days left.
TLS_SERVERS = {
    "good by TLS": (secure("good"), None, None),
    "has an expired certificate": (secure("expired"), "certificate", ("certificate has expired", "CN=expired.example", False)),
    "has one that is not valid yet": (secure("early"), "certificate", ("certificate is not yet valid", "CN=early.example", True)),
    "has one of another name": (secure("other"), "certificate", ("IP address mismatch", "CN=other.example", True)),
    "signs its own": (secure("own"), "certificate", ("self-signed certificate", "CN=own.example", True)),
    "has one of an unknown authority": (secure("stranger"), "certificate", ("unable to get local issuer certificate", "CN=stranger.example", True)),
    "knows TLS 1.0 alone": (secure("good", ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1), "tls", None),
    "talks nonsense for a handshake": (lambda s: (s.recv(65536), s.sendall(b"\x00\xff" * 500)), "tls", None),
    "answers a handshake by HTTP": (lambda s: (s.recv(65536), s.sendall(OK)), "tls", None),
    "stalls before the handshake": (lambda s: time.sleep(TIMEOUT_S + 1), "timeout", None),
    "stalls in the handshake": (lambda s: (half(s), time.sleep(TIMEOUT_S + 1)), "timeout", None),
    "hangs up on the handshake": (lambda s: s.recv(65536), "reset", None),
    "hangs up in the handshake": (lambda s: half(s), "reset", None),
    "resets in the handshake": (lambda s: (half(s), reset(s)), "reset", None),
}
CONVERSATIONS = {"good in HTTP/2": h2_good, **{name: behave for name, (behave, _, _) in TLS_SERVERS.items()}}
if len(sys.argv) > 1:  # in the far namespace: a port for each, told as JSON
    FOLDER = pathlib.Path(sys.argv[1])

    def serve(listening, behave, name):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=talk, args=(connection, behave, name), daemon=True).start()

    def talk(connection, behave, name):
        with connection:
            try:
                if name in CONVERSATIONS:
                    return behave(connection)
                while connection.recv(65536):
                    behave(connection)
                    if name != "good" and not name.startswith("leads"):
                        return
            except OSError:
                pass  # the client has had enough

    ports = {}
    for name, behave in [(name, behave) for name, (behave, _, _) in SERVERS.items()] + list(CONVERSATIONS.items()):
        listening = socket.create_server(("", 0), backlog=100)
        ports[name] = listening.getsockname()[1]
        threading.Thread(target=serve, args=(listening, behave, name), daemon=True).start()
    print(json.dumps(ports), flush=True)
    time.sleep(3600)

lab.need_namespaces()

near, far = lab.pair("hostile-a", "hostile-b")
work = lab.scratch()
authority = web.Authority(work)
names = f"DNS:www.example,IP:{far.address}"
for name, more in {"good": {}, "expired": {"starts": -20, "days": -3}, "early": {"starts": 3, "days": 20}, "own": {"own": True}}.items():
    authority.certificate(name, f"/CN={name}.example", names, **more)
authority.certificate("other", "/CN=other.example", "DNS:other.example,IP:192.0.2.1")
(work / "strange").mkdir()
web.Authority(work / "strange").certificate("stranger", "/CN=stranger.example", names)
for end in ("pem", "key"):
    (work / f"strange/stranger.{end}").rename(work / f"stranger.{end}")
told = work / "ports"
server = lab.Process([sys.executable, __file__, work], told, far)
ports = json.loads(lab.wait_for("the servers", lambda: told.read_text() if "\n" in told.read_text() else None))


def tried(engine, bad, good, words, scheme="http"):
    """The edges of two targets that are tested side by side."""
    urls = [f"{scheme}://{far.address}:{ports[name]}/" for name in (bad, good)]
    began = time.monotonic()
    done = lab.todd("try", "http", *urls, *words, "--count", COUNT, "--interval", "10ms", "--connections", COUNT, "--timeout", f"{TIMEOUT_S}s", "--engine", engine,
                    "-o", "json", namespace=near)
    seconds = time.monotonic() - began
    what = f"{engine}: a server that {bad}"
    check(done.stdout, f"{what}: there is a report ({done.stderr.strip()[:300]})")
    edges = {edge["target"]["name"]: edge for edge in json.loads(done.stdout)["tests"][0]["edges"]}
    for edge in (edges[urls[0]], edges[urls[1]]):
        check(value(edge, "ok") + value(edge, "failed") + value(edge, "dropped") == COUNT, f"{what}: each request of {edge['target']['name']} has one end")
    check(seconds < 3 * TIMEOUT_S + 2, f"{what}: within its time ({seconds:.1f} s)")
    check(value(edges[urls[1]], "ok") == COUNT, f"{what}: the other one is undisturbed: {edges[urls[1]]['examples'][:1]}")
    return what, edges[urls[0]]


def check_reasons(what, edge, reason):
    reasons = edge["metrics"]["reasons"]["values"] if "reasons" in edge["metrics"] else {}
    check(reasons == {reason: COUNT}, f"{what}: {reasons}, {edge['examples'][:1]}")


for engine in lab.back_ends():
    for name, (_, reason, words) in SERVERS.items():
        if name == "good":
            continue
        what, bad = tried(engine, name, "good in HTTP/2" if words == H2 else "good", words)
        if reason is not None:
            check_reasons(what, bad, reason)
    for name, (_, reason, certificate) in TLS_SERVERS.items():
        if reason is None:
            continue
        what, bad = tried(engine, name, "good by TLS", ("--authorities", authority.pem), "https")
        check_reasons(what, bad, reason)
        info = bad["info"] if "info" in bad else {}
        if certificate is None:
            check("certificate_verdict" not in info, f"{what}: nothing is told of a certificate")
            continue
        verdict, subject, left = certificate
        check(verdict in info["certificate_verdict"], f"{what}: {info['certificate_verdict']}")
        check(info["certificate_subject"] == subject and len(info["certificate_sha256"]) == 64, f"{what}: whose certificate it is, {info['certificate_subject']}")
        check((value(bad, "certificate_days") > 0) == left, f"{what}: {info['certificate_dates']}, {value(bad, 'certificate_days'):.1f} days are left")
server.stop()
