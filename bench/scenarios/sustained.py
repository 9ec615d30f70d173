"""A hundred thousand targets again and again: beside the best rate at which fping loses none."""
import lab
import tools
from stage import addresses
from table import Row

COUNT = 100_000
INTERVALS_MS = (0.30, 0.20, 0.16, 0.14, 0.12, 0.10, 0.08)  # fping's timer makes the real ones longer; it ends with 4 where its sequence numbers run out


def best_of_fping(seconds):
    """Probes per second of the shortest interval that goes well."""
    best = 0
    for interval in INTERVALS_MS:
        rounds = max(1, round(seconds * 1000 / (interval * COUNT)))
        done, sent, received = tools.fping_many(COUNT, "-c", rounds, "-i", interval, "-p", round(interval * COUNT), "-t", 1000)
        if done.code == 4 or sent != rounds * COUNT or received != sent:
            break
        best = max(best, received / done.seconds)
    return best


def run(full):
    lab.need_programs(fping="fping")
    seconds = 60 if full else 15
    report = tools.Report(addresses(COUNT), "--rate", "max", "--duration", f"{seconds}s")
    wrong = report.missing(report["sent"])
    return [Row(f"answers per second over {seconds} s", "/s", [report["received"] / seconds], {"fping": [best_of_fping(seconds)]}, ratio_at_least=12, wrong=wrong)]
