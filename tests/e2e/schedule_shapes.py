"""How probes lie in time, as the far end of a veth pair saw them come: periodic, drawn, in bursts, below a millisecond, and late."""
import json, math, os, pathlib, signal, subprocess, time

import lab
from lab import check, todd, value

lab.need_namespaces()
near, far = lab.pair("near", "far")
SLACK = 0.05  # of a departure against the clock, on a host that is busy with other tests


def arrivals(engine, *words):
    """Per address: when each of its requests came, in seconds; and the edges by address."""
    delay_lab = lab.DelayLab(far, "10.64.0.0/24 delay 1ms")
    done = todd("try", "ping", "10.64.0.1", "10.64.0.2", "--engine", engine, "-o", "json", *words, namespace=near)
    check(done.returncode == 0, f"{engine}: {' '.join(map(str, words))}: exits 0 ({done.returncode}: {done.stderr.strip()[:300]})")
    came = {}
    for row in delay_lab.end():
        came.setdefault(row["to"], []).append(row["rx_ns"] / 1e9)
    return came, {edge["address"]: edge for edge in json.loads(done.stdout)["tests"][0]["edges"]}


def gaps(times):
    return [b - a for a, b in zip(times, times[1:])]


for engine in lab.back_ends():
    for shape in ("periodic", "poisson", "uniform"):
        came, edges = arrivals(engine, "--shape", shape, "--count", 300, "--interval", "10ms")
        for address, times in came.items():
            check(len(times) == value(edges[address], "received") == 300, f"{engine}: {shape}: 300 probes of {address}")
            spread = gaps(times)
            mean = sum(spread) / len(spread)
            if shape == "periodic":  # a host that stalls for 60 ms makes one gap wide and the next ones narrow
                spread = sorted(spread)[15:-15]
            deviation = math.sqrt(sum((gap - mean) ** 2 for gap in spread) / len(spread)) / 0.01
            # In intervals: 0, 1 and 1/sqrt(6), the deviation of the difference of two even ones. Six times what 300 draws scatter by.
            low, high = {"periodic": (0, 0.3), "poisson": (0.55, 1.6), "uniform": (0.3, 0.6)}[shape]
            check(low <= deviation <= high and abs(mean / 0.01 - 1) < 0.35, f"{engine}: {shape}: gaps of {mean * 1e3:.1f} ms, deviation {deviation:.2f} intervals")
        first = [gaps(times) for times in came.values()]
        check(shape == "periodic" or max(abs(a - b) for a, b in zip(*first)) > 0.002, f"{engine}: {shape}: each edge has its own times")

    came, edges = arrivals(engine, "--burst", 5, "--count", 23, "--interval", "100ms")
    for address, times in came.items():
        check(len(times) == 23, f"{engine}: bursts: 23 probes of {address}")
        starts = [times[i] for i in range(0, 23, 5)]
        check(all(times[i] - times[i // 5 * 5] < SLACK for i in range(23)) and all(0.1 - SLACK < gap < 0.1 + SLACK for gap in gaps(starts)),
              f"{engine}: five at once, every 100 ms")

    # The pace rises in the warm-up, of which nothing counts: 25 probes in the first second, 25 in the half after it.
    came, edges = arrivals(engine, "--ramp", "1s", "--warm-up", "1500ms", "--count", 50, "--interval", "20ms", "--timeout", "200ms")
    for address, times in came.items():
        check(len(times) == 100 and value(edges[address], "planned") == value(edges[address], "received") == 50, f"{engine}: {len(times)} probes of {address}, 50 of them counted")
        early = [time for time in times if time - times[0] < 0.5]
        check(len(early) < 12 and times[50] - times[49] > 0.3, f"{engine}: {len(early)} of 25 in the first half of the ramp, {times[50] - times[49]:.2f} s of silence behind the warm-up")

    # An interval below a millisecond, and a timeout of many intervals while half of the probes are lost.
    delay_lab = lab.DelayLab(far, "10.64.0.1 delay 30ms", "10.64.0.2 delay 30ms drop every 2")
    done = todd("try", "ping", "10.64.0.1", "10.64.0.2", "--engine", engine, "--interval", "500us", "--count", 2000, "--timeout", "300ms", "-o", "json", namespace=near)
    report = json.loads(done.stdout)
    delay_lab.end()
    for edge in report["tests"][0]["edges"]:
        lossy = edge["address"].endswith(".2")
        sent, lost, received = (value(edge, name) for name in ("sent", "lost", "received"))
        check(value(edge, "planned") == 2000 and sent + value(edge, "unsent") == 2000 and sent > 1800, f"{engine}: 2,000 probes 500 us apart ({sent} sent)")
        check(received + lost + value(edge, "undetermined") == sent and (lost == sent // 2 if lossy else lost == 0), f"{engine}: {received} answered 60 intervals later, {lost} lost")

    # This host stalls for a third of a second: late departures are no fault of the network, but of what was asked for.
    delay_lab = lab.DelayLab(far, "10.64.0.0/24 delay 1ms")
    command = [lab.BIN / "todd", "try", "ping", "10.64.0.1", "--engine", engine, "--interval", "40ms", "--count", 100, "-o", "json"]
    run = subprocess.Popen(lab.inside(near.name, *command), stdout=subprocess.PIPE, text=True)
    worker = lab.wait_for("the worker is there", lambda: [pid for pid in lab.children(run.pid) if b"todd-worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()])[0]
    time.sleep(1)
    os.kill(worker, signal.SIGSTOP)
    time.sleep(0.33)
    os.kill(worker, signal.SIGCONT)
    [edge] = json.loads(run.communicate()[0])["tests"][0]["edges"]
    delay_lab.end()
    rtt, corrected = (edge["metrics"][name] for name in ("rtt", "rtt_corrected"))
    check(corrected["count"] == rtt["count"] == 100 and rtt["max"] < 0.1, f"{engine}: the network was never slow ({rtt['max'] * 1e3:.1f} ms)")
    check(0.25 < corrected["max"] < 0.6 and corrected["p95"] > 0.05 and corrected["p50"] < 0.05, f"{engine}: a stall of 330 ms is in the corrected times: {corrected['max'] * 1e3:.0f} ms")

    # Answers that came in time to a host that stalls beyond their timeout are answers, and behind a warm-up nothing of it is left.
    for words, at, least in ((["--count", 200], 1.2, 195), (["--warm-up", "1s", "--count", 50], 0.95, 50)):
        delay_lab = lab.DelayLab(far, "10.64.0.1 delay 60ms")
        command = [lab.BIN / "todd", "try", "ping", "10.64.0.1", "--engine", engine, "--interval", "10ms", "--timeout", "100ms", "-o", "json", *map(str, words)]
        run = subprocess.Popen(lab.inside(near.name, *command), stdout=subprocess.PIPE, text=True)
        worker = lab.wait_for("the worker is there", lambda: [pid for pid in lab.children(run.pid) if b"todd-worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()])[0]
        time.sleep(at)
        os.kill(worker, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(worker, signal.SIGCONT)
        [edge] = json.loads(run.communicate()[0])["tests"][0]["edges"]
        delay_lab.end()
        counts = {name: value(edge, name) for name in ("planned", "sent", "unsent", "received", "lost", "undetermined", "late", "loss_bursts", "reordered")}
        check(counts["lost"] == counts["late"] == counts["loss_bursts"] == counts["reordered"] == 0 and counts["received"] == counts["sent"], f"{engine}: {' '.join(map(str, words))}: a stall of 500 ms loses nothing: {counts}")

for words, text in ((["--shape", "poisson", "--rate", "max"], "rate: max sends as fast as it goes"), (["--burst", "0"], "burst"), (["--ramp", "1s", "--rate", "max"], "no rate to rise to"), (["--ramp", "2s", "--warm-up", "1s"], "longer than the warm_up of 1s"), (["--shape", "gauss"], "is none of periodic, poisson, uniform")):
    done = todd("try", "ping", "127.0.0.1", *words)
    check(done.returncode == 2 and text in done.stderr, f"{' '.join(words)} is refused: {done.stderr.strip()[:200]}")
