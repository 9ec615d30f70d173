"""An nginx at the far end of the stage, and what ToDD, wrk and h2load make of it."""
import functools, json, re

import lab
import tools
import web
from stage import stage
from table import Row

PLAIN, H2C, TLS, TLS_H2 = 8080, 8081, 8443, 8444
SECONDS = 4


@functools.cache
def site():
    """The folder of the one nginx of this run: one process, a page of 612 bytes, plain and with TLS 1.3."""
    folder = lab.scratch()
    (folder / "www").mkdir()
    (folder / "www/index.html").write_bytes(b"x" * 612)
    authority = web.Authority(folder)
    authority.certificate("site", "/CN=site.example", f"IP:{stage().far.address}")
    server = "server {{ listen {0} {1}; {2} root www; }}".format
    web.nginx(folder, "access_log off; open_file_cache max=100; http2_max_concurrent_streams 256;\n" + "\n".join(
        [server(f"{PLAIN} backlog=16000", "", ""), server(H2C, "http2", ""), server(f"{TLS} backlog=16000", "ssl", web.tls("site", "ssl_protocols TLSv1.3;")),
         server(TLS_H2, "ssl http2", web.tls("site"))]), (PLAIN, H2C, TLS, TLS_H2), stage().far)
    return folder


def url(port, scheme="http", path="/"):
    return f"{scheme}://{stage().far.address}:{port}{path}"


def todd(target, *words):
    """`todd try http`, whole: what it cost, and the one edge it reports."""
    done = tools.run(lab.BIN / "todd", "try", "http", "--yes", target, "--authorities", site() / "ca.pem", "-o", "json", *words)
    lab.check(done.out, f"todd try http {target} reports ({done.err.strip()[:300]})")
    test = json.loads(done.out)["tests"][0]
    return done, test["edges"][0] if test["edges"] else None, test["total"]


def beside(name, target, todd_words, peer_name, peer_words, pattern, rounds, **limits):
    """Requests per second and CPU per request of ToDD and of a load generator, taking turns. A row each."""
    ours, cpu, theirs, their_cpu, wrong = [], [], [], [], []
    for _ in range(rounds):
        done, edge, _ = todd(target, "--rate", "max", "--duration", f"{SECONDS}s", *todd_words)
        ok, failed = lab.value(edge, "ok"), lab.value(edge, "failed")
        wrong += [f"{failed} requests failed: {edge['metrics']['reasons']['values']}"] if failed else []
        ours.append(ok / SECONDS)
        cpu.append(done.cpu * 1e6 / max(ok, 1))
        peer = tools.run(*peer_words, target)
        rate = float(re.search(pattern, peer.out)[1])
        theirs.append(rate)
        their_cpu.append(peer.cpu * 1e6 / (rate * SECONDS))
    cpu_at_most = limits.pop("cpu_at_most", None)
    return [Row(f"{name}: requests per second", "/s", ours, {peer_name: theirs}, wrong=wrong, **limits),
            Row(f"{name}: CPU per request of the whole command", "us", cpu, {peer_name: their_cpu}, ratio_at_most=cpu_at_most)]
