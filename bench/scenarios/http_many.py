"""A thousand URLs once a minute and a hundred once a second: CPU beside prometheus-blackbox-exporter, asked for the same."""
import concurrent.futures, json, re

import lab
import tools
from stage import stage
from table import Row
from website import TLS, site, url

SECONDS, SLOW, FAST = 60, 1000, 100


def urls():
    return [url(TLS, "https", f"/?{n}") for n in range(SLOW + FAST)]


def ours(kept):
    """CPU seconds of both commands, and how many requests were ok."""
    folder = lab.scratch()
    (folder / "slow").write_text("\n".join(urls()[:SLOW]) + "\n")
    (folder / "fast").write_text("\n".join(urls()[SLOW:]) + "\n")
    shared = ("--authorities", site() / "ca.pem", "--keep_alive", kept, "--http", "1.1", "--yes", "-o", "json")
    jobs = [(f"@{folder}/slow", "--count", 1, "--interval", f"{SECONDS}s"), (f"@{folder}/fast", "--count", SECONDS, "--interval", "1s")]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda words: measured(*words, *shared), jobs))
    return sum(cpu for cpu, _ in done), sum(ok for _, ok in done)


def measured(*words):
    """CPU is asked of the commands themselves: they run at the same time."""
    script = 'todd=$0; "$todd" try http "$@" >"$OUT"; times >&2'
    out = lab.scratch() / "out"
    done = tools.run("env", f"OUT={out}", "bash", "-c", script, lab.BIN / "todd", *words)
    [_, children] = [line for line in done.err.splitlines() if re.match(r"\d+m", line)]
    cpu = sum(60 * float(minutes) + float(seconds) for minutes, seconds in re.findall(r"(\d+)m([\d.]+)s", children))
    return cpu, json.loads(out.read_text())["tests"][0]["total"]["ok"]["value"]


def exporter():
    """CPU seconds of the exporter, and how many probes it calls a success."""
    folder = lab.scratch()
    (folder / "blackbox.yml").write_text(f"""modules:
  http: {{prober: http, timeout: 5s, http: {{preferred_ip_protocol: ip4, tls_config: {{ca_file: {site()}/ca.pem}}}}}}
""")
    process = lab.Process(["prometheus-blackbox-exporter", f"--config.file={folder}/blackbox.yml", "--web.listen-address=127.0.0.1:9115"], folder / "log", stage().near)
    # Its requests come from within its network namespace, each at its time.
    (folder / "urls").write_text(json.dumps(urls()))
    script = f"""
import concurrent.futures, json, time, urllib.parse, urllib.request
urls = json.load(open("{folder}/urls")); start = time.monotonic() + 2
def probe(due, url):
    time.sleep(max(0, start + due - time.monotonic()))
    return b"probe_success 1" in urllib.request.urlopen("http://127.0.0.1:9115/probe?module=http&target=" + urllib.parse.quote(url, safe="")).read()
plan = sorted([(n * {SECONDS} / {SLOW}, u) for n, u in enumerate(urls[:{SLOW}])] + [(s + n / {FAST}, u) for s in range({SECONDS}) for n, u in enumerate(urls[{SLOW}:])])
with concurrent.futures.ThreadPoolExecutor(64) as pool: print(sum(pool.map(lambda job: probe(*job), plan)))
"""
    lab.wait_for("the exporter", lambda: 9115 in lab.listening_ports(process, stage().near))
    good = int(tools.run("python3", "-c", script).out)
    cpu = tools.cpu_of(process.pid())
    process.stop()
    return cpu, good


def run(full):
    lab.need_programs(**{"prometheus-blackbox-exporter": "prometheus-blackbox-exporter"})
    site()
    due = SLOW + FAST * SECONDS
    their_cpu, good = exporter()
    rows = []
    for kept, name, most in (("true", "connections kept, as by default", 0.1), ("false", "a new connection for each, as the exporter does", None)):
        cpu, ok = ours(kept)
        wrong = [] if ok == due and good == due else [f"of {due:,} requests ToDD calls {ok:,} good, the exporter {good:,}"]
        rows.append(Row(f"{SLOW:,} URLs once a minute, {FAST} once a second, {name}: CPU of a minute", "s", [cpu], {"blackbox-exporter": [their_cpu]}, ratio_at_most=most, wrong=wrong))
    return rows
