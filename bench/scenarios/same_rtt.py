"""Whether the round trip that is printed depends on how many targets there are: 1, 1,000 and 100,000 at one rate."""
import statistics

import tools
from stage import addresses
from table import Row


def run(full):
    probes, rate, rounds = 100_000, 20_000, 3 if full else 1
    medians, wrong = {1: [], 1000: [], 100_000: []}, []
    for _ in range(rounds):
        for count, values in medians.items():
            report = tools.Report(addresses(count), "--count", probes // count, "--rate", rate)
            wrong += report.missing(probes)
            values.append(report.rtt("p50") * 1e6)
    apart = [max(each) - min(each) for each in zip(*medians.values())]
    rows = [Row(f"rtt p50 of {count:,} targets, {rate:,}/s", "us", values) for count, values in medians.items()]
    return rows + [Row("how far apart they are", "us", apart, at_most=1, wrong=wrong)]
