"""Ten thousand connections at the same time, plain and with TLS: user memory of each."""
import tools
from table import Row
from website import PLAIN, TLS, site, url


def memory(target, connections):
    """Most of the worker's own memory, and what was wrong."""
    watch = tools.Watch("--authorities", site() / "ca.pem", "--connections", connections, "--http", "1.1", "--rate", "max", "--count", 2 * connections, "--timeout", "60s", "--", target,
                        testlet="http")
    out, err, code = watch.end()
    return watch.worker_rss, [] if code == 0 else [f"{connections} connections: exit {code}: {(out.strip() or err.strip())[-200:]}"]


def run(full):
    rows = []
    for name, target, most in (("plain", url(PLAIN), 2.5), ("TLS 1.3", url(TLS, "https"), 40)):
        few, wrong = memory(target, 100)
        many, more = memory(target, 10_000)
        rows.append(Row(f"10,000 connections, {name}: memory of each", "KB", [(many - few) / 9_900 / 1000], at_most=most, wrong=wrong + more))
    return rows
