"""A test that is killed leaves no network namespace: on SIGTERM, SIGINT or the end of ctest it cleans up; after SIGKILL the next one does."""
import os, pathlib, shutil, signal, subprocess, sys

import lab
from lab import check

lab.need_namespaces()

# A pair of namespaces, and a process in one of them that ends with nobody.
VICTIM = '''
import sys, time
import lab
near, far = lab.pair("near", "far")
lab.Process(["sleep", "600"], lab.scratch() / "log", near)
print("made", flush=True)
time.sleep(600)
'''


def namespaces(pid):
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if line.split()[0].endswith(f"-{pid}")]


def victim():
    # A shell's background jobs, as this test may be one, ignore SIGINT; who presses Ctrl-C is in the foreground.
    process = subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE, text=True, cwd=lab.SOURCE / "tests/e2e",
                               stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    lab._undo.append(process.kill)
    check(process.stdout.readline() == "made\n" and len(namespaces(process.pid)) == 2, "a test with two namespaces")
    return process


for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    test = victim()
    test.send_signal(signo)
    test.wait(20)
    check(test.returncode != 0 and not namespaces(test.pid), f"{signo.name} ends it ({test.returncode}), and its namespaces are gone: {namespaces(test.pid)}")

test = victim()
left = namespaces(test.pid)
inside = [pid for name in left for pid in subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()]
test.kill()
test.wait(20)
check(len(inside) == 1 and namespaces(test.pid) == left, "SIGKILL leaves them")
living = victim()
lab.need_namespaces()
check(not namespaces(test.pid), "the next test removes them")
lab.wait_for("what ran there has ended", lambda: not pathlib.Path(f"/proc/{inside[0]}").exists())
check(len(namespaces(living.pid)) == 2, "  and leaves alone those of a test that lives")
living.terminate()
living.wait(20)

# Who is called ctest and is killed.
work = lab.scratch()
shutil.copy(shutil.which("sh"), work / "ctest")
(work / "victim.py").write_text(VICTIM)
parent = subprocess.Popen([work / "ctest", "-c", 'python="$1"; shift; "$python" "$@" & echo $!; wait', "sh", sys.executable, work / "victim.py"],
                          stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(lab.SOURCE / "tests/e2e")})
pid = int(parent.stdout.readline())
check(parent.stdout.readline() == "made\n" and len(namespaces(pid)) == 2, "a test of ctest")
parent.kill()
parent.wait()
lab.wait_for("the test has ended with it", lambda: not pathlib.Path(f"/proc/{pid}").exists() and not namespaces(pid))
