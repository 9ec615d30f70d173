"""What the benches of accuracy share: quantiles, and a machine with something to do."""
import contextlib, os, subprocess


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


@contextlib.contextmanager
def cores(busy):
    """Every core computes while it lasts, if busy."""
    load = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() if busy else 0)]
    try:
        yield
    finally:
        for process in load:
            process.kill()
            process.wait()
