"""ICMP without any privilege: ping sockets, where net.ipv4.ping_group_range allows them."""
import json, subprocess

import lab
from lab import check

lab.need_namespaces()
# A network of its own, because the range belongs to it; and a tree that another user may read.
home = lab.Namespace("ping", 1)
lab.sh(*lab.inside(home.name, "sh", "-c", "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range"))
tree = lab.tree_for_nobody()
engines = lab.back_ends()
for who, prefix in (("root", []), ("nobody", lab.NOBODY)):
    for engine in engines:
        words = prefix + [str(tree / "bin/todd"), "try", "ping", "127.0.0.1", "::1", home.address, "--count", "20", "--interval", "5ms",
                          "--engine", engine, "-o", "json"]
        done = subprocess.run(lab.inside(home.name, *words), capture_output=True, text=True)
        check(done.returncode == 0, f"{who}, {engine}: exits 0 ({done.returncode}: {done.stderr.strip()[:200]})")
        edges = json.loads(done.stdout)["tests"][0]["edges"]
        check(len(edges) == 3, f"{who}, {engine}: an edge per address")
        for edge in edges:
            metrics = edge["metrics"]
            check(metrics["received"]["value"] == 20 and metrics["lost"]["value"] == 0, f"{who}, {engine}: 20 of 20 at {edge['target']['name']}")

# Without a route nothing leaves, and nothing is lost.
subprocess.run(lab.inside(home.name, "ip", "route", "add", "unreachable", "203.0.113.0/24"), check=True)
done = subprocess.run(lab.inside(home.name, *lab.NOBODY, str(tree / "bin/todd"), "try", "ping", "203.0.113.1", "--count", "2", "--interval", "5ms", "-o", "json"),
                      capture_output=True, text=True)
edge = json.loads(done.stdout)["tests"][0]["edges"][0]
check(edge["metrics"]["received"]["value"] == 0 and edge["metrics"]["unsent"]["value"] == 2, f"no route: the probes did not leave ({done.returncode})")
