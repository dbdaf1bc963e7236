#!/usr/bin/env python3
"""Breaks the library on purpose, one break at a time, and checks that the tests notice.

A mutant is a few lines of a header and what they become: tests/mutants/*.mutants, written as tests/README.md
says. It is killed when one of its tests fails, crashes or hangs. One program for each test holds all mutants of
that test, and the environment variable LAZYWRITER_MUTANT chooses one by its name; without it the program must
pass. The exit status is 1 if a mutant survives, fits no longer to its header or does not compile, and if
a test fails without any mutant.

From the environment: CXX, the compiler (g++). JOBS, how much at once (one per processor). Mutants of the
PostgreSQL adapter are left out with LAZYWRITER_POSTGRES_TESTS=OFF.
"""
import argparse
import atexit
import itertools
import os
import pathlib
import queue
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "mutants"))
from mutant_text import MutantError, SELECTOR, layers, places, read, replaced, switched  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADERS = ROOT / "include" / "lazywriter"
CXX = os.environ.get("CXX") or "g++"
JOBS = int(os.environ.get("JOBS") or os.cpu_count())
WITH_POSTGRES = os.environ.get("LAZYWRITER_POSTGRES_TESTS", "ON") != "OFF"
BASELINE_LIMIT = 120  # seconds
PATIENCE = 3  # seconds that a test waits for what a mutant may keep from coming; less than the limit of a run
STANDARD_HEADERS = """gmock/gmock.h gtest/gtest.h algorithm array atomic chrono condition_variable cstddef functional
  future map memory mutex optional random span string thread tuple unordered_map variant vector"""


# --- processes ----------------------------------------------------------------------------------------
children = set()


def end_children():
    for child in list(children):
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def run(command, limit=None, environment=None, output=subprocess.DEVNULL, after=None, then=None):
    """Effect: calls `then` if the command takes longer than `after` seconds. Returns: the exit status; None if the
    command and what it started had to be ended after `limit` seconds."""
    child = subprocess.Popen([str(word) for word in command], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                             stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    children.add(child)
    try:
        if then is not None:
            try:
                return child.wait(after)
            except subprocess.TimeoutExpired:
                then()
                limit -= after
        return child.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return None
    finally:
        children.discard(child)


class Postgres:
    """A throw-away server, for one test at a time. It ends with its standard input."""

    RESET = r"""
SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE datname !~ '^template[01]$' \gexec
SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres' \gexec
ALTER SYSTEM RESET ALL;
SELECT pg_reload_conf();
CREATE DATABASE postgres TEMPLATE template0;
"""

    def __init__(self):
        self.process = subprocess.Popen(
            [str(ROOT / "cmake" / "throwaway_postgres.sh"), "sh", "-c", "env -0; printf 'ready\\0'; read end"],
            env=os.environ | {"LAZYWRITER_PG_FAST": "1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        said = bytearray()
        while not said.endswith(b"\0ready\0"):
            more = self.process.stdout.read1()
            if not more:
                raise MutantError("no PostgreSQL server can be started; LAZYWRITER_POSTGRES_TESTS=OFF does without")
            said += more
        pairs = (pair.partition("=") for pair in said.decode().split("\0"))
        self.environment = {name: value for name, _, value in pairs if re.match("DATABASE_URL|LAZYWRITER_PG", name)}

    def make_empty(self):
        """Afterwards the server is as a new one, whatever a test that was killed has left."""
        script = f"set -e; '{self.environment['LAZYWRITER_PGCTL']}' start; printf '%s' \"$RESET\" | " \
                 "\"$LAZYWRITER_PGBIN/psql\" -XAtq -v ON_ERROR_STOP=1 -d \"$TEMPLATE\""
        template = self.environment["DATABASE_URL"].replace("/postgres?", "/template1?")
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120,
                              env=os.environ | self.environment | {"RESET": self.RESET, "TEMPLATE": template})
        if done.returncode != 0:
            raise MutantError(f"the PostgreSQL server cannot be emptied: {done.stderr.strip()}")

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Servers:
    """As many servers as tests run at once, started when first needed."""

    def __init__(self):
        self.idle, self.all, self.lock = queue.SimpleQueue(), [], threading.Lock()

    def borrow(self):
        try:
            return self.idle.get_nowait()
        except queue.Empty:
            server = Postgres()
            with self.lock:
                self.all.append(server)
            return server

    def end(self):
        for server in self.all:
            server.end()


class Work:
    """Tasks, JOBS at once; those with the lowest rank go first. Tasks may add tasks."""

    def __init__(self):
        self.tasks, self.order = queue.PriorityQueue(), itertools.count()
        self.slots, self.held = threading.Semaphore(JOBS), threading.local()

    def add(self, rank, task, *arguments):
        self.tasks.put((rank, next(self.order), task, arguments))

    def finish(self, report):
        for _ in range(4 * JOBS):
            threading.Thread(target=self.work, args=(report,), daemon=True).start()
        self.tasks.join()

    def give_up_slot(self):
        """For a task that only waits from now on."""
        if self.held.slot:
            self.held.slot = False
            self.slots.release()

    def work(self, report):
        while True:
            self.slots.acquire()
            _, _, task, arguments = self.tasks.get()
            self.held.slot = True
            try:
                task(*arguments)
            except Exception as error:  # pylint: disable=broad-except
                report.error(str(error) if isinstance(error, MutantError) else repr(error))
            finally:
                self.give_up_slot()
                self.tasks.task_done()


class Report:
    def __init__(self):
        self.killed, self.failed, self.programs, self.lock = 0, False, 0, threading.Lock()

    def say(self, word, text):
        with self.lock:
            print(f"{word:<9} {text}", flush=True)
            self.killed += word == "killed"
            self.failed |= word in ("SURVIVED", "ERROR")

    def error(self, text):
        self.say("ERROR", text)

    def compiled(self):
        with self.lock:
            self.programs += 1


# --- programs -----------------------------------------------------------------------------------------
class Compiler:
    def __init__(self, scratch, tests):
        self.scratch = scratch
        (scratch / "mutant_selector.hpp").write_text(SELECTOR)
        self.forced = {True: "mutant_selector.hpp", False: "mutant_selector.hpp"}
        self.tests = tests
        self.pqxx = []
        if any(map(is_pqxx, tests)):
            flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libpqxx", "libpq"], stdout=subprocess.PIPE,
                                   text=True, check=True)
            self.pqxx = shlex.split(flags.stdout)

    def command(self, *more):
        return [CXX, "-std=c++20", "-O0", "-w", f"-I{self.scratch}", *more]

    def precompile(self, pqxx):
        """What no mutant changes is compiled once, if it serves more than one program."""
        name = "pqxx.hpp" if pqxx else "core.hpp"
        headers = STANDARD_HEADERS.split() + (["pqxx/pqxx"] if pqxx else [])
        file, log = self.scratch / name, self.scratch / f"{name}.log"
        file.write_text('#include "mutant_selector.hpp"\n' + "".join(f"#include <{header}>\n" for header in headers))
        flags = [flag for flag in self.pqxx if not flag.startswith("-l")] if pqxx else []
        with log.open("w") as output:
            status = run(self.command(*flags, "-x", "c++-header", file, "-o", f"{file}.gch"), output=output)
        if status != 0:
            raise MutantError(f"the headers of the tests do not compile: {first_error(log)}")
        self.forced[pqxx] = name

    def compile(self, test, include, output, *more):
        """Returns: None, or the compiler's first error."""
        libraries = ["-lgtest_main", "-lgmock", "-lgtest", *(self.pqxx if is_pqxx(test) else []), "-pthread"]
        log = output.with_suffix(".log")
        with log.open("w") as into:
            status = run(self.command(f"-I{include}", "-Itests", "-Iexamples", "-Ibench", "-include",
                                      self.forced[is_pqxx(test)], *more, source(test), "-o", output,
                                      *([] if more else libraries)), output=into)
        return None if status == 0 else first_error(log)


def source(test):
    return ROOT / "tests" / f"{test}_test.cpp"


def is_pqxx(test):
    return test.startswith("pqxx/")


def first_error(log):
    text = log.read_text(errors="replace")
    line = next((line for line in text.splitlines() if "error" in line), text.strip()[-300:])
    return re.sub(r"^\S*/include/lazywriter/", "", line)


class Program:
    """A test with mutants: switched ones, or a single one that cannot be switched."""

    def __init__(self, run_of, test, mutants, alone=False):
        self.run_of, self.test, self.mutants, self.alone = run_of, test, mutants, alone
        name = test.replace("/", "_") + f"-{len(run_of.programs)}"
        self.include, self.output = run_of.scratch / name / "include", run_of.scratch / name / "test"

    def build(self, mutants=None, *more):
        """Returns: None, or the compiler's first error."""
        mutants = self.mutants if mutants is None else mutants
        shutil.copytree(ROOT / "include", self.include, dirs_exist_ok=True)
        for header in {mutant.header for mutant in mutants}:
            found = [place for mutant in mutants if mutant.header == header for place in self.run_of.places[mutant]]
            write = replaced if self.alone else switched
            (self.include / "lazywriter" / header).write_text(write((HEADERS / header).read_text(), found))
        self.run_of.report.compiled()
        return self.run_of.compiler.compile(self.test, self.include, self.output, *more)

    def mutants_at(self, error):
        """Those that stand just before the line of a header which the compiler names."""
        place = re.match(r"(\S+?):(\d+):", error)
        if place is None or not (self.include / "lazywriter" / place[1]).is_file():
            return []
        lines = (self.include / "lazywriter" / place[1]).read_text().splitlines()[:int(place[2])]
        names = re.findall(r"/\* (\w+) \*/", "\n".join(lines))[-3:]
        return [mutant for mutant in self.mutants if mutant.name in names]

    def execute(self, mutant, limit):
        """Returns: passed, failed, crashed or hangs; and the seconds it took."""
        command = [self.output, "--gtest_brief=1", "--gtest_fail_fast"]
        if mutant is not None and mutant.filter:
            command.append(f"--gtest_filter={mutant.filter}")
        environment = os.environ | {"LAZYWRITER_MUTANT": mutant.name if mutant else "",
                                    "LAZYWRITER_SOURCE_DIR": str(ROOT), "LAZYWRITER_PATIENCE_SECONDS": str(PATIENCE)}
        server = None
        if is_pqxx(self.test):
            server = self.run_of.servers.borrow()
            server.make_empty()
            environment |= server.environment
        begin = time.monotonic()
        with (self.output.parent / f"{mutant.name if mutant else 'baseline'}.log").open("w") as output:
            # What takes long hangs, most likely, and needs no processor for that.
            leave = self.run_of.work.give_up_slot if server is None else None
            status = run(command, limit, environment, output, after=2, then=leave)
        seconds = time.monotonic() - begin
        if server is not None:
            self.run_of.servers.idle.put(server)
        return {None: "hangs", 0: "passed", 1: "failed"}.get(status, "crashed"), seconds


# --- a run --------------------------------------------------------------------------------------------
RUN, COMPILE, COMPILE_ALONE = 0, 1, 2  # ranks: what was compiled is run at once


class Run:
    def __init__(self, mutants, scratch):
        self.mutants, self.scratch, self.report = mutants, scratch, Report()
        self.places, self.programs, self.limits = {}, [], {}
        self.servers, self.work = Servers(), Work()
        # A mutant that survived one test is tried by the next one, as soon as that is built.
        self.built, self.wanted = {}, set()
        self.lock = threading.Lock()

    def locate(self):
        """Finds every mutant in its header. Returns: whether all are there."""
        for mutant in self.mutants:
            try:
                if not (HEADERS / mutant.header).is_file():
                    raise mutant.error(f"there is no header {mutant.header}")
                for test in mutant.tests:
                    if not source(test).is_file():
                        raise mutant.error(f"there is no tests/{test}_test.cpp")
                self.places[mutant] = places(mutant, (HEADERS / mutant.header).read_text())
            except MutantError as error:
                self.report.error(str(error))
        return not self.report.failed

    def start(self):
        tests = list(dict.fromkeys(test for mutant in self.mutants for test in mutant.tests))
        for test in tests:
            of_test = {mutant: self.places[mutant] for mutant in self.mutants if test in mutant.tests}
            switchable = {mutant: found for mutant, found in of_test.items() if not mutant.alone}
            # The first program of a test is also its baseline, whether or not mutants can be switched in it.
            for layer in layers(switchable) or [[]]:
                self.programs.append(Program(self, test, layer))
            self.programs += [Program(self, test, [mutant], alone=True) for mutant in of_test if mutant.alone]
        self.compiler = Compiler(self.scratch, tests)
        for pqxx in (True, False):
            group = [program for program in self.programs if is_pqxx(program.test) == pqxx]
            if len(group) > 1 and any("gtest" in source(program.test).read_text() for program in group):
                self.work.add(COMPILE, self.precompile, pqxx, group)
            else:
                self.add(group)

    def precompile(self, pqxx, group):
        self.compiler.precompile(pqxx)
        self.add(group)

    def add(self, group):
        """The heaviest first, so that none of them is left for the end."""
        for program in sorted(group, key=lambda program: -source(program.test).stat().st_size):
            if not program.alone:
                self.work.add(COMPILE, self.build, program)

    def build(self, program):
        error = program.build()
        if error is not None:
            self.explain(program, error)
            return
        outcome, seconds = program.execute(None, BASELINE_LIMIT)
        log = program.output.parent / "baseline.log"
        if outcome != "passed":
            lines = log.read_text(errors="replace").splitlines()[-20:]
            self.report.error(f"{program.test} {outcome} without any mutant:\n" + "\n".join(lines))
            return
        self.report.say("healthy", f"{program.test} ({seconds:.1f} s, {len(program.mutants)} mutants)")
        # A run that lasts so much longer hangs.
        limit = 20 * seconds + 5
        with self.lock:
            first = program.test not in self.limits
            self.limits.setdefault(program.test, limit)
        if first:
            for other in self.programs:
                if other.alone and other.test == program.test:
                    self.work.add(COMPILE_ALONE, self.build_alone, other)
        self.ready(program, program.mutants)

    def build_alone(self, program):
        mutant = program.mutants[0]
        error = program.build()
        if error is not None:
            self.report.error(f"{mutant.where}: {mutant.name} does not compile: {error}")
        else:
            self.ready(program, [mutant])

    def ready(self, program, mutants):
        for mutant in mutants:
            with self.lock:
                self.built[mutant, program.test] = program
                now = program.test == mutant.tests[0] or (mutant, program.test) in self.wanted
            if now:
                self.work.add(RUN, self.try_mutant, mutant, program)

    def try_mutant(self, mutant, program):
        outcome, seconds = program.execute(mutant, self.limits[program.test])
        if outcome != "passed":
            how = {"failed": "", "crashed": ", which crashes", "hangs": ", which hangs"}[outcome]
            self.report.say("killed", f"{mutant.name} (by {program.test}{how}, {seconds:.1f} s)")
            return
        following = mutant.tests[mutant.tests.index(program.test) + 1:]
        if not following:
            self.report.say("SURVIVED", f"{mutant.name}: {mutant.breaks} ({mutant.where})")
            return
        with self.lock:
            self.wanted.add((mutant, following[0]))
            next_program = self.built.get((mutant, following[0]))
        if next_program is not None:
            self.work.add(RUN, self.try_mutant, mutant, next_program)

    def explain(self, program, error):
        """Says which mutants are why a program does not compile: each one is compiled by itself."""
        suspects = program.mutants_at(error)
        if program.build([], "-fsyntax-only") is not None:
            self.report.error(f"{program.test} does not compile, without any mutant: {error}")
            return
        others = [mutant for mutant in program.mutants if mutant not in suspects]
        guilty = {}
        for group in (suspects, others):
            if not guilty:
                alone = {mutant: program.build([mutant], "-fsyntax-only") for mutant in group}
                guilty = {mutant: wrong for mutant, wrong in alone.items() if wrong is not None}
        for mutant, wrong in guilty.items():
            self.report.error(f"{mutant.where}: {mutant.name} does not compile: {wrong}\n"
                              f"          If it cannot be switched while the program runs, say so: `alone: why`")
        if not guilty:
            self.report.error(f"{program.test} does not compile with all its mutants, but with each of them: {error}")


# --- choosing -----------------------------------------------------------------------------------------
def read_all():
    mutants, errors = [], []
    for file in sorted((ROOT / "tests" / "mutants").glob("*.mutants")):
        more, wrong = read(file.read_text(), file.relative_to(ROOT))
        mutants, errors = mutants + more, errors + wrong
    names = set()
    for mutant in mutants:
        if mutant.name in names:
            errors.append(f"{mutant.where}: there is another mutant {mutant.name}")
        names.add(mutant.name)
    return mutants, errors


def git(*arguments):
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.splitlines()


def changed_since(base, mutants):
    """Mutants of headers that differ from `base`, and mutants that are new or written anew since."""
    files = {*git("diff", "--name-only", "--relative", base, "--", "."), *git("ls-files", "-o", "--exclude-standard")}
    before = set()
    for file in git("ls-tree", "--name-only", base, "--", "tests/mutants/"):
        if file.endswith(".mutants"):
            before |= {mutant.text for mutant in read("\n".join(git("show", f"{base}:./{file}")), file)[0]}
    return [mutant for mutant in mutants if f"include/lazywriter/{mutant.header}" in files or mutant.text not in before]


def choose(options):
    mutants, errors = read_all()
    by_name = {mutant.name: mutant for mutant in mutants}
    errors += [f"there is no mutant {name}" for name in options.name if name not in by_name]
    if errors:
        sys.exit("\n".join(f"ERROR     {error}" for error in errors))
    if options.name:
        mutants = [by_name[name] for name in options.name]
    if options.changed is not None:
        mutants = changed_since(options.changed, mutants)
    if not WITH_POSTGRES:
        mutants = [mutant for mutant in mutants if not any(map(is_pqxx, mutant.tests))]
    return mutants


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help="a mutant; default: all of them")
    parser.add_argument("--changed", nargs="?", const="HEAD~1", metavar="BASE",
                        help="only mutants of headers that differ from BASE (HEAD~1: the last commit and what is not "
                             "committed), and mutants that do so themselves")
    parser.add_argument("--list", action="store_true",
                        help="only say what they break, and which of them fit no longer to their header")
    parser.add_argument("--keep", metavar="DIRECTORY", type=pathlib.Path,
                        help="leave the programs and their output there")
    options = parser.parse_args()
    begin = time.monotonic()
    mutants = choose(options)
    if options.list:
        for promise, group in itertools.groupby(mutants, lambda mutant: mutant.promise):
            print(promise)
            for mutant in group:
                print(f"  {mutant.name:<40} {mutant.header:<36} {' '.join(mutant.tests)}\n      {mutant.breaks}")
        return 0 if Run(mutants, None).locate() else 1
    atexit.register(end_children)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="lazywriter-mutants.") as temporary:
        scratch = options.keep.resolve() if options.keep else pathlib.Path(temporary)
        scratch.mkdir(parents=True, exist_ok=True)
        this = Run(mutants, scratch)
        if this.locate():
            try:
                this.start()
                this.work.finish(this.report)
            finally:
                end_children()
                this.servers.end()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{this.report.programs} programs compiled; {used.ru_utime:.0f} s of user time")
        print(f"{this.report.killed} of {len(mutants)} mutants killed in {time.monotonic() - begin:.0f} s")
        return 1 if this.report.failed or this.report.killed != len(mutants) else 0


if __name__ == "__main__":
    sys.exit(main())
