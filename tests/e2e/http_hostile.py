"""Servers that mean no good, beside one that does: each of them ends as the outcome it is, within its time, and the good one does not notice."""
import gzip, json, socket, struct, sys, threading, time
import lab
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


# What it does once a request has come (or before, if it does not wait for one), the reason it must end with, more words.
def chunk(text):
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + text


H2 = ("--http", 2)
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
if len(sys.argv) > 1:  # in the far namespace: a port for each, told as JSON
    def serve(listening, behave, name):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=talk, args=(connection, behave, name), daemon=True).start()

    def talk(connection, behave, name):
        with connection:
            try:
                while connection.recv(65536):
                    behave(connection)
                    if name != "good" and not name.startswith("leads"):
                        return
            except OSError:
                pass  # the client has had enough

    ports = {}
    for name, (behave, _, _) in SERVERS.items():
        listening = socket.create_server(("", 0), backlog=100)
        ports[name] = listening.getsockname()[1]
        threading.Thread(target=serve, args=(listening, behave, name), daemon=True).start()
    print(json.dumps(ports), flush=True)
    time.sleep(3600)

lab.need_namespaces()
near, far = lab.pair("hostile-a", "hostile-b")
told = lab.scratch() / "ports"
server = lab.Process([sys.executable, __file__, "serve"], told, far)
ports = json.loads(lab.wait_for("the servers", lambda: told.read_text() if "\n" in told.read_text() else None))


def url(name):
    return f"http://{far.address}:{ports[name]}/"


for engine in lab.back_ends():
    for name, (_, reason, words) in SERVERS.items():
        if name == "good":
            continue
        began = time.monotonic()
        done = lab.todd("try", "http", url(name), url("good"), *words, "--count", COUNT, "--interval", "10ms", "--connections", COUNT, "--timeout", f"{TIMEOUT_S}s", "--engine", engine,
                        "-o", "json", namespace=near)
        seconds = time.monotonic() - began
        what = f"{engine}: a server that {name}"
        check(done.stdout, f"{what}: there is a report ({done.stderr.strip()[:300]})")
        edges = json.loads(done.stdout)["tests"][0]["edges"]
        [bad], [good] = ([edge for edge in edges if (url("good") in edge["target"]["name"]) is wanted] for wanted in (False, True))
        reasons = bad["metrics"]["reasons"]["values"] if "reasons" in bad["metrics"] else {}
        if reason is not None:
            check(reasons == {reason: COUNT}, f"{what}: {reasons}, {bad['examples'][:1]}")
        check(value(bad, "ok") + value(bad, "failed") + value(bad, "dropped") == COUNT, f"{what}: each request has one end")
        check(seconds < 3 * TIMEOUT_S + 2, f"{what}: within its time ({seconds:.1f} s)")
        if words != H2:
            check(value(good, "ok") == COUNT, f"{what}: the other one is undisturbed")
server.stop()
