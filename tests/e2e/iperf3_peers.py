"""iperf against stock iperf3 in both roles: what each says of a test agrees with what the other says."""
import json, re, signal, subprocess

import lab
from lab import check, todd

lab.need_programs(iperf3="iperf3")
work = lab.scratch()
PROTOCOLS = ("tcp",)


def stock_server(*options):
    """An iperf3 server for one test; its port, and a function that waits for its JSON."""
    port, out = lab.free_port(), work / "server.json"
    out.unlink(missing_ok=True)
    process = lab.Process(["iperf3", "-s", "-1", "-J", "-p", port, *options], out)
    lab.wait_for("iperf3 listens", lambda: port in lab.listening_ports(process))

    def said():
        process.process.wait(20)
        return json.loads(out.read_text())

    return port, said, process


def total(streams, role):
    """Of the streams' own figures, as each end prints them."""
    return sum(stream[role]["bytes"] for stream in streams)


def ask(engine, port, *options, duration="1s"):
    done = todd("try", "iperf", f"127.0.0.1:{port}", "--duration", duration, "--engine", engine, "-o", "json", *options)
    check(done.stdout, f"todd try iperf {' '.join(map(str, options))} reports ({done.stderr.strip()[:300]})")
    return json.loads(done.stdout)["tests"][0]["edges"][0], done.returncode


def our_client(engine, *options, duration="1s", reverse=False, bidir=False):
    """Our client, a stock server: our view of it is what it says itself."""
    port, said, _ = stock_server()
    edge, code = ask(engine, port, *options, *(["--reverse"] if reverse else []), *(["--bidir"] if bidir else []), duration=duration)
    words = " ".join(map(str, options)) + (" --reverse" if reverse else "") + (" --bidir" if bidir else "")
    check(code == 0, f"{engine}: try {words} passes ({code}: {edge.get('notes') or edge.get('reason')})")
    server = said()
    check("error" not in server, f"  the server saw no error: {server.get('error')}")
    streams = server["end"]["streams"] or []
    kind = "udp" if "udp" in options else None
    for back in ([True] if reverse else [False, True] if bidir else [False]):
        name = "reverse_" if bidir and back else ""
        sent, got = lab.value(edge, name + "sent_bytes"), lab.value(edge, name + "bytes")
        mine = [s for s in streams if kind or s["sender" if back else "receiver"]["sender"] == back]
        if kind:
            theirs = sum(s["udp"]["bytes"] for s in mine if s["udp"]["sender"] == back)
        else:
            theirs = total(mine, "sender" if back else "receiver")
        check(theirs == (sent if back else got), f"  what the server {'sent' if back else 'got'} is told to the byte: {theirs}, {sent if back else got}")
        check(got > 100_000, f"  {got} bytes arrived")
        undelivered = edge["metrics"].get(name + "undelivered_at_end", {}).get("value", 0)
        check(sent == got + undelivered or kind, f"  sent {sent} = received {got} + undelivered {undelivered}")
    return edge, server


def their_client(engine, port, *options):
    """A stock client, our server."""
    done = subprocess.run(["iperf3", "-c", "127.0.0.1", "-p", str(port), "-J", *map(str, options)], capture_output=True, text=True, timeout=60)
    said = json.loads(done.stdout)
    words = " ".join(map(str, options))
    check(done.returncode == 0 and "error" not in said, f"{engine}: iperf3 -c {words} succeeds ({said.get('error')})")
    end = said["end"]
    if "-u" not in options:
        for suffix in ("", "_bidir_reverse") if "--bidir" in options else ("",):
            sent, got = end["sum_sent" + suffix]["bytes"], end["sum_received" + suffix]["bytes"]
            # With -O each end leaves away what it had moved when its own clock said so.
            check(100_000 < got and (got <= sent or "-O" in options) and sent < got * 1.5 + 20_000_000, f"  {got} bytes arrived of {sent}")
    return end


def serve(engine, *options):
    port, log = lab.free_port(), work / f"serve-{engine}.log"
    process = lab.Process([lab.BIN / "todd", "serve", "iperf", "--engine", engine, "--port", port, *options], log)
    lab.wait_for("iperf answers", lambda: re.search(r"answers on port (\d+)", log.read_text()))
    return process, port


for engine in lab.back_ends():
    # Stock servers.
    edge, _ = our_client(engine, "--streams", 1)
    check(edge["metrics"]["throughput"]["value"] > 50e6 and edge["metrics"]["tcp_mss"]["value"] > 0, f"{engine}: there is a throughput and what TCP says")
    for options, by in (([], None), (["--bitrate", "20M"], "pacing"), (["--window", "8Ki"], None)):
        edge, _ = our_client(engine, *options, "--streams", 2)
        spent, of = edge["metrics"]["limited"]["values"], 2 * lab.value(edge, "sent_time") * 1e6
        check(0.9 * of < sum(spent.values()) < 1.05 * of, f"  what held the sender up is all of its time: {spent} of {of:.0f} us")
        if by:
            check(max(spent, key=spent.get) == by, f"  mostly {by}")
    for options in (["--streams", 4], ["--bitrate", "20M"], ["--bitrate", "20M", "--streams", 3], ["--length", 4000], ["--window", "256Ki"], ["--mss", 1000],
                    ["--congestion", "reno"], ["--dscp", 8], ["--zero_copy"]):
        for direction in ({}, {"reverse": True}, {"bidir": True}):
            edge, server = our_client(engine, *options, duration="500ms", **direction)
            if "--bitrate" in options:
                rate = lab.value(edge, "throughput")
                # On a busy host a sender is late, and nobody makes good more than a little of that.
                late = edge["metrics"].get("send_lateness", {"value": 1})["value"]
                check((18e6 if late < 0.01 else 5e6) < rate < 22e6, f"  at 20 Mbit/s: {rate / 1e6:.2f}, {late * 1e3:.1f} ms late")
            if "--congestion" in options:
                check(edge["info"]["congestion"] == "reno", f"  by reno: {edge['info']}")
    edge, server = our_client(engine, "--omit", "1s", "--bitrate", "20M", duration="1s")
    check(server["start"]["test_start"]["omit"] == 1 and 0.6e6 < lab.value(edge, "bytes") < 2.8e6, "  what was omitted does not count")
    edge, _ = our_client(engine, "--bytes", "20M", duration="5s")
    check(lab.value(edge, "sent_bytes") == 20_000_000, "  exactly so many bytes were sent")
    edge, _ = our_client(engine, "--bytes", "20M", "--streams", 3, reverse=True, duration="5s")
    check(lab.value(edge, "bytes") >= 20_000_000, "  at least so many bytes came")

    # Stock clients.
    server, port = serve(engine)
    for options in (["-t", 1], ["-n", "20M"], ["-k", 200], ["-P", 4, "-t", 1], ["-b", "20M", "-t", 1], ["-O", 1, "-t", 1], ["-t", 1, "-i", 0.2], ["-t", 1, "-l", 4000],
                    ["-t", 1, "-N"], ["-t", 1, "-M", 1000], ["-t", 1, "-w", "256K"], ["-t", 1, "-Z"], ["-t", 1, "--get-server-output"], ["-t", 1, "-S", "0x20"]):
        for direction in ([], ["-R"], ["--bidir"]):
            end = their_client(engine, port, *options, *direction)
            if "-b" in options:
                check(5e6 < end["sum_received"]["bits_per_second"] < 22e6, f"  at 20 Mbit/s: {end['sum_received']['bits_per_second'] / 1e6:.2f}")
    # Several at once.
    both = [subprocess.Popen(["iperf3", "-c", "127.0.0.1", "-p", str(port), "-J", "-t", "1", "-b", "10M"], stdout=subprocess.PIPE, text=True) for _ in range(5)]
    for client in both:
        said = json.loads(client.communicate(timeout=30)[0])
        check("error" not in said and said["end"]["sum_received"]["bits_per_second"] > 5e6, f"{engine}: five clients at once")
    # A client that is stopped, and then another.
    client = subprocess.Popen(["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", "30"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lab.wait_for("it runs", lambda: client.poll() is None)
    client.send_signal(signal.SIGINT)
    client.wait(20)
    their_client(engine, port, "-t", 1)
    server.kill(signal.SIGINT)
    check(server.process.returncode == 0, f"{engine}: Ctrl-C ends the responder")
