#!/usr/bin/env python3
"""The workflow files run this repository's own scripts, on every system that README names.

They are read as YAML; what is not a known key, a script that is not there or an option that its help does
not name is a failure, since nothing else would notice before the files are pushed.
"""
import os
import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORKFLOW_KEYS = {"name", True, "concurrency", "jobs"}  # YAML takes `on` for true
JOB_KEYS = {"name", "runs-on", "container", "timeout-minutes", "strategy", "steps"}
STEP_KEYS = {"name", "uses", "run", "with"}
SYSTEMS = {"debian:12", "debian:13", "ubuntu:22.04", "ubuntu:24.04"}
problems = []


def keys(where, mapping, known):
    for key in mapping.keys() - known:
        problems.append(f"{where}: unknown key {key}")


def expansions(where, job):
    """The job's rows of the matrix, each as a function that fills in `${{ matrix.name }}`."""
    rows = job.get("strategy", {}).get("matrix", {}).get("include", [{}])

    def fill(row):
        def value(match):
            name = match[1].removeprefix("matrix.")
            if name not in row:
                problems.append(f"{where}: a row of the matrix has no {name}")
            return row.get(name, "")

        return lambda text: re.sub(r"\$\{\{\s*(matrix\.\w+)\s*\}\}", value, text)

    return [fill(row) for row in rows]


def check_command(where, command):
    words = [word for word in command.split() if not re.fullmatch(r"\w+=\S*", word)]
    if words[0] in ("apt-get", "git"):
        return
    script = ROOT / words[0]
    if not os.access(script, os.X_OK):
        problems.append(f"{where}: {words[0]} is no program of this repository")
        return
    options = [word for word in words[1:] if word.startswith("--")]
    if options:
        shown = subprocess.run([script, "--help"], capture_output=True, text=True, check=False).stdout
        problems.extend(f"{where}: {words[0]} has no {option}" for option in options if option not in shown)


def check(path):
    workflow = yaml.safe_load(path.read_text())
    keys(path.name, workflow, WORKFLOW_KEYS)
    scripts = {}
    for name, job in workflow["jobs"].items():
        where = f"{path.name}, job {name}"
        keys(where, job, JOB_KEYS)
        for fill in expansions(where, job):
            for step in job["steps"]:
                keys(where, step, STEP_KEYS)
                if ("run" in step) == ("uses" in step):
                    problems.append(f"{where}: a step either runs or uses something")
                for line in fill(step.get("run", "")).splitlines():
                    check_command(where, line)
                    script = re.search(r"(?:^|\s)((?:tests|examples)/run\.sh|\.ci/run)", line)
                    if script:
                        scripts.setdefault(script[1], set()).add(fill(job["container"]))
    for script in ("tests/run.sh", "examples/run.sh"):
        for system in SYSTEMS - scripts.get(script, set()):
            problems.append(f"{path.name}: {script} does not run on {system}")
    if ".ci/run" not in scripts:
        problems.append(f"{path.name}: .ci/run does not run at all")


def main():
    for path in sorted((ROOT / ".github/workflows").glob("*.y*ml")):
        check(path)
    for problem in dict.fromkeys(problems):
        print(f"workflows_test: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
