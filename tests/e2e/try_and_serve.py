"""todd try and todd serve without a coordinator: all three testlets, exit codes, bad input."""
import json, os, pathlib, re, signal, socket, subprocess

import lab
from lab import check, todd

lab.need_icmp()
work = lab.scratch()


def serve(testlet, engine, *options):
    """The process and the port it says."""
    log = work / f"{testlet}-{engine}.log"
    process = lab.Process([lab.BIN / "todd", "serve", testlet, "--engine", engine, *options], log)
    said = lab.wait_for(f"{testlet} answers", lambda: re.search(r"answers on port (\d+)", log.read_text()))
    return process, said[1]


loopbacks = lab.loopbacks()
for engine in lab.back_ends():
    done = todd("try", "ping", *loopbacks, "--count", 20, "--interval", "5ms", "--engine", engine, "-o", "json")
    report = json.loads(done.stdout)
    check(done.returncode == 0 and report["verdict"] == "pass", f"{engine}: ping of loopback passes")
    check(len(report["tests"][0]["edges"]) == len(loopbacks), f"{engine}: an edge per address")
    for edge in report["tests"][0]["edges"]:
        check(lab.value(edge, "sent") == 20 and lab.value(edge, "received") == 20, f"{engine}: 20 of 20 at {edge['address']}")
        check(edge["quality"]["engine"] == engine and edge["quality"]["rx_stamp"] == "kernel", f"{engine}: stamped by the kernel")
        check(0 < edge["metrics"]["rtt"]["p50"] < 0.1, f"{engine}: a plausible round trip")

    ping, port = serve("ping", engine)
    done = todd("try", "ping", f"127.0.0.1:{port}", "--mode", "udp", "--count", 50, "--interval", "2ms", "--engine", engine, "-o", "json")
    check(done.returncode == 0 and lab.value(json.loads(done.stdout)["tests"][0]["edges"][0], "lost") == 0, f"{engine}: UDP echo without loss")
    ping.kill(signal.SIGINT)
    check(ping.process.returncode == 0, f"{engine}: Ctrl-C ends the responder with 0")

    http, port = serve("http", engine, "--port", lab.free_port())
    # Connections enough that a stall of this host drops none.
    done = todd("try", "http", f"http://127.0.0.1:{port}/", "--rate", 100, "--duration", "1s", "--connections", 16, "--engine", engine, "-o", "json")
    edge = json.loads(done.stdout)["tests"][0]["edges"][0]
    check(done.returncode == 0 and lab.value(edge, "ok") == 100 and edge["metrics"]["status"]["values"] == {"200": 100}, f"{engine}: 100 requests, 100 answers")
    http.stop()

    iperf, port = serve("iperf", engine, "--port", lab.free_port())
    for reverse in ([], ["--reverse"]):
        for protocol in ("tcp", "udp"):
            done = todd("try", "iperf", f"127.0.0.1:{port}", "--protocol", protocol, "--bitrate", "40M", "--duration", "1s", "--engine", engine, "-o", "json", *reverse)
            edge = json.loads(done.stdout)["tests"][0]["edges"][0]
            rate = lab.value(edge, "throughput")
            check(done.returncode == 0 and 30e6 < rate < 50e6, f"{engine}: {protocol} {' '.join(reverse)} at 40 Mbit/s gives {rate / 1e6:.1f}")
    iperf.stop()


def refused(words, code, *texts):
    done = todd(*words)
    text = done.stderr + done.stdout
    check(done.returncode == code, f"todd {' '.join(map(str, words))} exits {code} (was {done.returncode})")
    for expected in texts:
        check(re.search(expected, text), f"  and says {expected!r}: {text.strip()[:200]}")


refused(["try", "ping", "127.255.255.254:x"], 2)
refused(["try", "pnig", "127.0.0.1"], 2, "did you mean .ping")
refused(["try", "ping", "no-such-host.invalid", "--count", "1"], 2, "no-such-host.invalid")
refused(["try", "ping", "127.0.0.1", "--interval", "10"], 2, "10s or 10ms")
refused(["try", "ping", "127.0.0.1", "--size", "70000"], 2, "0 to 65507")
refused(["try", "ping", "127.0.0.1", "--sizes", "64,70000"], 2, "70000.: sizes go from 0 to 65507")
refused(["try", "ping", "127.0.0.1", "--payload", "xyz"], 2, "does not fit: content of a probe: increment, zero, random")
refused(["try", "ping", "127.0.0.1", "--interface", ""], 2, "interface: a value is missing")
refused(["try", "ping", "127.0.0.0/30:9", "--mode", "udp"], 2, "a network takes no port")
refused(["serve", "ping", "--mode", "icmp"], 2, "nothing to serve")
refused(["try", "ping", "127.0.0.1", "--intervall", "1s"], 2, "did you mean --interval")
refused(["try", "ping", "127.0.0.1", "--expect", "p99(rttt) < 1s"], 2, "rtt")
refused(["try", "ping", "127.0.0.1", "--count", "10", "--interval", "1ms", "--expect", "p50(rtt) < 1ns"], 1)
refused(["try", "http", "https://127.0.0.1/", "--authorities", "/nowhere"], 2, "cannot read /nowhere")
refused(["try", "http", f"http://127.0.0.1:{lab.free_port()}/", "--count", "1"], 1)
refused(["try", "ping", "10.0.0.0/8"], 2, "16777214")
refused(["try", "ping", "127.0.0.1", "-o", "jsno"], 2, "did you mean .json")

refused(["try", "ping", "127.0.0.1", "--interval", "1s", "--rate", "5"], 2, "todd: --interval: 1s and --rate: 5 exclude each other")
refused(["try", "ping", "127.0.0.1", "--mode", "tpc"], 2, "todd: --mode: .tpc. is none of icmp, udp, tcp")
refused(["try", "ping", "http://127.0.0.1/"], 2, "ping takes no URLs: give addresses")
refused(["try", "http", "http://127.0.0.1/", "127.0.0.1"], 2, "do not mix")
refused(["try", "ping", "127.0.0.1:80", "--count", "1"], 2, "target 127.0.0.1:80: mode icmp takes no port.*mode udp")
refused(["try", "ping", "agent:a1"], 2, "agent:a1 .*add --from GROUP")
refused(["try", "ping", "127.0.0.1", "group:g"], 2, "group:g .*add --from GROUP")

with socket.socket() as taken, socket.socket(type=socket.SOCK_DGRAM) as taken_udp:
    taken.bind(("0.0.0.0", 0))
    taken.listen()
    port = taken.getsockname()[1]
    taken_udp.bind(("0.0.0.0", port))
    for testlet in ("ping", "http", "iperf"):
        refused(["serve", testlet, "--port", port], 2, f"port {port} is in use.*--port")
refused(["serve", "iperf", "--port", "99999"], 2, '--port: "99999" is no port; expected 1 to 65535')
refused(["serve", "iperf", "--port", "x"], 2, '"x" is no port')

done = todd("try", "ping", "127.0.0.1", "--count", 5, "--interval", "1ms", "--samples", "all", "-o", "json")
samples = json.loads(done.stdout)["tests"][0]["edges"][0]["samples"]
check(len(samples) == 5 and set(samples[0]) == {"at", "rtt", "outcome", "seq", "ttl", "tx_stamp", "rx_stamp"}, "samples have their seven fields")

done = todd("try", "ping", *loopbacks, "--count", 6, "--interval", "1ms", "--sizes", "0,56..1456/700", "--payload", "random", "-o", "json")
for edge in json.loads(done.stdout)["tests"][0]["edges"]:
    check(edge["metrics"]["by_size"]["values"] == {"0_received": 2, "56_received": 2, "756_received": 1, "1456_received": 1}
          and lab.value(edge, "corrupted") == 0, f"a sweep of sizes comes back whole from {edge['address']}")

# A whole network, each address an edge.
done = todd("try", "ping", "127.3.0.0/20", "--count", 1, "--rate", "max", "-o", "json")
test = json.loads(done.stdout)["tests"][0]
check(done.returncode == 0 and test["total"]["received"]["value"] == 4094 and len(test["edges"]) == 4094, "4,094 addresses answer")

# Without any privilege for ICMP the remedy is named. A user of its own, and no group of the ping sockets' range.
if os.geteuid() != 0 or pathlib.Path("/proc/sys/net/ipv4/ping_group_range").read_text().split() != ["1", "0"]:
    print("skipped: a user without ICMP, which takes root and a ping_group_range of nobody")
else:
    tree = lab.tree_for_nobody()
    nobody = lab.NOBODY + [str(tree / "bin/todd")]
    done = subprocess.run(nobody + ["try", "ping", "127.0.0.1", "--count", "1"], capture_output=True, text=True)
    check(done.returncode == 4 and "ping_group_range" in done.stderr + done.stdout, f"a missing privilege exits 4 with the remedy ({done.returncode}: {done.stderr.strip()[:300]})")
    (tree / "lib/todd/testlets").chmod(0o700)
    done = subprocess.run(nobody + ["try", "ping", "127.0.0.1"], capture_output=True, text=True)
    check(done.returncode == 2 and "testlets: Permission denied" in done.stderr, f"a folder of testlets that cannot be read is named ({done.stderr.strip()[:300]})")
