"""What the kernel of this machine can do at most, each way by itself (bench/floor)."""
import tools
from table import Row

PATHS = (("ping socket", "ping", "--batch", 64), ("raw socket", "raw", "--batch", 64), ("raw socket, departures stamped", "raw", "--batch", 64, "--tx-stamps"),
         ("io_uring", "uring", "--batch", 64), ("AF_PACKET, RX ring", "packet", "--batch", 16), ("AF_PACKET, departures stamped", "packet", "--batch", 16, "--tx-stamps"),
         ("AF_PACKET, raw receive", "packet+raw", "--batch", 16), ("AF_PACKET TX ring, RX ring", "ring", "--batch", 64),
         ("2 cores: ping sockets", "ping", "--threads", 2), ("2 cores: raw, BPF by ident", "raw", "--threads", 2, "--filter"),
         ("2 cores: AF_PACKET, BPF by ident", "packet", "--batch", 16, "--threads", 2, "--filter"))


def run(full):
    rows = []
    for what, path, *words in PATHS:
        found = tools.floor(path, *words, targets=262144 if full else 131072, rounds=10 if full else 5)
        rates = [one["answers"] / one["seconds"] for one in found["rounds"]]
        rows.append(Row(f"{what} (floor)", "/s", peers={f"{found['process_us']:.2f} us each": rates}, note=" ", wrong=[] if found["lossless"] else ["answers are missing"]))
    return rows
