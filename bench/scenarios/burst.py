"""Every address of a /17 once, whole command, a round trip of each: beside fping with no pause between packets."""
import lab
import tools
from stage import addresses
from table import Row

COUNT = 32768


def run(full):
    lab.need_programs(fping="fping")
    table, everything, peer, wrong = [], [], [], []
    for _ in range(10 if full else 5):
        wrong += tools.Report(addresses(COUNT), "--count", 1, "--rate", "max").missing(COUNT)
        for words, rates in (((), table), (("-o", "json"), everything)):
            done = tools.todd(addresses(COUNT), "--count", 1, "--rate", "max", "--expect", "loss <= 0%", *words)
            rates.append(COUNT / done.seconds)
            wrong += [f"exit {done.code}: {done.err.strip()[:200]}"] if done.code else []
        done, _, received = tools.fping_many(COUNT, "-c", 1, "-i", 0, "-t", 1000)
        peer.append(received / done.seconds)
    return [Row("answers per second of the command with its table", "/s", table, {"fping -i 0": peer}, ratio_at_least=2.7, wrong=wrong),
            Row("the same with all edges as JSON", "/s", everything, {"fping -i 0": peer})]
