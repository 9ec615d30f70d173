"""iperf with peers that lie, die or fall silent in each state of the control protocol, in both roles: each test ends with its reason
and in time, and who comes next is served."""
import json, re, signal, socket, struct, subprocess, threading, time

import lab
from lab import check, todd

lab.need_programs(iperf3="iperf3")
lab.need_namespaces()
work = lab.scratch()
DURATION_S, TIMEOUT_S, PATIENCE_S = 0.3, 1.0, 10  # PATIENCE_S: of a stand-alone responder
(TEST_START, TEST_RUNNING, TEST_END, PARAM_EXCHANGE, CREATE_STREAMS, SERVER_TERMINATE, EXCHANGE_RESULTS, DISPLAY_RESULTS, IPERF_DONE, DENIED,
 ERROR) = (bytes([n & 255]) for n in (1, 2, 4, 9, 10, 11, 13, 14, 16, -1, -2))
RESULTS = {"cpu_util_total": 1, "cpu_util_user": 1, "cpu_util_system": 0, "sender_has_retransmits": -1,
           "streams": [{"id": 1, "bytes": 1000, "retransmits": -1, "jitter": 0, "errors": 0, "packets": 0, "start_time": 0, "end_time": 1}]}


def text(value):
    value = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack(">I", len(value)) + value


def read(s, n):
    got = b""
    while len(got) < n and (piece := s.recv(n - len(got))):
        got += piece
    return got


def read_text(s):
    return read(s, struct.unpack(">I", read(s, 4))[0])


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# ---- servers

STATES = ("accepted", "asked", "opened", "started", "running", "ended", "exchanged", "told")


def serve_until(state, act):
    """An iperf3 server that does as it should until it is in that state, and then something else with the control connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_ones = []

    def run():
        control, _ = listener.accept()
        open_ones.append(control)

        def opened():
            control.sendall(CREATE_STREAMS)
            data, _ = listener.accept()
            open_ones.append(data)
            read(data, 37)
            threading.Thread(target=drain, args=(data,), daemon=True).start()

        steps = {"accepted": lambda: read(control, 37), "asked": lambda: (control.sendall(PARAM_EXCHANGE), read_text(control)), "opened": opened,
                 "started": lambda: control.sendall(TEST_START), "running": lambda: control.sendall(TEST_RUNNING), "ended": lambda: read(control, 1),
                 "exchanged": lambda: (control.sendall(EXCHANGE_RESULTS), read_text(control)), "told": lambda: control.sendall(text(RESULTS))}
        for step in STATES[:STATES.index(state) + 1]:
            steps[step]()
        act(control)

    def drain(data):
        try:
            while data.recv(1 << 20):
                pass
        except OSError:
            pass

    threading.Thread(target=run, daemon=True).start()
    return listener, open_ones


def outcome(engine, port, *options, namespace=None, host="127.0.0.1"):
    begun = time.monotonic()
    done = todd("try", "iperf", f"{host}:{port}", "--duration", f"{DURATION_S}s", "--timeout", f"{TIMEOUT_S}s", "--engine", engine, "-o", "json", *options,
                namespace=namespace)
    took = time.monotonic() - begun
    check(done.stdout, f"  reports ({done.stderr.strip()[:300]})")
    edge = json.loads(done.stdout)["tests"][0]["edges"][0]
    reasons = edge["metrics"].get("errors", {}).get("values", {})
    said = edge["examples"][0]["detail"] if edge["examples"] else None
    return reasons, said, took


def expect_failure(engine, what, allowed, port, *options, **where):
    reasons, said, took = outcome(engine, port, *options, **where)
    check(len(reasons) == 1 and set(reasons) <= set(allowed), f"{engine}: {what}: {reasons}, {said}")
    check(said and took < DURATION_S + 2 * TIMEOUT_S + 2, f"  in {took:.1f} s")


def against(engine, what, state, act, *allowed):
    listener, open_ones = serve_until(state, act)
    expect_failure(engine, what, allowed, listener.getsockname()[1])
    for s in [listener, *open_ones]:
        s.close()


for engine in lab.back_ends():
    for state in STATES:
        against(engine, f"silent when {state}", state, lambda s: None, "timeout")
        # The data stream may notice it first.
        against(engine, f"closes when {state}", state, lambda s: s.close(), "closed", "reset")
        against(engine, f"resets when {state}", state, lambda s: (reset(s), s.close()), "closed", "reset")
    for what, said, reason in (("denies", DENIED, "denied"), ("is stopped", SERVER_TERMINATE, "terminated"), ("has an error", ERROR + struct.pack(">II", 114, 22), "server_error"),
                               ("says a state out of turn", DISPLAY_RESULTS, "protocol"), ("says a state that there is not", b"\x63", "protocol"), ("speaks http", b"HTTP/1.1 400 No\r\n", "protocol")):
        for state in ("accepted", "asked", "opened"):
            against(engine, f"{what} when {state}", state, lambda s, said=said: s.sendall(said), reason)
    for what, said, reason in (("are no JSON", text(b"{"), "malformed"), ("are a list", text([]), "malformed"), ("are deep", text(b"[" * 100_000), "malformed"),
                               ("have a text for a number", text({**RESULTS, "streams": [{"id": "1"}]}), "malformed"), ("are 4 GB", b"\xff\xff\xff\xff", "too_large"),
                               ("are 1 MiB and 1 byte", struct.pack(">I", (1 << 20) + 1), "too_large"), ("never end", struct.pack(">I", 1000) + b"{", "timeout")):
        against(engine, f"results that {what}", "exchanged", lambda s, said=said: s.sendall(said), reason)
    # One that lies well is taken at its word; our own counts stay what they are.
    listener, _ = serve_until("exchanged", lambda s: s.sendall(text({**RESULTS, "streams": [{**RESULTS["streams"][0], "bytes": (1 << 63) - 1}]}) + DISPLAY_RESULTS))
    reasons, said, _ = outcome(engine, listener.getsockname()[1])
    check(not reasons, f"{engine}: a server that says it got 2^63 bytes: {reasons} {said}")
    expect_failure(engine, "nobody listens", ("refused",), lab.free_port())

    for how, signo, allowed in (("dies", signal.SIGKILL, ("closed", "reset")), ("stops answering", signal.SIGSTOP, ("timeout",))):
        port = lab.free_port()
        server = lab.Process(["iperf3", "-s", "-p", port], work / "stock.log")
        lab.wait_for("iperf3 listens", lambda: port in lab.listening_ports(server))
        threading.Timer(DURATION_S / 2 + 0.1, lambda: server.process.send_signal(signo)).start()
        expect_failure(engine, f"an iperf3 that {how}", allowed, port)
        server.kill()

# ---- clients

COOKIE = b"abcdefghijklmnopqrstuvwxyz0123456789\0"
PARAMS = {"tcp": True, "omit": 0, "time": 1, "num": 0, "blockcount": 0, "parallel": 1, "len": 131072, "client_version": "3.12"}


def dial(port, *said):
    s = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S + 5)
    for piece in said:
        s.sendall(piece)
    return s


def running(port, cookie, **params):
    """A session in which bytes may flow."""
    control = dial(port, cookie, text({**PARAMS, **params}))
    check(read(control, 2) == PARAM_EXCHANGE + CREATE_STREAMS, "  a session is taken")
    data = dial(port, cookie)
    check(read(control, 2) == TEST_START + TEST_RUNNING, "  and runs")
    return control, data


def ends(s):
    """Whether the server ends the connection, however, in time."""
    try:
        while s.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


for engine in lab.back_ends():
    port, log = lab.free_port(), work / f"serve-{engine}.log"
    serve = lab.Process([lab.BIN / "todd", "serve", "iperf", "--engine", engine, "--port", port], log)
    lab.wait_for("iperf answers", lambda: re.search(r"answers on port (\d+)", log.read_text()))
    cookies = (f"{n:036d}\0".encode() for n in range(1000))
    held = [("that says nothing", dial(port)), ("with half a cookie", dial(port, COOKIE[:20])), ("with no cookie", dial(port, b"\0" * 37)),
            ("that speaks http", dial(port, b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")), ("without params", dial(port, next(cookies))),
            ("with half of its params", dial(port, next(cookies), text(PARAMS)[:30])), ("with 4 GB of params", dial(port, next(cookies), b"\xff\xff\xff\xff")),
            ("with params that are no JSON", dial(port, next(cookies), text(b"nonsense"))), ("with no streams", dial(port, next(cookies), text({**PARAMS, "parallel": 0}))),
            ("with a negative length", dial(port, next(cookies), text({**PARAMS, "len": -1}))), ("with too many streams", dial(port, next(cookies), text({**PARAMS, "parallel": 10**6}))),
            ("that opens none of its streams", dial(port, next(cookies), text({**PARAMS, "parallel": 128}))), ("that asks for udp", dial(port, next(cookies), text({**PARAMS, "udp": True})))]
    control, data = running(port, next(cookies), reverse=True)
    held += [("that takes nothing", control), ("that takes nothing, its data", data)]
    control, data = running(port, next(cookies))
    control.sendall(TEST_END)
    held += [("without results", control), ("without results, its data", data)]
    control, data = running(port, next(cookies))
    control.sendall(TEST_END + text(b"[]"))
    held += [("with bad results", control), ("with bad results, its data", data)]
    control, data = running(port, cookie := next(cookies))
    held += [("that says a state out of turn", control), ("that says a state out of turn, its data", data)]
    stranger = dial(port, cookie)
    check(read(stranger, 1) == DENIED, f"{engine}: a further stream of a session that is complete is turned away")
    control.sendall(CREATE_STREAMS)
    for _ in range(3):  # and those that die
        control, data = running(port, next(cookies), reverse=True)
        reset(control)
        control.close()
        held.append(("whose control connection died, its data", data))
        control, data = running(port, next(cookies))
        reset(data)
        data.close()
        held.append(("whose data stream died", control))
    done = subprocess.run(["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", "1", "-J"], capture_output=True, text=True, timeout=30)
    check(done.returncode == 0, f"{engine}: beside all of them a good one is served: {json.loads(done.stdout).get('error')}")
    begun = time.monotonic()
    for who, s in held:
        check(ends(s), f"{engine}: a client {who} is left, {time.monotonic() - begun:.1f} s later")
    check(time.monotonic() - begun < PATIENCE_S + 5, f"{engine}: all of them in {time.monotonic() - begun:.1f} s")
    serve.kill(signal.SIGINT)
    check(serve.process.returncode == 0, f"{engine}: Ctrl-C ends the responder")
    with socket.create_server(("127.0.0.1", port)):
        check(True, f"{engine}: its port is free again")

# ---- a path that ends in the midst of a test

near, far = lab.pair("near", "far")
for engine in lab.back_ends():
    log = work / f"far-{engine}.log"
    serve = lab.Process([lab.BIN / "todd", "serve", "iperf", "--engine", engine, "--port", "5201"], log, far)
    lab.wait_for("iperf answers", lambda: re.search(r"answers on port (\d+)", log.read_text()))
    for what, end, other in (("back", far, near), ("there", near, far)):
        for direction in ((), ("--reverse",)):
            cut = threading.Timer(0.2, lambda: lab.ip(end.name, "route", "add", "blackhole", f"{other.address}/32"))
            cut.start()
            expect_failure(engine, f"nothing goes {what} any more {' '.join(direction)}", ("timeout", "local"), 5201, *direction, namespace=near, host=far.address)
            cut.join()
            lab.ip(end.name, "route", "del", "blackhole", f"{other.address}/32")
    reasons, said, _ = outcome(engine, 5201, namespace=near, host=far.address)
    check(not reasons, f"{engine}: the next test is served: {reasons} {said}")
    serve.kill(signal.SIGINT)
