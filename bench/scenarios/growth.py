"""CPU per probe and memory per target as the targets become more: 100 to a million, a million probes each."""
import subprocess, time

import lab
import tools
from stage import addresses, file_of, stage
from table import Row

PROBES, RATE = 1_000_000, 50_000


def fping_memory(count):
    """Bytes of an fping that has taken all its targets."""
    process = subprocess.Popen(lab.inside(stage().near.name, "fping", "-q", "-l", "-p", 10000, "-i", 1, "-f", file_of(count)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most, last = 0, -1
    while most != last and process.poll() is None:
        time.sleep(1)
        last, most = most, tools.memory(process.pid, "Rss")
    process.kill()
    process.wait()
    return most


def run(full):
    lab.need_programs(fping="fping")
    cpu, rss, pss, whole, wrong = {}, {}, {}, {}, []
    for count in (100, 10_000, PROBES):
        watch = tools.Watch(addresses(count), "--count", PROBES // count, "--rate", RATE, "--expect", "loss <= 0%")
        out, err, code = watch.end()
        if code != 0:
            wrong.append(f"{count:,} targets: exit {code}: {(out.strip() or err.strip()).splitlines()[-1][:120]}")
        cpu[count], rss[count], pss[count] = watch.worker_cpu, watch.worker_rss, watch.both_pss
    theirs = {count: fping_memory(count) for count in (10_000, 100_000)}
    per_target = [(rss[PROBES] - rss[10_000]) / (PROBES - 10_000)]
    fping = [(theirs[100_000] - theirs[10_000]) / 90_000]
    return [Row(f"CPU per probe of {PROBES:,} targets to that of 100, prober", "", [cpu[PROBES] / cpu[100]], at_most=1.5, wrong=wrong,
                note=f"{cpu[PROBES] * 1e6 / PROBES:.2f} us and {cpu[100] * 1e6 / PROBES:.2f} us, {RATE:,} probes/s"),
            Row("memory per target, prober with its cells", "B", per_target, {"fping": fping}, at_most=192, ratio_at_most=0.333, wrong=wrong),
            Row("memory per target, whole `todd try` at its most", "B", [(pss[PROBES] - pss[10_000]) / (PROBES - 10_000)], {"fping": fping}, wrong=wrong)]
