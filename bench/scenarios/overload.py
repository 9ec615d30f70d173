"""Twice the probes that this machine can send: none may be called lost, and every one that is missing must be accounted for."""
import tools
from stage import addresses, cores
from table import Row

TARGETS, SECONDS = 10_000, 5


def run(full):
    able, _ = tools.sweep(65536)
    rows = []
    for busy in (False, True):
        count = max(1, round(2 * able * SECONDS / TARGETS))
        planned = count * TARGETS
        with cores(busy):
            report = tools.Report(addresses(TARGETS), "--count", count, "--rate", round(2 * able), "--timeout", "1s")
        names = ("planned", "unsent", "sent", "received", "lost", "undetermined")
        p, unsent, sent, received, lost, undetermined = (report[name] for name in names)
        unaccounted = abs(planned - p) + abs(p - unsent - sent) + abs(sent - received - lost - undetermined)
        load = "cores busy" if busy else "else idle"
        rows += [Row(f"{load}: called lost, of {planned:,} probes at {2 * able:,.0f}/s", "", [lost], at_most=0, note=f"sent {sent:,}, unsent {unsent:,}, received {received:,}, undetermined {undetermined:,}"),
                 Row(f"{load}: not accounted for", "", [unaccounted], at_most=0)]
    return rows
