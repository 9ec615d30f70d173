"""One lane from its first departure to its last reply, beside the best the kernel gives on the same path (bench/floor); and all lanes."""
import tools
from table import Row

COUNT = 131072
# What, words of ToDD, one core or all.
WAYS = {"user": (("--via", "socket", "--stamps", "user"), tools.ONE_CORE), "exact": (("--via", "socket", "--stamps", "exact"), tools.ONE_CORE),
        "packet": (("--via", "packet", "--stamps", "user"), tools.ONE_CORE), "packet exact": (("--via", "packet", "--stamps", "exact"), tools.ONE_CORE),
        "all": (("--stamps", "user"), ()), "all exact": (("--stamps", "exact"), ())}


def floor_rate(*words):
    return tools.floor(*words, rounds=1, targets=COUNT)["answers_per_second"]


def best(*words):
    """Of the floor's sockets, answers per second."""
    return max(floor_rate(*way, *words) for way in (("raw", "--filter"), ("ping",), ("uring",)))


def cost(exact, user):
    """Per cent, by round."""
    return [100 * (1 - with_stamps / without) for with_stamps, without in zip(exact, user)]


def run(full):
    floor, frames, frames_stamped, floor_all = [], [], [], []
    rates, wrong = {name: [] for name in WAYS}, {name: [] for name in WAYS}
    for _ in range(10 if full else 5):
        floor.append(best())
        frames.append(floor_rate("packet+raw"))
        frames_stamped.append(floor_rate("packet+raw", "--tx-stamps"))
        floor_all.append(best("--threads", 2))
        for name, (words, before) in WAYS.items():
            rate, missing = tools.sweep(COUNT, *words, before=before)
            rates[name].append(rate)
            wrong[name] += missing
    one, both = {"floor, sockets": floor, "floor, AF_PACKET": frames}, {"floor, sockets, 2 cores": floor_all}
    return [Row("sockets, arrivals stamped (--stamps user)", "/s", rates["user"], one, ratio_at_least=0.95, wrong=wrong["user"]),
            Row("frames, arrivals stamped (--via packet)", "/s", rates["packet"], one, ratio_at_least=1.35, wrong=wrong["packet"]),
            Row("sockets, departures stamped too", "/s", rates["exact"], one, wrong=wrong["exact"]),
            Row("what stamps of departure cost, sockets", "%", cost(rates["exact"], rates["user"]), at_most=10),
            Row("what they cost, frames", "%", cost(rates["packet exact"], rates["packet"]), {"floor, AF_PACKET": cost(frames_stamped, frames)}, at_most=10),
            Row("all cores, arrivals stamped", "/s", rates["all"], both, wrong=wrong["all"]),
            Row("all cores, departures stamped too", "/s", rates["all exact"], both, wrong=wrong["all exact"])]
