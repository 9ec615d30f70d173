"""The http testlet against nginx, plain and with TLS, HTTP/1.1 and HTTP/2, on both engines: counts equal to the server's log to
the unit, times like curl's, certificate facts equal to openssl's."""
import datetime, json, subprocess
import lab, web
from lab import check, value

[CURL] = lab.need_programs(curl="curl")
COUNT = 20
work = lab.scratch()
www = work / "www"
www.mkdir()
(www / "small").write_text("hello\n")
(www / "text.txt").write_text("all work and no play\n" * 1000)
(www / "slow").write_bytes(b"x" * 30_000)
(work / "passwords").write_text("me:{PLAIN}open sesame\n")
(work / "secrets").mkdir(mode=0o700)
(work / "secrets/site").write_text("open sesame\n")
(work / "secrets/site").chmod(0o600)
authority = web.Authority(work)
authority.certificate("good", "/O=Example/CN=www.example", "DNS:www.example,IP:127.0.0.1")
authority.certificate("other", "/CN=other.example", "DNS:other.example")
authority.certificate("own", "/CN=www.example", "DNS:www.example,IP:127.0.0.1", own=True)
ports = {name: lab.free_port() for name in ("plain", "h2c", "h1", "h2", "tls12", "other", "own")}
log = work / "access.log"
(work / "site").write_text(f"""root {www};
location = /r1 {{ return 302 /r2; }}
location = /r2 {{ return 301 /small; }}
location = /away {{ return 307 https://127.0.0.1:{ports['h2']}/small; }}
location = /loop {{ return 302 /loop; }}
location = /503 {{ return 503; }}
location = /none {{ return 204; }}
location = /slow {{ limit_rate 20k; }}
location = /locked {{ auth_basic todd; auth_basic_user_file {work}/passwords; try_files /small =404; }}
""")


def server(port, listen="", more=""):
    return f"server {{ listen 127.0.0.1:{ports[port]} {listen}; {more} include {work}/site; }}"


nginx = web.nginx(work, f"""log_format line '$server_port $request_method $request_uri $server_protocol $status $body_bytes_sent $ssl_session_reused';
access_log {log} line; gzip on; gzip_types text/plain; types {{ text/plain txt; }}
{server('plain')}
{server('h2c', 'http2')}
{server('h1', 'ssl', web.tls('good'))}
{server('h2', 'ssl http2', web.tls('good'))}
{server('tls12', 'ssl', web.tls('good', 'ssl_protocols TLSv1.2;'))}
{server('other', 'ssl', web.tls('other'))}
{server('own', 'ssl', web.tls('own'))}""", ports.values())


def logged():
    """What nginx has logged since the last time."""
    lines = log.read_text().splitlines()
    new, logged.seen = lines[logged.seen:], len(lines)
    return new


logged.seen = 0


def run(engine, scheme, port, path, *words, code=0, count=COUNT):
    url = f"{scheme}://127.0.0.1:{ports[port]}{path}"
    done = lab.todd("try", "http", url, "--count", count, "--rate", "max", "--engine", engine, "-o", "json", *words)
    if done.returncode != code:
        check(False, f"{engine}, {url} {words}: exit {done.returncode}, not {code}: {done.stdout[-600:]} {done.stderr}")
    [edge] = json.loads(done.stdout)["tests"][0]["edges"]
    return edge


TRUST = ("--authorities", authority.pem)


def counts(engine):
    """Every way to the same file: as many requests as the server logged, of the version and size that it logged."""
    ways = [("http", "plain", "1.1", "HTTP/1.1", ()), ("http", "h2c", "2", "HTTP/2.0", ()), ("https", "h1", "auto", "HTTP/1.1", TRUST),
            ("https", "h2", "1.1", "HTTP/1.1", TRUST), ("https", "h2", "auto", "HTTP/2.0", TRUST), ("https", "h2", "2", "HTTP/2.0", TRUST),
            ("https", "tls12", "auto", "HTTP/1.1", TRUST)]
    logged()
    for scheme, port, version, protocol, trust in ways:
        for kept in ("true", "false"):
            if kept == "false" and version == "2":
                continue
            edge = run(engine, scheme, port, "/small", "--http", version, "--keep_alive", kept, *trust)
            what = f"{engine}, {scheme} {port}, http {version}, keep_alive {kept}"
            lines = logged()
            check(value(edge, "ok") == COUNT and value(edge, "failed") == 0, f"{what}: {COUNT} answers")
            check([" ".join(line.split()[1:5]) for line in lines] == [f"GET /small {protocol} 200"] * COUNT, f"{what}: as many in nginx's log, of {protocol}")
            check(value(edge, "bytes") == sum(int(line.split()[5]) for line in lines) == 6 * COUNT, f"{what}: the bytes that nginx sent")
            kept_by_us = kept == "true" or protocol == "HTTP/2.0"
            check(value(edge, "opened") == (1 if kept_by_us else COUNT), f"{what}: {value(edge, 'opened')} connections")
            check(value(edge, "reused") == (COUNT - 1 if kept_by_us else 0), f"{what}: the others used again")
            check(edge["metrics"]["versions"]["values"] == {"2" if "2" in protocol else "1.1": COUNT}, f"{what}: the version counted")
            if scheme == "https":
                check(edge["metrics"]["tls"]["count"] == value(edge, "opened"), f"{what}: a handshake for each connection")
                check(edge["info"]["tls_version"] == ("1.2" if port == "tls12" else "1.3"), f"{what}: its version")


def sessions(engine):
    edge = run(engine, "https", "h1", "/small", *TRUST, "--keep_alive", "false", "--resume", "true")
    reused = sum(line.split()[6] == "r" for line in logged())
    check(value(edge, "resumed") == reused == COUNT - 1, f"{engine}: {reused} sessions resumed, by nginx's count too")


def certificates(engine):
    edge = run(engine, "https", "h1", "/small", *TRUST, count=1)
    told = authority.openssl("x509", "-in", "good.pem", "-noout", "-subject", "-issuer", "-serial", "-startdate", "-enddate", "-fingerprint", "-sha256", "-nameopt", "RFC2253")
    facts = dict(line.split("=", 1) for line in told.splitlines())
    date = lambda text: datetime.datetime.strptime(text, "%b %d %H:%M:%S %Y GMT")
    check(edge["info"]["certificate_subject"] == facts["subject"], "the subject is openssl's")
    check(edge["info"]["certificate_issuer"] == facts["issuer"], "the issuer is openssl's")
    check(edge["info"]["certificate_serial"].upper() == facts["serial"], "the serial is openssl's")
    check(edge["info"]["certificate_sha256"].upper() == facts["sha256 Fingerprint"].replace(":", ""), "the fingerprint is openssl's")
    check(edge["info"]["certificate_dates"] == f"{date(facts['notBefore']):%Y-%m-%dT%H:%M:%SZ} to {date(facts['notAfter']):%Y-%m-%dT%H:%M:%SZ}", "the dates are openssl's")
    check(edge["info"]["certificate_names"] == "DNS:www.example, IP:127.0.0.1", "the names")
    days = (date(facts["notAfter"]) - datetime.datetime.utcnow()).total_seconds() / 86400
    check(abs(value(edge, "certificate_days") - days) < 0.01, f"{days:.2f} days are left")
    verdicts = {("other", ()): "mismatch", ("own", ()): "self-signed certificate", ("h1", ("--server_name", "elsewhere.example")): "mismatch"}
    for (port, words), text in verdicts.items():
        logged()
        edge = run(engine, "https", port, "/small", *TRUST, *words, count=3, code=1)
        check(edge["metrics"]["reasons"]["values"] == {"certificate": 3} and logged() == [], f"{engine}, {port}: refused before anything was asked")
        check(text in edge["info"]["certificate_verdict"], f"{engine}, {port}: {edge['info']['certificate_verdict']}")
        edge = run(engine, "https", port, "/small", *TRUST, *words, "--insecure", "true", count=3)
        check(value(edge, "ok") == 3 and text in edge["info"]["certificate_verdict"], f"{engine}, {port}: insecure goes on and says so")
    edge = run(engine, "https", "h1", "/small", count=3, code=1)
    check("issuer" in edge["info"]["certificate_verdict"], f"{engine}: an unknown authority: {edge['info']['certificate_verdict']}")


def redirects(engine):
    logged()
    edge = run(engine, "http", "plain", "/r1", "--follow", 5, count=5)
    check(value(edge, "ok") == 5 and value(edge, "redirects") == 10 and len(logged()) == 15, f"{engine}: each of two hops followed, and logged")
    check(edge["info"]["final_url"] == f"http://127.0.0.1:{ports['plain']}/small", "and where they end")
    edge = run(engine, "http", "plain", "/r1", count=5)
    check(edge["metrics"]["status"]["values"] == {"302": 5}, f"{engine}: none followed unless asked")
    edge = run(engine, "http", "plain", "/away", "--follow", 1, *TRUST, count=5)
    check(value(edge, "ok") == 5 and edge["metrics"]["versions"]["values"] == {"2": 5}, f"{engine}: followed to another server, over TLS and HTTP/2")
    edge = run(engine, "http", "plain", "/loop", "--follow", 7, count=2, code=1)
    check(edge["metrics"]["reasons"]["values"] == {"redirect": 2} and value(edge, "redirects") == 14, f"{engine}: a loop ends")


def answers(engine):
    logged()
    edge = run(engine, "http", "plain", "/503", count=5, code=1)
    check(edge["metrics"]["status"]["values"] == {"503": 5} and edge["metrics"]["reasons"]["values"] == {"status": 5}, f"{engine}: a 503 is a failure")
    for port, words in (("plain", ()), ("h2c", ("--http", "2"))):
        edge = run(engine, "http", port, "/none", *words, count=5)
        check(edge["metrics"]["status"]["values"] == {"204": 5} and value(edge, "bytes") == 0, f"{engine}, {port}: an answer without a body")
        edge = run(engine, "http", port, "/text.txt", "--method", "HEAD", *words, count=5)
        check(value(edge, "ok") == 5 and value(edge, "bytes") == 0, f"{engine}, {port}: HEAD")
    check({line.split()[1] for line in logged()} == {"GET", "HEAD"}, "nginx saw the methods")


def bodies(engine):
    size = (www / "text.txt").stat().st_size
    for port, words in (("plain", ()), ("h2", TRUST)):
        scheme = "https" if words else "http"
        logged()
        edge = run(engine, scheme, port, "/text.txt", "--compressed", "true", *words, count=5)
        check(value(edge, "decoded_bytes") == 5 * size > 20 * value(edge, "bytes"), f"{engine}, {port}: {value(edge, 'bytes')} bytes came, and decode to the whole")
        good = ("status 200", "header content-type ~ ^text/", "header x-none absent", "body ~ no play", f"size = {size}", "response_time < 5s")
        edge = run(engine, scheme, port, "/text.txt", *words, *[word for one in good for word in ("--check", one)], count=3)
        check(value(edge, "ok") == 3, f"{engine}, {port}: every check holds")
        edge = run(engine, scheme, port, "/text.txt", *words, "--check", "body ~ beer", count=3, code=1)
        check(edge["metrics"]["reasons"]["values"] == {"check": 3} and "body" in edge["examples"][0]["detail"], f"{engine}, {port}: one that does not is told: {edge['examples'][0]['detail']}")
    edge = run(engine, "https", "h1", "/small", *TRUST, "--check", "certificate_days >= 10", "--check", "tls_version >= 1.3", count=2)
    check(value(edge, "ok") == 2, f"{engine}: checks of the certificate")
    edge = run(engine, "https", "h1", "/small", *TRUST, "--check", "certificate_days >= 100", count=2, code=1)
    check("certificate_days" in edge["examples"][0]["detail"], f"{engine}: {edge['examples'][0]['detail']}")


def credentials(engine):
    edge = run(engine, "http", "plain", "/locked", count=2, code=1)
    check(edge["metrics"]["status"]["values"] == {"401": 2}, f"{engine}: locked")
    edge = run(engine, "http", "plain", "/locked", "--user", "me", "--password", "secret:site", "--secrets", work / "secrets", count=2)
    check(value(edge, "ok") == 2 and "sesame" not in json.dumps(edge), f"{engine}: opened by a secret, which is in no report")


def times(engine):
    """What limit_rate makes of 30,000 bytes is the same for curl and for us."""
    for scheme, port in (("http", "plain"), ("https", "h1")):
        url = f"{scheme}://127.0.0.1:{ports[port]}/slow"
        told = subprocess.run([CURL, "-s", "-o", work / "out", "--cacert", authority.pem, "-w", "%{time_starttransfer} %{time_total}", url],
                              check=True, capture_output=True, text=True).stdout
        curl_first, curl_total = map(float, told.split())
        edge = run(engine, scheme, port, "/slow", *TRUST, count=1)
        total, first = edge["metrics"]["response_time"]["max"], edge["metrics"]["first_byte"]["max"]
        check(abs(total - curl_total) < 0.1 * curl_total, f"{engine}, {scheme}: {total * 1000:.0f} ms in all, curl has {curl_total * 1000:.0f}")
        check(first < 0.1 * total and curl_first < 0.1 * curl_total, f"{engine}, {scheme}: the first byte after {first * 1000:.1f} ms, curl has {curl_first * 1000:.1f}")
        check(abs(total - first - edge["metrics"]["transfer"]["max"]) < 1e-6, "the phases add up")


for name in lab.back_ends():
    for part in (counts, sessions, certificates, redirects, answers, bodies, credentials, times):
        part(name)
nginx.stop()
