"""Every address of a large network once, whole command: beside zmap, which keeps no round trips."""
import lab
import tools
from stage import addresses
from table import Row


def run(full):
    lab.need_programs(zmap="zmap")
    count = 1 << (20 if full else 19)
    ours, theirs, wrong = [], [], []
    for _ in range(3 if full else 1):
        found = lab.scratch() / "found"
        zmap = tools.zmap(count, found)
        lab.check(zmap.code == 0, f"zmap ends well ({zmap.err.strip()[:200]})")
        theirs.append(zmap.seconds)
        missed = count - len(set(found.read_text().split()))
        # Every edge is judged: exit code 0 says that each of them was answered.
        done = tools.todd(addresses(count), "--count", 1, "--rate", "max", "--expect", "loss <= 0%")
        ours.append(done.seconds)
        if done.code != 0:
            wrong.append(f"exit {done.code}: {done.out.strip().splitlines()[-1] if done.out.strip() else done.err.strip()[:200]}")
    return [Row(f"{count:,} addresses, whole command with its table", "s", ours, {"zmap icmp_echoscan": theirs}, ratio_at_most=1, wrong=wrong, note=f"zmap missed {missed}")]
