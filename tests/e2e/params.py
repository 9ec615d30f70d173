"""What a testlet gets of its params, from the command line, a suite and an API document: texts that repeat."""
import json, os, shutil, subprocess

import lab
from lab import check

work = lab.scratch()
library = lab.BIN / "../tests/testlets/teller.so"
tree = work / "tree"
shutil.copy(library, lab.tree(tree))
NOWHERE = {"TODD_COORDINATOR": str(work / "none.sock")}


def todd(*words, env=NOWHERE):
    return subprocess.run([str(tree / "bin/todd")] + [str(w) for w in words], capture_output=True, text=True, timeout=60, env={**os.environ, **env})


def lines(report, test=0):
    return report["tests"][test]["edges"][0]["info"]["lines"]


done = todd("try", "teller", "127.0.0.1", "--header", "A: b", "--header", "C: d, e", "-o", "json")
check(done.returncode == 0, f"a param may be repeated ({done.stderr.strip()})")
report = json.loads(done.stdout)
check(lines(report) == "<A: b><C: d, e>(red)(blue)", f"each text arrives as it was given, the default too: {lines(report)}")
check(lab.value(report["tests"][0]["edges"][0], "headers") == 2, "it was given two")
check(report["tests"][0]["params"] == {"header": ["A: b", "C: d, e"]}, f"the report has a list: {report['tests'][0]['params']}")
done = todd("try", "teller", "127.0.0.1", "--header", "A: b", "127.0.0.2", "--colour", "green", "-o", "json")
check(len(json.loads(done.stdout)["tests"][0]["edges"]) == 2, f"what follows the one text is no text of it ({done.stderr.strip()})")

for words, text in ((("--header", "A: b\nC: d"), "more than one line"), (("--header", ""), "is empty"), (("--header", "A: b", "--header", "nothing"), '--header: "nothing" does not fit')):
    done = todd("try", "teller", "127.0.0.1", *words)
    check(done.returncode == 2 and text in done.stderr, f"{words} is refused: {done.stderr.strip()}")
check("(may be repeated)" in todd("try", "teller", "--help").stdout, "the help says that it may be repeated")
shown = todd("testlets", "show", "teller").stdout
check("text..." in shown and "red, blue" in shown, "and so does the list of params")

suite = work / "tell.yaml"
suite.write_text("""apiVersion: todd/v1
kind: Suite
metadata: {name: tell}
spec:
  tests:
    - name: list
      testlet: teller
      from: {agent: near}
      to: {agent: far}
      params:
        header:
          - "A: b"
          - "C: d"
        colour: [green]
    - {name: one, testlet: teller, from: {agent: near}, to: {hosts: [127.0.0.1]}, params: {header: "A: b", colour: []}}
""")
fleet = lab.Fleet(work)
for name in ("near", "far"):
    fleet.add_agent(name, options=("--testlets", library.parent))
report, code = fleet.json("run", suite)
check(code == 0 and lines(report) == "<A: b><C: d>(green)" and lines(report, 1) == "<A: b>", f"a suite has lists ({report['reason']})")
check(report["tests"][0]["params"] == {"header": ["A: b", "C: d"], "colour": ["green"]}, "and so has its report")
check(fleet.json("runs", "show", "last")[0]["tests"][1]["params"] == {"header": ["A: b"], "colour": []}, "also of one text, and of none")
plan, code = fleet.json("run", suite, "--dry-run")
check(code == 0 and plan["tests"][0]["params"] == {"header": ["A: b", "C: d"], "colour": ["green"]}, "and its plan")
report, code = fleet.json("run", suite, "--set", "list.header=X: y")
check(lines(report) == "<X: y>(green)", "--set replaces the list by one text")
done = todd("try", "teller", "127.0.0.1", "--from", "everyone", "--header", "A: b", "--header", "C: 'd\"", "-o", "json", env=fleet.env)
check(done.returncode == 6 and "everyone" in done.stderr, f"the document of try --from is read ({done.stderr.strip()})")
fleet.todd("apply", "-f", "-", stdin="apiVersion: todd/v1\nkind: Group\nmetadata: {name: everyone}\nspec: {match: {agent: near}}\n")
done = todd("try", "teller", "127.0.0.1", "--from", "everyone", "--header", "A: b", "--header", "C: 'd\"", "-o", "json", env=fleet.env)
check(done.returncode == 0 and lines(json.loads(done.stdout)) == "<A: b><C: 'd\">(red)(blue)", "and has the texts as they were given")

suite.write_text(suite.read_text().replace("colour: [green]", "duration: [1s]"))
done = fleet.todd("run", suite)
check(done.returncode == 2 and "tell.yaml:14:9:" in done.stderr and "duration: takes one value, not a list" in done.stderr, f"a list where none can be is refused with its place: {done.stderr.strip()}")
