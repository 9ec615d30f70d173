"""As many requests as one nginx answers: 64 kept connections, TLS 1.3, HTTP/2; beside wrk and h2load."""
import lab
from website import H2C, PLAIN, SECONDS, TLS, beside, url


def run(full):
    lab.need_programs(wrk="wrk", h2load="nghttp2-client")
    rounds = 5 if full else 3
    wrk = ("wrk", "-t1", "-c64", f"-d{SECONDS}")
    per_second = r"Requests/sec:\s+([\d.]+)"
    return [*beside("64 connections, plain", url(PLAIN), ("--connections", 64), "wrk -t1 -c64", wrk, per_second, rounds, ratio_at_least=1.35, cpu_at_most=0.7),
            *beside("64 connections, TLS 1.3", url(TLS, "https"), ("--connections", 64, "--http", "1.1"), "wrk -t1 -c64", wrk, per_second, rounds, ratio_at_least=1.2),
            *beside("HTTP/2, 8 connections x 32 streams", url(H2C), ("--connections", 8, "--streams", 32, "--http", 2), "h2load -t1 -c8 -m32",
                    ("h2load", "-t1", "-c8", "-m32", "-D", SECONDS), r"([\d.]+) req/s", rounds, ratio_at_least=1.0)]
