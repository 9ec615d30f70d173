"""A network that stands still for 500 ms every 10 s: the percentiles of ToDD against what arithmetic says."""

import lab
import tools
from stage import quantile, stage
from table import Row

ADDRESS, INTERVAL_MS = "10.32.0.1", 5
EVERY_S, FROZEN_S = 10, 0.5
DELAY_S = 0.001


def analytic(q):
    """Of a probe at any time: it waits as long as the freeze still lasts, if it comes into one; else the delay is all. Seconds."""
    share = FROZEN_S / EVERY_S
    return DELAY_S if q <= 1 - share else max(DELAY_S, FROZEN_S * (q - (1 - share)) / share)


def run(full):
    cycles = 30 if full else 3
    delay_lab = lab.DelayLab(stage().far, f"{ADDRESS} delay {int(DELAY_S * 1000)}ms freeze {int(FROZEN_S * 1000)}ms every {EVERY_S}s")
    count = cycles * EVERY_S * 1000 // INTERVAL_MS
    report = tools.Report(ADDRESS, "--count", count, "--interval", f"{INTERVAL_MS}ms", "--timeout", "1s")
    held = [(row["tx_ns"] - row["rx_ns"]) / 1e9 for row in delay_lab.end()]
    rows = []
    for name, q in (("p95", 0.95), ("p99", 0.99), ("p999", 0.999)):
        seen, due, true = report.total["rtt_corrected"][name], analytic(q), quantile(held, q)
        # At p95 those that wait begin, and chance decides on which side of that corner it falls: there the freeze is the measure.
        whole = FROZEN_S if q == 0.95 else due
        rows.append(Row(f"rtt_corrected {name}, off by", "% of the freeze" if q == 0.95 else "%", [100 * abs(seen - due) / whole], at_most=5, wrong=report.missing(count),
                        note=f"ToDD {seen * 1e3:.1f} ms, arithmetic {due * 1e3:.1f} ms, the lab's own stamps {true * 1e3:.1f} ms"))
    return rows
