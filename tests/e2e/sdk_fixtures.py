"""Libraries built before today's engine: those of this ABI run as they are, those of another are refused with the remedy."""
import json, os, platform, subprocess

import lab
from lab import check

if platform.machine() != "x86_64":
    lab.skip(f"the libraries of tests/fixtures/testlets are for x86-64, this is {platform.machine()}")

work = lab.scratch()
minor = lab.abi_minor()
target = f"127.0.0.1:{lab.udp_echo()}"


def run(library, testlet, folder="tree"):
    """todd try in a tree that has this library (bytes) alone."""
    tree = work / folder / testlet
    (lab.tree(tree) / "fixture.so").write_bytes(library)
    words = [str(tree / "bin/todd"), "try", testlet, target, "--count", "10", "--interval", "5ms", "-o", "json"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env={**os.environ, "TODD_COORDINATOR": str(work / "none.sock")})


def check_refused(done, other, what):
    text = done.stdout + done.stderr
    check(done.returncode not in (0, 1), f"{what} does not run")
    check(f"needs testlet ABI 0.{other}, this host offers 0.{minor}: rebuild it" in text, f"{what} is refused with the remedy: {text.strip()[:200]}")


ran = None
for path in sorted((lab.SOURCE / "tests/fixtures/testlets").glob("sdk-0.*/*.so")):
    built_for = int(path.parent.name.removeprefix("sdk-0."))
    name = f"{path.parent.name}/{path.name}"
    done = run(path.read_bytes(), f"com.example.{path.stem}", path.parent.name)
    if built_for != minor:
        check_refused(done, built_for, name)
        continue
    check(done.returncode == 0, f"{name} runs on today's engine ({done.returncode}: {done.stderr.strip()[:300]})")
    edge = json.loads(done.stdout)["tests"][0]["edges"][0]
    check(lab.value(edge, "sent") == lab.value(edge, "received") == lab.value(edge, "answers") == 10, f"{name}: 10 of 10 come back")
    check(edge["metrics"]["rtt"]["count"] == 10 and lab.value(edge, "largest") == 64, f"{name}: histogram and gauge")
    check(edge["metrics"]["results"]["values"] == {"echo": 10} and edge["info"] == {"address": "127.0.0.1"}, f"{name}: breakdown and information")
    ran = path
check(ran, f"there is a library of ABI 0.{minor}; how to add one: tests/fixtures/testlets/README.md")

# The manifest is of this ABI but the entry behind it is not: seen when it is loaded.
magic = b"ToDD\0\0"
entry = ran.read_bytes()
check(entry.count(magic + bytes([minor, 0])) == 1, "the entry is found in the library")
lying = entry.replace(magic + bytes([minor, 0]), magic + bytes([minor + 1, 0])).replace(b"com.example.reflect", b"com.example.pretend")
check_refused(run(lying, "com.example.pretend"), minor + 1, "a library whose entry is of another ABI than its manifest")
