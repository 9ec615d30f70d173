"""Testlet libraries that cannot be: each is refused with its reason, the good ones go on. And the boundary: one exported symbol."""
import pathlib, shutil, subprocess

import lab
from lab import check

work = lab.scratch()
good = lab.BIN / "../lib/todd/testlets"
tree = work / "tree"
testlets = lab.tree(tree)
for library in good.glob("*.so"):
    shutil.copy(library, testlets)
    symbols = subprocess.run(["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True).stdout.split("\n")
    names = [line.split()[-1] for line in symbols if line]
    check(names == ["todd_entry_v0"], f"{library.name} exports its entry alone: {names}")

ping = (good / "ping.so").read_bytes()
(testlets / "truncated.so").write_bytes(ping[: len(ping) // 2])
(testlets / "foreign.so").write_bytes(ping[:18] + b"\xb7\x00" + ping[20:])  # e_machine: aarch64
(testlets / "text.so").write_text("not a library\n")
(testlets / "other-abi.so").write_bytes(ping.replace(b'"abi_minor":%d' % lab.abi_minor(), b'"abi_minor":9'))
source = work / "plain.c"
source.write_text("int nothing;\n")
subprocess.run(["cc", "-shared", "-fPIC", "-o", str(testlets / "plain.so"), str(source)], check=True)

env = {"TODD_COORDINATOR": str(work / "none.sock"), "ASAN_OPTIONS": "detect_leaks=0"}
listed = subprocess.run([str(tree / "bin/todd"), "testlets"], capture_output=True, text=True, env={**__import__("os").environ, **env})
text = listed.stdout + listed.stderr
for name, reason in {"truncated.so": "truncat", "foreign.so": "machine|aarch64|architecture|183", "text.so": "not an ELF", "other-abi.so": "ABI", "plain.so": "no testlet manifest"}.items():
    line = next((l for l in text.split("\n") if name in l), "")
    import re
    check(re.search(reason, line, re.I), f"{name} is refused: {line.strip()[:160]}")
check("ping" in text and "iperf" in text and "http" in text, "the good ones are listed")

# One testlet in two files is taken from the first; a param may have the name of one of the command's own flags.
(testlets / "twin.so").write_bytes(ping)
(testlets / "pang.so").write_bytes(ping.replace(b'"id":"ping"', b'"id":"pang"').replace(b'"name":"mode"', b'"name":"from"'))
odd = subprocess.run([str(tree / "bin/todd"), "try", "pang", "--help"], capture_output=True, text=True, env={**__import__("os").environ, **env})
check(odd.returncode == 0 and "--param-from" in odd.stdout, f"--param-NAME where --NAME is the command's ({odd.returncode})")
check("twin.so: ping is in " in odd.stderr, f"the second of two is refused: {[l for l in odd.stderr.split(chr(10)) if 'twin' in l]}")
(testlets / "twin.so").unlink()

# A library without the symbol but with a manifest gets past the scan and is refused at load; the process lives on.
manifest = work / "manifest.json"
subprocess.run(["objcopy", "-O", "binary", "--only-section=.todd.manifest", "--set-section-flags", ".todd.manifest=alloc", str(good / "ping.so"), str(manifest)], check=True)
manifest.write_bytes(manifest.read_bytes().rstrip(b"\0").replace(b'"id":"ping"', b'"id":"pung"'))
subprocess.run(["objcopy", "--add-section", f".todd.manifest={manifest}", str(testlets / "plain.so"), str(testlets / "hollow.so")], check=True)
done = subprocess.run([str(tree / "bin/todd"), "try", "pung", "127.0.0.1"], capture_output=True, text=True, env={**__import__("os").environ, **env})
check(done.returncode not in (0, 1) and "todd_entry_v0" in done.stdout + done.stderr, f"a library without the symbol says so: {(done.stdout + done.stderr).strip()[:200]}")
