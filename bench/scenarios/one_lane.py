"""One lane from its first departure to its last reply, beside the best the kernel gives on the same path (bench/floor); and all lanes."""
import tools
from table import Row

COUNT = 131072
# What, words of ToDD, one core or all.
WAYS = {"user": (("--stamps", "user"), tools.ONE_CORE), "exact": (("--stamps", "exact"), tools.ONE_CORE), "packet": (("--via", "packet", "--stamps", "user"), tools.ONE_CORE),
        "all": (("--stamps", "user"), ()), "all exact": (("--stamps", "exact"), ())}


def best(*words):
    """Of the floor's sockets, answers per second."""
    return max(tools.floor(*way, *words, rounds=1, targets=COUNT)["answers_per_second"] for way in (("raw", "--filter"), ("ping",)))


def run(full):
    ways = {name: way for name, way in WAYS.items() if name != "packet" or tools.takes("--via")}
    floor, floor_all = [], []
    rates, wrong = {name: [] for name in WAYS}, {name: [] for name in WAYS}
    for _ in range(10 if full else 5):
        floor.append(best())
        floor_all.append(best("--threads", 2))
        for name, (words, before) in ways.items():
            rate, missing = tools.sweep(COUNT, *words, before=before)
            rates[name].append(rate)
            wrong[name] += missing
    cost = [100 * (1 - exact / user) for exact, user in zip(rates["exact"], rates["user"])]
    one, both = {"floor, sockets": floor}, {"floor, sockets, 2 cores": floor_all}
    return [Row("sockets, arrivals stamped (--stamps user)", "/s", rates["user"], one, ratio_at_least=0.95, wrong=wrong["user"]),
            Row("best path, arrivals stamped (--path packet)", "/s", rates["packet"], one, ratio_at_least=1.35, wrong=wrong["packet"], note="" if "packet" in ways else "not available: no --path"),
            Row("sockets, departures stamped too", "/s", rates["exact"], one, wrong=wrong["exact"]),
            Row("what stamps of departure cost", "%", cost, at_most=10),
            Row("all cores, arrivals stamped", "/s", rates["all"], both, wrong=wrong["all"]),
            Row("all cores, departures stamped too", "/s", rates["all exact"], both, wrong=wrong["all exact"])]
