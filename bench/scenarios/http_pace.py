"""20,000 requests a second in the open model: when they leave, and what a server that stands still does to the percentiles."""
import lab
import tools
from table import Row
from website import PLAIN, site, todd, url

RATE, SECONDS = 20_000, 10


def run(full):
    late, wrong = [], []
    for _ in range(5 if full else 2):
        _, edge, _ = todd(url(PLAIN), "--connections", 512, "--rate", RATE, "--duration", f"{SECONDS}s")
        late.append(edge["quality"]["lateness_p99_s"] * 1e6)
        counts = {name: lab.value(edge, name) for name in ("planned", "unsent", "ok", "failed", "dropped")}
        if counts["ok"] != RATE * SECONDS:
            wrong.append(str(counts))
    rows = [Row(f"{RATE:,} requests/s: scheduling error p99", "us", late, at_most=50, wrong=wrong)]
    # nginx stands still for 500 ms every 5 s.
    stopper = lab.Process(["sh", "-c", f"while :; do sleep 4.5; kill -STOP $(cat {site()}/nginx.pid); sleep 0.5; kill -CONT $(cat {site()}/nginx.pid); done"], site() / "stopper.log")
    cycles = 12 if full else 4
    _, edge, _ = todd(url(PLAIN), "--connections", 5000, "--rate", 2000, "--duration", f"{5 * cycles}s", "--timeout", "5s")
    stopper.stop()
    tools.run("sh", "-c", f"kill -CONT $(cat {site()}/nginx.pid)")
    for name, q in (("p95", 0.95), ("p99", 0.99), ("p999", 0.999)):
        due = max(0.0, 0.5 * (q - 0.9) / 0.1)  # a tenth of the time is frozen; who comes then waits for its end
        seen = edge["metrics"]["corrected_time"][name]
        rows.append(Row(f"frozen 500 ms every 5 s: corrected {name}, off by", "%", [100 * abs(seen - due) / due], at_most=5, note=f"ToDD {seen * 1e3:.0f} ms, arithmetic {due * 1e3:.0f} ms"))
    return rows
