"""Certificates by openssl, and nginx with them, for tests and benches."""
import datetime, subprocess, sys
import lab

[OPENSSL] = lab.need_programs(openssl="openssl")


class Authority:
    """Makes certificates in a folder: ca.pem, and NAME.pem with NAME.key for each."""

    def __init__(self, folder):
        self.folder, self.pem = folder, folder / "ca.pem"
        self.openssl("req", "-x509", *self.KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", 30, "-subj", "/CN=Test authority")

    KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    def openssl(self, *words):
        return subprocess.run([OPENSSL, *map(str, words)], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def certificate(self, name, subject, names, days=20, own=False, starts=None):
        """own: signed by itself. starts: in so many days, or before now where that is negative; it ends in `days`, likewise."""
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        self.openssl("req", *self.KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        if starts is not None:
            return self._dated(name, starts, days)
        signed = ("-key", f"{name}.key") if own else ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
        self.openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-days", days, "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def _dated(self, name, *days):
        """Signs the request with a first and a last day, which only `openssl ca` can."""
        (self.folder / "ca.cnf").write_text("[ca]\ndefault_ca=x\n[x]\ndatabase=ca.index\nserial=ca.serial\nnew_certs_dir=.\ncertificate=ca.pem\n"
                                            "private_key=ca.key\ndefault_md=sha256\nunique_subject=no\npolicy=any\n[any]\ncommonName=supplied\n")
        (self.folder / "ca.index").touch()
        now = datetime.datetime.utcnow()
        first, last = (f"{now + datetime.timedelta(days=day):%Y%m%d%H%M%SZ}" for day in days)
        self.openssl("ca", "-batch", "-config", "ca.cnf", "-rand_serial", "-notext", "-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", f"{name}.ext",
                     "-startdate", first, "-enddate", last)


def nginx(folder, http, ports, namespace=None):
    """One process of nginx with this inside http {}, once it listens on the ports. What it tells is in nginx.log and error.log."""
    (folder / "nginx.conf").write_text(f"""daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_rlimit_nofile 20000;
events {{ worker_connections 16000; }}
http {{ keepalive_requests 1000000000; keepalive_timeout 600s; ssl_protocols TLSv1.2 TLSv1.3;
{http}
}}
""")
    [program] = lab.need_programs(nginx="nginx-light")
    process = lab.Process([program, "-p", folder, "-c", folder / "nginx.conf"], folder / "nginx.log", namespace)
    try:
        lab.wait_for("nginx", lambda: set(ports) <= set(lab.listening_ports(process, namespace)))
    except SystemExit:
        print((folder / "nginx.log").read_text(), file=sys.stderr)
        raise
    return process


def tls(certificate, more=""):
    """The lines of a server that speaks it, behind its listen."""
    return f"ssl_certificate {certificate}.pem; ssl_certificate_key {certificate}.key; {more}"
