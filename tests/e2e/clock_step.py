"""Somebody sets this host's clock in mid-run, two seconds on and later back: nothing is lost, no round trip is wrong, and the
probes that were under way are marked as timed by the program. Sets the real clock, so it asks for TODD_SET_CLOCK=1 or CI=true."""
import json, os, subprocess, time

import lab
from lab import check, value

lab.need_namespaces()
if os.environ.get("CI") != "true" and os.environ.get("TODD_SET_CLOCK") != "1":
    lab.skip("it would set this machine's clock; TODD_SET_CLOCK=1 allows that")
DELAY = 0.3  # so long is each probe under way
PROBES, INTERVAL = 150, 0.02


def set_clock(by):
    time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME) + by)


near, far = lab.pair("near", "far")
for engine in lab.back_ends():
    delay_lab = lab.DelayLab(far, f"10.64.0.1 delay {DELAY * 1e3:.0f}ms")
    begun = time.monotonic()
    run = subprocess.Popen(lab.inside(near.name, lab.BIN / "todd", "try", "ping", "10.64.0.1", "--engine", engine, "--count", PROBES, "--interval", f"{INTERVAL * 1e3:.0f}ms",
                                      "--samples", "all", "-o", "json"), stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(1.2)
        set_clock(2_000_000_000)
        time.sleep(0.8)
    finally:
        set_clock(-2_000_000_000)
    [edge] = json.loads(run.communicate()[0])["tests"][0]["edges"]
    delay_lab.end()
    check(value(edge, "sent") == value(edge, "received") == PROBES and value(edge, "lost") == 0, f"{engine}: none of {PROBES} is lost")
    rtt = edge["metrics"]["rtt"]
    check(DELAY <= rtt["min"] and rtt["max"] < DELAY + 0.1, f"{engine}: round trips of {rtt['min'] * 1e3:.1f} to {rtt['max'] * 1e3:.1f} ms")
    marked = [sample["seq"] for sample in edge["samples"] if "user" in (sample["tx_stamp"], sample["rx_stamp"])]
    runs = [seq for seq in marked if seq - 1 not in marked]
    under_way = int(DELAY / INTERVAL)
    check(len(edge["samples"]) == PROBES and len(runs) == 2 and 2 * under_way - 4 <= len(marked) <= 2 * under_way + 10,
          f"{engine}: {len(marked)} probes are marked, {under_way} were under way at each step ({marked})")
