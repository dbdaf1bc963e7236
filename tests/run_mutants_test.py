#!/usr/bin/env python3
"""What tests/run_mutants.py makes of mutants that are killed, survive, hang, do not compile or are out of date.

It is run on a repository of a few lines, made here, and looked at from outside: its output and exit status.
The mutants of this repository must be where they say.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

TESTS = pathlib.Path(__file__).resolve().parent

HEADER = """\
#pragma once
namespace lazywriter {
// if (number > 10) return 10;  what stands in a comment is not looked at
constexpr int most = 10;
inline int bounded(int number) {
  if (number > most) return most;  // the upper bound
  if (number < -most) {
    number = -most;
  }
  return number;
}
inline int steps_down_to(int least, int number) {
  int steps = 0;
  while (number > least) {
    --number;
    ++steps;
  }
  return steps;
}
inline int steps_up_to(int number) {
  int steps = 0;
  while (number > 0) {
    --number;
    ++steps;
  }
  return steps;
}
}  // namespace lazywriter
"""

# With a main of its own, so that it compiles at once. It says what it sees, to tell one mutant from another.
PROGRAM = """\
#include "lazywriter/bounds.hpp"
#include <cstdio>
#include <cstdlib>
int main(int count, char** arguments) {
  using namespace lazywriter;
  const int seen[] = {bounded(50), bounded(-50), bounded(5), steps_down_to(1, 4)};
  std::printf("seen: %d %d %d %d %s\\n", seen[0], seen[1], seen[2], seen[3], count > 3 ? arguments[3] : "");
  const int expected[] = {10, -10, 5, 3};
  for (int i = 0; i < 4; ++i)
    if (seen[i] != expected[i]) return 1;
}
"""
OTHER_PROGRAM = """\
#include "lazywriter/bounds.hpp"
int main() { return lazywriter::steps_up_to(7) == 7 ? 0 : 1; }
"""


def mutant(name, body, tests="bounds", more=""):
    return f"\n== {name}\nIt breaks {name}.\nheader: bounds.hpp\ntests: {tests}\n{more}{body.strip(chr(10))}\n"


class Repository(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.write("include/lazywriter/bounds.hpp", HEADER)
        self.write("tests/bounds_test.cpp", PROGRAM)
        self.write("tests/other_test.cpp", OTHER_PROGRAM)
        for file in ("run_mutants.py", "mutants/mutant_text.py"):
            self.write(f"tests/{file}", (TESTS / file).read_text())
        for folder in ("examples", "bench"):
            (self.root / folder).mkdir()

    def write(self, file, text):
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def mutants(self, *mutants):
        self.write("tests/mutants/bounds.mutants", "Everything stays within its bounds.\n" + "".join(mutants))

    def run_mutants(self, *arguments):
        """Runs the tool. Afterwards: self.status and self.output."""
        command = [sys.executable, self.root / "tests/run_mutants.py", "--keep", self.root / "kept", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
        self.status, self.output = done.returncode, done.stdout

    def git(self, *arguments):
        subprocess.run(["git", "-C", self.root, "-c", "user.name=n", "-c", "user.email=e", *arguments], check=True,
                       stdout=subprocess.DEVNULL)

    def expect(self, pattern):
        self.assertRegex(self.output, re.compile(pattern, re.M))


class Running(Repository):
    def test_what_is_noticed_is_killed(self):
        # In one program: a statement, an expression, the same place twice, one within the other, two places,
        # and a loop without an end. Those that cross others get another program.
        self.mutants(
            mutant("statement", "- if (number > most) return most;"),
            mutant("same_statement", "- if (number > most) return most;\n+ if (number > most) return most - 1;"),
            mutant("expression", "- number > most\n+ number > most + 1000"),
            mutant("within_context", "  if (\n- number > most\n+ number > most + 2000\n  ) return most;"),
            mutant("outer", "- if (number < -most) {\n-   number = -most;\n- }"),
            mutant("inner", "- number = -most;\n+ number = -most + 1;"),
            mutant("crossing", "- number = -most;\n- }\n- return number;\n+ number = -most + 2;\n+ }\n+ return number;",
                   more="alone: half of a block\n"),
            mutant("across", "- if (number > most) return most;\n- if (number < -most) {\n-   number = -most;\n- }\n"
                             "+ number = 0;"),
            mutant("across_too", "- if (number < -most) {\n-   number = -most;\n- }\n- return number;\n"
                                 "+ return number + 100;"),
            mutant("two_places", "@@\n- return most;\n+ return most + 5;\n@@\n- number = -most;\n+ number = -most - 5;"),
            mutant("anchored", "@@ steps_down_to(\n- ++steps;\n+ steps += 2;", more="filter: Steps.*\n"),
            mutant("endless", "@@ steps_down_to(\n- --number;"),
            mutant("constant", "- most = 10;\n+ most = 11;", more="alone: a constant\n"),
            mutant("by_the_second", "@@ steps_up_to(\n- ++steps;\n+ steps += 2;", tests="bounds other"))
        self.run_mutants()
        self.assertEqual(self.status, 0, self.output)
        self.assertRegex(self.output.splitlines()[-1], r"^14 of 14 mutants killed in \d+ s$")
        self.expect(r"^killed +endless \(by bounds, which hangs, [5-9]\.\d s\)$")
        self.expect(r"^killed +by_the_second \(by other, ")
        self.expect(r"^5 programs compiled;")
        for name, seen in {"baseline": "10 -10 5 3", "statement": "50 -10 5 3", "same_statement": "9 -10 5 3",
                           "expression": "50 -10 5 3", "within_context": "50 -10 5 3", "outer": "10 -50 5 3",
                           "inner": "10 -9 5 3", "crossing": "10 -8 5 3", "across": "0 0 0 3",
                           "across_too": "10 50 105 3", "two_places": "15 -15 5 3", "anchored": "10 -10 5 6 --gtest_filter=Steps.*",
                           "constant": "11 -11 5 3"}.items():
            with self.subTest(name):
                logs = list((self.root / "kept").glob(f"bounds-*/{name}.log"))
                self.assertTrue(logs)
                for log in logs:
                    self.assertEqual(log.read_text().strip(), f"seen: {seen}")

    def test_what_is_not_noticed_survives(self):
        self.mutants(mutant("noticed", "- if (number > most) return most;"),
                     mutant("unnoticed", "- number > most\n+ number >= most"))
        self.run_mutants()
        self.assertEqual(self.status, 1)
        self.expect(r"^SURVIVED +unnoticed: It breaks unnoticed\. \(tests/mutants/bounds\.mutants:9\)$")
        self.expect(r"^killed +noticed ")
        self.expect(r"^1 of 2 mutants killed in \d+ s\n\Z")
        self.run_mutants("noticed")
        self.assertEqual(self.status, 0, self.output)
        self.expect(r"^1 of 1 mutants killed in \d+ s\n\Z")

    def test_a_mutant_that_does_not_compile_is_named(self):
        self.mutants(mutant("healthy", "- if (number > most) return most;"),
                     mutant("broken", "- number = -most;\n+ number = -mots;"),
                     mutant("broken_alone", "- most = 10;\n+ most = ten;", more="alone: a constant\n"))
        self.run_mutants("healthy", "broken")
        self.assertEqual(self.status, 1)
        self.expect(r"^ERROR +tests/mutants/bounds\.mutants:9: broken does not compile: bounds\.hpp:\d+:.*mots")
        self.assertNotIn("healthy does not compile", self.output)
        self.run_mutants("broken_alone")
        self.assertEqual(self.status, 1)
        self.expect(r"^ERROR +\S+ broken_alone does not compile: bounds\.hpp:\d+:.*ten")

    def test_a_test_that_fails_without_mutants_kills_nothing(self):
        self.write("tests/bounds_test.cpp", PROGRAM.replace("{10, -10", "{11, -10"))
        self.mutants(mutant("any", "- if (number > most) return most;"))
        self.run_mutants()
        self.assertEqual(self.status, 1)
        self.expect(r"^ERROR +bounds failed without any mutant:\nseen: 10 -10 5 3 $")
        self.expect(r"^0 of 1 mutants killed in \d+ s\n\Z")

    def test_a_test_that_does_not_compile_without_mutants_is_said_to(self):
        self.write("tests/bounds_test.cpp", PROGRAM.replace("steps_down_to", "steps_to"))
        self.mutants(mutant("any", "- if (number > most) return most;"))
        self.run_mutants()
        self.assertEqual(self.status, 1)
        self.expect(r"^ERROR +bounds does not compile, without any mutant: .*steps_to")


class Reading(Repository):
    """Without compiling: `--list` reads the mutants and looks for their places."""

    def refused(self, text, *patterns):
        self.mutants(text)
        self.run_mutants("--list")
        self.assertEqual(self.status, 1, self.output)
        for pattern in patterns:
            self.expect(pattern)

    def test_a_mutant_out_of_date_names_the_nearest_line(self):
        self.refused(mutant("stale", "- if (number > upper) return upper;"),
                     r"^ERROR +tests/mutants/bounds\.mutants:3: stale: the text is not in bounds\.hpp: "
                     r"if \(number > upper\) return upper;$",
                     r"^ +line 6 is like it: if \(number > most\) return most;$")

    def test_only_the_line_that_is_missing_is_named(self):
        self.refused(mutant("stale", "- if (number < -most) {\n-   number = -least;\n- }"),
                     r"not in bounds\.hpp: number = -least;$", r"^ +line 8 is like it: number = -most;$")

    def test_what_is_there_twice_must_say_where(self):
        self.refused(mutant("twice", "- ++steps;"), r"2 times \(lines 16, 24\): say which one by `@@`")

    def test_a_place_that_is_not_there(self):
        self.refused(mutant("lost", "@@ steps_sideways(\n- ++steps;"),
                     r"lost: the @@ line is not in bounds\.hpp: steps_sideways\($")

    def test_what_stands_after_the_function_does_not_count(self):
        self.refused(mutant("later", "@@ inline int bounded(\n- int steps = 0;"),
                     r"the text after `inline int bounded\(` is not in")

    def test_comments_are_not_searched(self):
        self.refused(mutant("comment", "- if (number > 10) return 10;"), r"comment: the text is not in bounds\.hpp")

    def test_part_of_an_expression(self):
        self.refused(mutant("half", "- most) {\n-   number = -most;\n- }\n+ 3) {}"),
                     r"half: brackets open or close that do not belong to it: most")
        self.write("include/lazywriter/bounds.hpp", "inline bool f(bool a, bool b, bool c) { return a && b || c; }\n")
        self.refused(mutant("half", "- b || c\n+ b"),
                     r"half: `b \|\| c` is not a whole expression, since `&&` binds its end")

    def test_part_of_a_statement(self):
        self.write("include/lazywriter/bounds.hpp", "inline void f(int& a) {\n  a = a++;\n}\n")
        self.refused(mutant("half", "- a++;"), r"half: `a\+\+;` is not a whole statement, since `=` stands before it")

    def test_what_is_no_mutant(self):
        for body, problem in {"+ more();": "a `\\+` line without a `-` line", "- x();\n+ x( );": "nothing changes: x\\(\\);",
                              "- x();\n+ x": "a statement becomes something that is none",
                              "- x": "an expression becomes something that is none",
                              "  x": "an `@@` line without `-` lines", "- x();\nwhat": "neither `@@ `, `- `"}.items():
            with self.subTest(body):
                self.refused(mutant("wrong", body), problem)
        self.refused("\n== wrong\n- x();\n", "no sentence that says what breaks", "no `header:`", "no `tests:`")
        self.refused(mutant("same", "- ++steps;") + mutant("same", "- --number;"), "another mutant same")
        self.refused(mutant("lost", "- ++steps;", tests="nowhere"), r"there is no tests/nowhere_test\.cpp")
        self.run_mutants("unknown")
        self.assertEqual(self.status, 1)
        self.expect("^ERROR +there is no mutant unknown$")

    def test_layout_does_not_count(self):
        self.mutants(mutant("wide", "- if(number>most)   return\n-   most ;"))
        self.run_mutants("--list")
        self.assertEqual(self.status, 0, self.output)
        self.expect(r"^Everything stays within its bounds\.\n  wide +bounds\.hpp +bounds\n +It breaks wide\.$")

    def chosen(self, *arguments):
        self.run_mutants("--list", *arguments)
        self.assertEqual(self.status, 0, self.output)
        return re.findall(r"^  (\w+)", self.output, re.M)

    def test_changed_takes_what_a_change_touches(self):
        self.write("include/lazywriter/other.hpp", "inline int one() { return 1; }\n")
        other = mutant("in_other", "- return 1;\n+ return 2;").replace("bounds.hpp", "other.hpp")
        first = mutant("in_bounds", "- if (number > most) return most;")
        self.mutants(first, other)
        self.git("init", "-q")
        self.git("add", ".")
        self.git("commit", "-qm", "first")
        self.write("include/lazywriter/other.hpp", "// a comment\ninline int one() { return 1; }\n")
        self.git("commit", "-qam", "second")
        self.assertEqual(self.chosen("--changed"), ["in_other"])
        self.assertEqual(self.chosen("--changed", "HEAD"), [])
        self.write("include/lazywriter/bounds.hpp", HEADER + "\n")
        self.assertEqual(self.chosen("--changed", "HEAD"), ["in_bounds"])
        self.assertEqual(self.chosen("--changed"), ["in_bounds", "in_other"])
        self.git("commit", "-qam", "third")
        self.assertEqual(self.chosen("--changed"), ["in_bounds"])
        self.mutants(first, other, mutant("added", "@@ steps_up_to(\n- ++steps;"))
        self.assertEqual(self.chosen("--changed", "HEAD"), ["added"])
        self.assertEqual(self.chosen(), ["in_bounds", "in_other", "added"])


class ThisRepository(unittest.TestCase):
    def test_every_mutant_is_where_it_says(self):
        environment = os.environ | {"LAZYWRITER_POSTGRES_TESTS": "ON"}
        done = subprocess.run([sys.executable, TESTS / "run_mutants.py", "--list"], env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, "\n".join(re.findall(r"^ERROR.*(?:\n  +line.*)?", done.stdout, re.M)))


if __name__ == "__main__":
    unittest.main()
