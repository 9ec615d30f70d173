"""Targets that the owner of an agent refuses: literals, names, URLs, ranges and what carries IPv4; nothing is sent there, the rest goes on."""
import http.server, json, socket, subprocess, threading

import lab
from lab import check

work = lab.scratch()
library = lab.BIN / "../tests/testlets/teller.so"

done = subprocess.run([str(lab.BIN / "todd-agent"), "--data-dir", str(work / "none"), "--refuse-targets", "10.0.0.1/8"], capture_output=True, text=True)
check(done.returncode == 2 and '"10.0.0.1/8" has bits behind its prefix' in done.stderr, f"a rule that is none: {done.stderr.strip()}")

# Both hear what comes; one of them should hear nothing.
heard = {"127.0.0.1": 0, "127.0.0.5": 0}
port = lab.free_port()


def echo(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((address, port))
        while True:
            data, peer = udp.recvfrom(65536)
            heard[address] += 1
            udp.sendto(data, peer)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        heard["127.0.0.1"] += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words):
        pass


for address in heard:
    threading.Thread(target=echo, args=(address,), daemon=True).start()
page = http.server.HTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=page.serve_forever, daemon=True).start()

config = work / "agent.conf"
config.write_text('refuse-targets = ["127.0.0.0/30", "127.2.0.0/15", "::1"]\n')
fleet = lab.Fleet(work)
fleet.add_agent("strict", options=("--config", config, "--testlets", library.parent, "--testlets", lab.BIN / "../lib/todd/testlets"))
fleet.add_agent("free", options=("--testlets", library.parent, "--testlets", lab.BIN / "../lib/todd/testlets"))


def run(testlet, to, *words, agent="strict", params="{}"):
    document = work / "run.yaml"
    document.write_text(f"""apiVersion: todd/v1
kind: Suite
metadata: {{name: refused}}
spec:
  tests: [{{testlet: {testlet}, from: {{agent: {agent}}}, to: {to}, params: {params}, expect: []}}]
""")
    report, code = fleet.json("run", document, *words)
    return report, code, {edge["target"]["name"]: edge for edge in report["tests"][0]["edges"]}


WHERE = "in refuse-targets of the agent's configuration"
UDP = "{mode: udp, count: 3, interval: 10ms, timeout: 300ms}"
_, code, edges = run("ping", f'{{hosts: ["127.0.0.1:{port}", "127.0.0.5:{port}", "localhost:{port}"]}}', params=UDP)
ok = edges[f"127.0.0.5:{port}"] if f"127.0.0.5:{port}" in edges else edges["127.0.0.5"]
check(ok["state"] == "complete" and lab.value(ok, "received") == 3, "what is not refused is tested")
denied = [edge for edge in edges.values() if edge is not ok]
check(len(denied) == 2 and all((edge["state"], edge["reason"]) == ("error", "denied") for edge in denied), f"an address and a name are denied: {[e['reason'] for e in denied]}")
check(denied[0]["detail"] == f"127.0.0.1 is refused by 127.0.0.0/30, {WHERE}", f"the detail names address, rule and configuration: {denied[0]['detail']}")
check(any(f"is refused" in edge["detail"] and WHERE in edge["detail"] and edge["address"] for edge in denied[1:]), f"of a name the address that was found: {denied[1]['detail']}")
check(heard == {"127.0.0.1": 0, "127.0.0.5": 3}, f"nothing was sent to it: {heard}")

for to in ('{hosts: ["::ffff:127.0.0.1"]}', '{hosts: ["64:ff9b::127.0.0.2"]}', '{hosts: ["::1"]}'):
    _, code, edges = run("ping", to, params="{mode: udp, count: 1}")
    edge = next(iter(edges.values()))
    check((edge["reason"], code) == ("denied", 4), f"{to} is denied, and exit 4 says so: {edge['detail']} ({code})")
_, code, edges = run("http", f'{{urls: ["http://127.0.0.1:{page.server_port}/"]}}', params="{count: 2, interval: 10ms}")
check(next(iter(edges.values()))["reason"] == "denied" and heard["127.0.0.1"] == 0, "a URL is denied, of another testlet too")
_, code, edges = run("http", f'{{urls: ["http://127.0.0.1:{page.server_port}/"]}}', params="{count: 2, interval: 10ms}", agent="free")
check(code == 0 and heard["127.0.0.1"] == 2, "an agent that refuses nothing goes there")

_, _, edges = run("teller", '{hosts: ["127.0.0.0/28"]}')
check(sorted(name for name, edge in edges.items() if edge["reason"] == "denied") == ["127.0.0.1", "127.0.0.2", "127.0.0.3"], "of a network those that are refused")
check(sum(edge["state"] == "complete" for edge in edges.values()) == 11, "and the others are tested")
check(edges["127.0.0.2"]["detail"].startswith("127.0.0.1-127.0.0.3 is refused by 127.0.0.0/30"), "neighbours share a detail")
report, _, _ = run("teller", '{hosts: ["127.0.0.0/14"]}', "--check", "--yes")
states = report["tests"][0]["summary"]["states"]
# .0 and .255.255 of the /14 are no hosts: 3 of the /30 and all but one of the /15 are refused.
check(states == {"complete": 131068, "error": 131074}, f"of a quarter of a million half: {states}")
