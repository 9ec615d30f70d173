"""An author who has the installed tree only: builds the guide's testlet, installs it beside the programs, runs it; and one in C."""
import json, re

import lab
from lab import check, sh

work = lab.scratch()
prefix = work / "prefix"
sh("cmake", "--install", lab.BIN.parent, "--prefix", prefix, "--strip")
guide = (lab.SOURCE / "docs/writing-testlets.md").read_text()


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```", guide, re.M | re.S)[1]


def build(source, name):
    out = work / f"{name}-build"
    sh("cmake", "-S", source, "-B", out, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
    sh("cmake", "--build", out)
    sh("cmake", "--install", out, "--prefix", prefix)
    check((prefix / f"lib/todd/testlets/{name}.so").exists(), f"{name} is built and installed")


beat = work / "beat"
beat.mkdir()
(beat / "beat.cc").write_text(block("cpp"))
(beat / "CMakeLists.txt").write_text(block("cmake"))
build(beat, "beat")
build(lab.SOURCE / f"tests/fixtures/testlets/sdk-0.{lab.abi_minor()}", "reflect")  # a project without C++

lab.BIN = prefix / "bin"  # from here on the installed programs
target = f"127.0.0.1:{lab.udp_echo()}"


def check_edge(report, count):
    test = report["tests"][0]
    edge = test["edges"][0]
    check(report["verdict"] == "pass" and lab.value(edge, "sent") == lab.value(edge, "received") == count, f"{test['testlet']}: {count} of {count} come back")
    check(lab.value(edge, "loss") == 0 and edge["metrics"]["rtt"]["count"] == count, f"{test['testlet']}: none is lost, each has its time")
    check(0 < edge["metrics"]["rtt"]["p50"] < 1, f"{test['testlet']}: a plausible round trip")


for testlet in ("com.example.beat", "com.example.reflect"):
    done = lab.todd("try", testlet, target, "--count", 20, "--interval", "5ms", "-o", "json")
    check(done.stdout, f"todd try {testlet} reports ({done.stderr.strip()})")
    check_edge(json.loads(done.stdout), 20)

# An id with dots on its whole way: agent, API, suite.
suite = work / "beat.yaml"
suite.write_text(f"""apiVersion: todd/v1
kind: Group
metadata: {{name: everyone}}
spec: {{match: {{hostname: "*"}}}}
---
apiVersion: todd/v1
kind: Suite
metadata: {{name: beats}}
spec:
  tests:
    - {{testlet: com.example.beat, from: everyone, to: {{hosts: ["{target}"]}}, params: {{count: 10, interval: 5ms}}}}
""")
fleet = lab.Fleet(work)
fleet.add_agent("author")
shown = fleet.todd("testlets", "show", "com.example.beat")
check(shown.returncode == 0 and "round-trip time of a UDP echo" in shown.stdout and not shown.stderr, "the coordinator shows it")
report, code = fleet.json("run", suite)
check(code == 0 and report["tests"][0]["name"] == "com.example.beat", "a suite names it")
check_edge(report, 10)
