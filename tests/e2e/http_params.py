"""The http testlet's params against nginx: what the command and suites say, and that nginx saw what they mean."""
import hashlib, json, re, time
import lab, web
from lab import check, value

work = lab.scratch()
www = work / "www"
www.mkdir()
(www / "small").write_text("hello\n")
(www / "big").write_bytes(bytes(range(256)) * 4000)
authority = web.Authority(work)
authority.certificate("good", "/CN=www.example", "DNS:www.example,IP:127.0.0.1")
ports = {name: lab.free_port() for name in ("plain", "h2")}
log = work / "access.log"
(work / "site").write_text(f"""root {www};
location = /r1 {{ return 302 /r2?token=geheim; }}
location = /r2 {{ return 301 /small; }}
location = /loop {{ return 302 /loop; }}
location = /taken {{ proxy_pass http://127.0.0.1:{ports['plain']}/small; proxy_method GET; proxy_pass_request_body off; proxy_set_header Content-Length ""; }}
""")
nginx = web.nginx(work, f"""log_format line '$request_method $request_uri $server_protocol $status $request_length "$http_user_agent" "$http_x_a" $connection';
access_log {log} line;
server {{ listen 127.0.0.1:{ports['plain']}; include {work}/site; }}
server {{ listen 127.0.0.1:{ports['h2']} ssl http2; {web.tls('good')} include {work}/site; }}""", ports.values())


def logged():
    """What nginx has logged since the last time."""
    lines = log.read_text().splitlines()
    new, logged.seen = lines[logged.seen:], len(lines)
    return new


logged.seen = 0


def todd(*words, code=0):
    done = lab.todd("try", "http", *words)
    if done.returncode != code:
        check(False, f"{words}: exit {done.returncode}, not {code}: {done.stdout[-600:]} {done.stderr}")
    return done


def run(path, *words, code=0, port="plain"):
    url = f"{'https' if port == 'h2' else 'http'}://127.0.0.1:{ports[port]}{path}"
    [edge] = json.loads(todd(url, "-o", "json", *words, code=code).stdout)["tests"][0]["edges"]
    return edge


def the_words():
    """Every word that people try first."""
    edge = run("/small", "--rate", "max", "--connections", 4, "--requests", 200, "--method", "POST", "--header", "X-A: b c", "--body", "some text", "--http", "1.1",
               "--check", "status 405", port="h2", *("--authorities", authority.pem))
    lines = logged()
    check(value(edge, "ok") == 200 == len(lines) and value(edge, "opened") <= 4, "as many requests as --requests says, on at most 4 connections")
    check(all(line.startswith("POST /small HTTP/1.1 405 ") and '"todd" "b c"' in line for line in lines), f"with method, body and header: {lines[0]}")
    edge = run("/small", "--rate", 100, "--requests", 5, "--http", 2, "--insecure", port="h2")
    check(value(edge, "ok") == 5 and all("HTTP/2.0" in line for line in logged()), "--http 2 and --insecure")
    began = time.monotonic()
    edge = run("/r1", "--rate", 50, "--duration", "1s", "--follow", 3)
    check(40 <= value(edge, "ok") <= 51 and time.monotonic() - began < 10, f"--duration and --follow: {value(edge, 'ok')} in a second")
    logged()
    done = todd("http://127.0.0.1:1/", "--requests", 5, "--count", 5, code=2)
    check("--requests: 5 and --count: 5 mean the same; give one of them" in done.stderr, done.stderr.strip())
    done = lab.todd("try", "ping", "127.0.0.1", "--requests", 5)
    check(done.returncode == 2, "no other testlet has requests")
    shown = [lab.todd("testlets", "show", testlet).stdout for testlet in ("http", "ping")]
    check("\nrequests " in shown[0] and "\nrequests " not in shown[1], "and the lists of params say so")


def agents_of_user():
    run("/small", "--requests", 1, "--user_agent", "")
    check('"-" "-"' in logged()[0], "--user_agent '' sends none")
    run("/small", "--requests", 1, "--user-agent", "me 1.0")
    check('"me 1.0"' in logged()[0], "another one")
    done = todd("http://127.0.0.1:1/", "--path", "", code=2)
    check("path: must begin" in done.stderr, f"a path must be something: {done.stderr.strip()}")


def redirects():
    edge = run("/r1", "--requests", 3, "--follow", 5)
    told, base = edge["info"]["redirect_hops"], f"http://127.0.0.1:{ports['plain']}"
    form = rf"302 {base}/r1 \(([\d.e-]+) ms\), 301 {base}/r2\?token=gehe.* \(([\d.e-]+) ms\), 200 {base}/small \(([\d.e-]+) ms\)"
    times = re.fullmatch(form, told)
    check(times is not None, f"each hop is told: {told}")
    total = edge["metrics"]["response_time"]["max"] * 1000
    check(0 < sum(map(float, times.groups())) < total * 1.01, f"with its own time, of {total:.3f} ms at most")
    (work / "secrets").mkdir(mode=0o700)
    (work / "secrets/site").write_text("geheim")
    (work / "secrets/site").chmod(0o600)
    edge = run("/r1", "--requests", 1, "--follow", 5, "--token", "secret:site", "--secrets", work / "secrets")
    check("geheim" not in json.dumps(edge) and "token=***" in edge["info"]["redirect_hops"], f"secrets are blanked: {edge['info']['redirect_hops']}")
    logged()
    edge = run("/r1", "--requests", 1, "--follow", 5, "--secret_header", "X-A", "--secret_value", "secret:site", "--secrets", work / "secrets")
    check('"geheim"' in logged()[-1] and "geheim" not in json.dumps(edge) and "token=***" in edge["info"]["redirect_hops"], "a header with a secret arrives, and is in no report")
    done = todd("http://127.0.0.1:1/", "--header", "X-A: secret:site", code=2)
    check("header 'X-A': secrets are read in no header" in done.stdout + done.stderr and "secret_value" in done.stdout + done.stderr, f"but by its own param alone: {(done.stderr or done.stdout).strip()[-200:]}")
    edge = run("/loop", "--requests", 1, "--follow", 9, code=1)
    check(", ... 6 more, 302 " in edge["info"]["redirect_hops"], f"of many a few: {edge['info']['redirect_hops']}")


def thinking():
    logged()
    edge = run("/small", "--rate", "max", "--connections", 2, "--think_time", "100ms", "--duration", "1s")
    check(10 <= value(edge, "ok") <= 20 and value(edge, "opened") == 2 and value(edge, "dropped") == 0, f"two workers that pause 100 ms: {value(edge, 'ok')} requests in a second")
    done = todd("http://127.0.0.1:1/", "--think_time", "1ms", code=2)
    check("think_time: workers that pause are the closed model; give rate: max too" in done.stderr, done.stderr.strip())


def hashes():
    for port, words in (("plain", ()), ("h2", ("--insecure",))):
        whole = hashlib.sha256((www / "big").read_bytes()).hexdigest()
        edge = run("/big", "--requests", 2, "--check", f"hash sha256 = {whole.upper()}", *words, port=port)
        check(value(edge, "ok") == 2, f"{port}: the hash of a megabyte, which is not kept")
        edge = run("/small", "--requests", 2, "--check", f"hash sha256 = {whole}", *words, port=port, code=1)
        check(hashlib.sha256(b"hello\n").hexdigest() in edge["examples"][0]["detail"], f"{port}: another is told: {edge['examples'][0]['detail']}")


def table():
    done = lab.todd("try", "http", f"https://127.0.0.1:{ports['h2']}/small", "--requests", 3, "--authorities", authority.pem)
    check("dropped" in done.stdout and re.search(r"TLS 1\.3, TLS_\w+, ALPN h2, certificate: ok, (20|19\.9|20\.0) days left", done.stdout), f"the table has what was dropped, and TLS: {done.stdout}")
    done = lab.todd("try", "http", f"http://127.0.0.1:{ports['plain']}/small", "--requests", 3)
    check("TLS" not in done.stdout, "but not of http")


def files():
    """Texts in files, read where the command runs."""
    said = '{"wanted": "\u00e4", "tabs": "\\t"}\r\n\n'
    (work / "order.json").write_bytes(said.encode())
    (work / "headers").write_text("X-A: from a file\n\nX-B: too\n")
    responder = lab.Process([lab.BIN / "todd", "serve", "http"], work / "responder.log")
    [port] = lab.wait_for("the responder", lambda: re.findall(r"try http \S+:(\d+)", (work / "responder.log").read_text()))
    whole = hashlib.sha256(said.encode()).hexdigest()
    todd(f"http://127.0.0.1:{port}/echo", "--requests", 2, "--method", "POST", "--body", f"@{work}/order.json", "--check", f"hash sha256 = {whole}")
    check(True, "a body is the bytes of its file")
    responder.stop()
    logged()
    run("/small", "--requests", 1, "--header", f"@{work}/headers")
    check('"from a file"' in lab.wait_for("the log", logged)[0], "headers from a file, one a line")
    for content, text in ((b"\x89PNG", "byte 1 is not of a text: only UTF-8 without NUL can be sent"), (b"x" * (2**18 + 1), "longer than 256 KiB"), (None, "@@ is an @ itself")):
        (work / "bad").unlink(missing_ok=True)
        if content is not None:
            (work / "bad").write_bytes(content)
        done = todd("http://127.0.0.1:1/", "--body", f"@{work}/bad", code=2)
        check("--body: " in done.stderr and str(work / "bad") in done.stderr and text in done.stderr, f"a file that will not do: {done.stderr.strip().splitlines()[0]}")
    (work / "large").write_bytes(b"\x01" * 2**18)


def plans():
    """A mistake in a check is seen before any agent is asked."""
    fleet = lab.Fleet(work)
    fleet.add_agent("a1")
    group = work / "all.yaml"
    group.write_text("apiVersion: todd/v1\nkind: Group\nmetadata: {name: all}\nspec: {match: {agent: '*'}}\n")
    check(fleet.todd("apply", "-f", group).returncode == 0, "a group of it")
    suite = work / "web.yaml"
    url = f"http://127.0.0.1:{ports['plain']}/taken"

    def written(params):
        suite.write_text(f"apiVersion: todd/v1\nkind: Suite\nmetadata: {{name: web}}\nspec:\n  tests:\n    - name: site\n      testlet: http\n      from: {{agent: a1}}\n"
                         f"      to: {{urls: ['{url}']}}\n      params:\n        requests: 3\n{params}")
        return suite
    for params, text in (("        check: stauts 200\n", r'web\.yaml:12:9: test "site": check: "stauts 200" does not fit: .*status 200-299, '),
                         ("        check:\n          - status 200\n          - size <= 10x\n", r'web\.yaml:12:9: test "site": check: "size <= 10x" does not fit'),
                         ("        count: 3\n", r'web\.yaml:\d+:9: test "site": requests: 3 and count: 3 mean the same')):
        for words in (("--dry-run",), ()):
            done = fleet.todd("run", written(params), *words)
            check(done.returncode == 2 and re.search(text, done.stderr), f"{words}: {done.stderr.strip()[:200]}")
    done = fleet.todd("run", written("        check: [status 200, 'body ~ ^hello']\n        user_agent: ''\n"), "-o", "json")
    logged()
    check(done.returncode == 0 and json.loads(done.stdout)["tests"][0]["params"]["requests"] == "3", f"a suite with all of it: {done.stderr.strip()}")
    taken, large = f"http://127.0.0.1:{ports['plain']}/taken", ("--body", f"@{work}/large")
    logged()
    for done in (fleet.todd("run", written("        method: PUT\n"), "--set", f"site.body=@{work}/large", "--set", "site.requests=2"),
                 fleet.todd("try", "http", taken, "--from", "all", "--method", "PUT", *large, "--requests", 2)):
        check(done.returncode == 0, f"a body of 256 KiB from a file beside the command: {done.stdout} {done.stderr}")
    sizes = [int(line.split()[4]) for line in logged() if line.startswith("PUT /taken")]
    check(len(sizes) == 4 and all(2**18 < size < 2**18 + 500 for size in sizes), f"and nginx got all of it: {sizes}")
    done = fleet.todd("run", written(""), "--set", "site.body=@/nowhere/body")
    check(done.returncode == 2 and "--set site.body: opening /nowhere/body: " in done.stderr, done.stderr.strip())


for part in (the_words, agents_of_user, redirects, thinking, hashes, table, files, plans):
    part()
nginx.stop()
