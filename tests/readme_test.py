#!/usr/bin/env python3
"""README and the pages beside the code tell the truth about this repository.

In every page (PAGES):
- A block of C++ or SQL is the text of an example or of a test: the comment above it names file and regions, and a
  region is what stands between `// [name]` and `// [/name]` in that file (`--` in SQL).
- The list of headers is made of their own first sentences, and the lines of the log are those that the cache can
  write.
- Every file, test, mutant file, link and anchor that is named exists. A file in backticks is named from the top of
  the repository, or by its name alone; one behind a link from the page.

README's first program has fifteen lines beside its includes, and its prose stays short. Each setting is in its
table. The promises have the same numbers everywhere, and each has tests. The rooms of detail/ are described.

  tests/readme_test.py             checks
  tests/readme_test.py --update    first writes blocks and lists anew
"""
import functools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
TESTS = ROOT / "tests" / "README.md"
EXAMPLES = ROOT / "examples" / "README.md"
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
PAGES = [README, TESTS, EXAMPLES, CONTRIBUTING, ROOT / "bench" / "README.md", ROOT / "cmake" / "README.md"]
DETAIL = ROOT / "include" / "lazywriter" / "detail"
MOST_WORDS = 2500  # of README's prose: what stands neither in a block nor in a table
FENCE = re.compile(
    r"(?:<!-- (?P<kind>code|headers|log)(?:: (?P<path>\S+)(?P<regions>(?: \[[^\]]+\])+))? -->\n)?"
    r"```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
NAMED = r"(?:tests|examples|cmake|bench|include|\.ci|\.github)/[\w./*-]*"  # a path from the top of the repository
problems = []


def name_of(path):
    return str(path.relative_to(ROOT))


# --- blocks -----------------------------------------------------------------------------------------
def region(path, name):
    """The text between `// [name]` and `// [/name]`, without the indentation that all of it shares."""
    if not (ROOT / path).exists():
        problems.append(f"a block is said to be from {path}, which does not exist")
        return ""
    source = (ROOT / path).read_text()
    comment = "--" if path.endswith(".sql") else "//"
    found = re.findall(
        rf"^[ ]*{comment} \[{re.escape(name)}\]\n(.*?)^[ ]*{comment} \[/{re.escape(name)}\]$",
        source,
        re.DOTALL | re.MULTILINE,
    )
    if len(found) != 1:
        problems.append(f"{path} has {len(found)} regions [{name}], not one")
        return ""
    lines = found[0].splitlines()
    indentation = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "".join(line[indentation:] + "\n" for line in lines)


def first_sentence(header):
    """What the comment on top of a header says first, in one line."""
    words = []
    for line in header.read_text().splitlines():
        if not line.startswith("//"):
            break
        words += line.removeprefix("//").split()
    sentence = re.match(r"(.*?)\.(?:\s|$)", " ".join(words))
    if not sentence:
        problems.append(f"{name_of(header)} does not begin with a sentence in a comment")
        return ""
    text = sentence[1]
    return text if len(text) <= 90 else re.split("[:;] ", text)[0]


def header_list():
    """The public headers, then the rooms in their order, one line for each header."""
    top = DETAIL.parent

    def order(directory):
        room = directory.name if directory.parent == DETAIL else ""
        return DETAIL in [directory, *directory.parents], rooms().index(room) if room in rooms() else -1, directory

    lines = []
    for directory in sorted([top, *(path for path in top.rglob("*") if path.is_dir())], key=order):
        headers = sorted(directory.glob("*.hpp"))
        if headers:
            lines.append(f"{name_of(directory)}/")
        lines += [f"  {header.name:<28}{first_sentence(header)}" for header in headers]
    return "".join(line + "\n" for line in lines)


@functools.cache
def rooms():
    """The rooms of detail/ in the order of CONTRIBUTING's table: each includes only what stands before it."""
    return [row.split("|")[1].strip() for row in table(CONTRIBUTING, "The rooms", "| room ")]


def expected(fence):
    """What a block should hold; None: whatever it likes."""
    if fence["kind"] == "headers":
        return header_list()
    if fence["kind"] == "code":
        names = re.findall(r"\[([^\]]+)\]", fence["regions"])
        return "\n".join(region(fence["path"], name) for name in names)
    if fence["language"] in ("cpp", "sql"):
        problems.append(f"a {fence['language']} block does not say where its text is from: {fence['text'][:60]!r}")
    return None


def update(fence):
    text = expected(fence)
    if text is None:
        return fence[0]
    return fence[0][: fence.start("text") - fence.start()] + text + "```"


def check_blocks(page):
    for fence in FENCE.finditer(page.read_text()):
        text = expected(fence)
        if text is not None and text != fence["text"]:
            what = fence["path"] or "the list of headers"
            problems.append(
                f"{name_of(page)} differs from {what}{fence['regions'] or ''}; tests/readme_test.py --update mends it"
            )


def check_first_program(readme):
    code = next(fence["text"] for fence in FENCE.finditer(readme) if fence["language"] == "cpp")
    lines = [line for line in code.splitlines() if line.strip()]
    includes = [line for line in lines if line.startswith("#include")]
    if not any("lazywriter/lazy_writer_cache.hpp" in line for line in includes):
        problems.append("README's first program does not show its includes")
    if len(lines) - len(includes) != 15:
        problems.append(f"README's first program has {len(lines) - len(includes)} lines, not fifteen")


def check_length(readme):
    prose = re.sub(r"<!--.*?-->|^\|.*$", "", FENCE.sub("", readme), flags=re.MULTILINE)
    words = len(prose.split())
    if words > MOST_WORDS:
        problems.append(f"README has {words} words outside of blocks and tables, more than {MOST_WORDS}")


def check_log(page):
    """Each part of a line that is no number, key or reason is said by store_monitor.hpp."""
    source = next(DETAIL.rglob("store_monitor.hpp")).read_text()
    said = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', source))
    fences = FENCE.finditer(page.read_text())
    lines = [line for fence in fences if fence["kind"] == "log" for line in fence["text"].splitlines()]
    for line in lines:
        level, _, text = line.partition(": ")
        text = text.removeprefix("accounts: ")  # the name of the cache
        parts = [part for part in re.split(r'"[^"]*"|\d+|…', text) if part]
        if level not in ("lazywriter info", "lazywriter warning") or any(part not in said for part in parts):
            problems.append(f"{name_of(page)} shows a line of the log that nothing writes: {line}")
    return len(lines)


# --- settings ---------------------------------------------------------------------------------------
def check_settings(page, header, struct, section):
    """Every field of the struct has its row, with its default, and no row stands for nothing."""
    source = ROOT / "include/lazywriter" / header
    text = page.read_text()
    if f"\n{section}\n" not in text:
        problems.append(f"{name_of(page)} has no section {section}")
        return
    body = re.search(rf"struct {struct} \{{(.*?)^\}};", source.read_text(), re.DOTALL | re.MULTILINE)[1]
    fields = dict(re.findall(r"^  [\w:<>()]+ (\w+)(?: = |\{|;)([^;{}\n]*)", body, re.MULTILINE))
    rows = dict(
        re.findall(r"^\| `(\w+)` \| ([^|]+) \|", re.split(r"\n##+ ", text.split(f"\n{section}\n")[1])[0], re.MULTILINE)
    )
    if fields.keys() != rows.keys():
        problems.append(f"fields of {struct} and of {name_of(page)} differ: {sorted(fields.keys() ^ rows.keys())}")
    for name in fields.keys() & rows.keys():
        default, shown = re.sub("'", "", fields[name]), re.sub("['`\"]", "", rows[name])
        time = re.fullmatch(r"(\d+) (ms|s)", shown)
        if time:
            shown = str(int(time[1]) * (1000 if time[2] == "s" else 1))
        if not default.startswith("[") and shown != default:  # a function is told in words
            problems.append(f"{name_of(page)} says {name} = {rows[name]}, the header {fields[name]}")


# --- names ------------------------------------------------------------------------------------------
@functools.cache
def known_tests():
    sources = "\n".join(path.read_text(errors="replace") for path in (ROOT / "tests").rglob("*_test.cpp"))
    return {".".join(pair) for pair in re.findall(r"\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", sources)}


@functools.cache
def known_files():
    tops = ("include", "tests", "examples", "bench", "cmake", ".github", ".ci")
    return {path.name for top in tops for path in (ROOT / top).rglob("*")} | {path.name for path in ROOT.glob("*")}


@functools.cache
def anchors(page):
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def check_names(page):
    text = page.read_text()
    prose = FENCE.sub("", text)
    where = name_of(page)
    for name in re.findall(r"`([A-Z]\w*\.[A-Z]\w*)`", prose):
        if name not in known_tests():
            problems.append(f"{where} names the test {name}, which does not exist")
    for path in re.findall(rf"`({NAMED})[^`]*`", prose) + re.findall(rf"^(?:    )?({NAMED})", text, re.MULTILINE):
        if not any(ROOT.glob(path.rstrip("/"))):
            problems.append(f"{where} names {path}, which does not exist")
    for path in re.findall(r"`([\w./-]*\.(?:hpp|cpp|py|sh|cmake|mutants|sql))`", prose):
        if "/" not in path and path[0] != "_" and path not in known_files():
            problems.append(f"{where} names {path}, which does not exist")
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", prose):
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            problems.append(f"{where} links to {path}, which does not exist")
        elif anchor and anchor not in anchors(target):
            problems.append(f"{where} links to {path}#{anchor}, and there is no such section")


def table(page, section, first):
    """The rows of the table in a section, without its head."""
    text = page.read_text()
    if f"\n## {section}" not in text:
        problems.append(f"{name_of(page)} has no section {section}")
        return []
    part = text.split(f"\n## {section}")[1].split("\n## ")[0]
    return [line for line in part.splitlines() if line.startswith("| ") and not line.startswith(first)]


def check_cases():
    """What happens in each case is shown by a test."""
    for row in table(TESTS, "What happens when", "| what"):
        shown_by = row.rsplit("|", 2)[1]
        if not re.search(r"`\w+\.\w+`", shown_by) and "`tests/" not in shown_by:
            problems.append(f"no test is named for: {row[:70]}")


def check_promises():
    """P1 to P12, in README and in tests/README.md, each there with tests and with the mutants that say its number."""
    promised = [row.split("|")[1].strip() for row in table(README, "The promises in full", "| | ")]
    rows = table(TESTS, "The promises and their tests", "| promise")
    if promised != [f"P{number}" for number in range(1, len(promised) + 1)]:
        problems.append(f"README numbers its promises {promised}")
    if [row.split()[1] for row in rows] != promised:
        problems.append("the promises of tests/README.md are not those of README")
    for row in rows:
        if not re.search(r"`\w+\.\w+`", row):
            problems.append(f"no test is named for the promise: {row[:70]}")
    for name in set(re.findall(r"\bP(\d+)\b", README.read_text())):
        if f"P{name}" not in promised:
            problems.append(f"README speaks of P{name}, which is not in its list")
    for mutants in sorted((ROOT / "tests" / "mutants").glob("*.mutants")):
        if f"mutants/{mutants.name})" not in TESTS.read_text():
            problems.append(f"tests/README.md does not say what mutants/{mutants.name} break")
        number = re.match(r"P\d+(?=:)", mutants.read_text())
        if number and not any(row.startswith(f"| {number[0]} ") and mutants.name in row for row in rows):
            problems.append(f"{mutants.name} breaks {number[0]}, and is not in that row of tests/README.md")


def check_rooms():
    """Each room has its row, and each step of a change that names a room names a header of it."""
    for room in sorted(path.name for path in DETAIL.iterdir() if path.is_dir()):
        if room not in rooms():
            problems.append(f"CONTRIBUTING does not say what is in detail/{room}")
    for step in re.split(r"^\d+\. ", CONTRIBUTING.read_text(), flags=re.MULTILINE):
        room, header = re.match(r"(\w+): ", step), re.search(r"`(\w+\.hpp)`", step.split("\n\n")[0])
        if not room or not header or not (DETAIL / room[1]).exists():
            continue
        if not (DETAIL / room[1] / header[1]).exists():
            problems.append(f"CONTRIBUTING looks for {header[1]} in detail/{room[1]}, where it is not")


def main():
    if sys.argv[1:] == ["--update"]:
        for page in PAGES:
            page.write_text(FENCE.sub(update, page.read_text()))
        problems.clear()  # the checks below find them again
    for page in PAGES:
        check_blocks(page)
        check_names(page)
    if sum(check_log(page) for page in PAGES) == 0:
        problems.append("no page shows a line of the log")
    readme = README.read_text()
    check_first_program(readme)
    check_length(readme)
    check_settings(README, "cache_config.hpp", "CacheConfig", "## Settings")
    check_settings(EXAMPLES, "pqxx/options.hpp", "PqxxOptions", "### Options of the adapter")
    if "<!-- headers -->" not in CONTRIBUTING.read_text():
        problems.append("no page lists the headers")
    check_cases()
    check_promises()
    check_rooms()
    for problem in dict.fromkeys(problems):
        print(f"readme_test: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
