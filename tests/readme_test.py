#!/usr/bin/env python3
"""README tells the truth about this repository.

Every block of C++ or SQL in README is the text of an example or of a test: the comment above it names file
and regions, and a region is what stands between `// [name]` and `// [/name]` in that file (`--` in SQL). The
list of headers is made of their own first sentences, and the lines of the log are those that the cache can
write. Every setting, file, test and anchor that README names exists.

  tests/readme_test.py             checks
  tests/readme_test.py --update    first writes blocks and list anew
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FENCE = re.compile(
    r"(?:<!-- (?P<kind>code|headers|log)(?:: (?P<path>\S+)(?P<regions>(?: \[[^\]]+\])+))? -->\n)?"
    r"```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
problems = []


def region(path, name):
    """The text between `// [name]` and `// [/name]`, without the indentation that all of it shares."""
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
        problems.append(f"{header.relative_to(ROOT)} does not begin with a sentence in a comment")
        return ""
    text = sentence[1]
    return text if len(text) <= 90 else re.split("[:;] ", text)[0]


def header_list():
    top = ROOT / "include" / "lazywriter"
    directories = [top, *sorted(path for path in top.rglob("*") if path.is_dir())]
    directories.sort(key=lambda path: path.name == "detail")
    lines = []
    for directory in directories:
        headers = sorted(directory.glob("*.hpp"))
        if headers:
            lines.append(f"{directory.relative_to(ROOT)}/")
        lines += [f"  {header.name:<28}{first_sentence(header)}" for header in headers]
    return "".join(line + "\n" for line in lines)


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


def check_blocks(readme):
    for fence in FENCE.finditer(readme):
        text = expected(fence)
        if text is not None and text != fence["text"]:
            name = fence["path"] or "the list of headers"
            problems.append(f"README differs from {name}{fence['regions'] or ''}; tests/readme_test.py --update mends it")
    code = [fence for fence in FENCE.finditer(readme) if fence["language"] == "cpp"]
    lines = [line for line in code[0]["text"].splitlines() if line.strip()]
    if len(lines) != 15:
        problems.append(f"README's first program has {len(lines)} lines, not fifteen")


def check_log(readme):
    """Each part of a line that is no number, key or reason is said by store_monitor.hpp."""
    source = (ROOT / "include/lazywriter/detail/flush/store_monitor.hpp").read_text()
    said = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', source))
    lines = [line for fence in FENCE.finditer(readme) if fence["kind"] == "log" for line in fence["text"].splitlines()]
    for line in lines:
        level, _, text = line.partition(": ")
        text = text.removeprefix("accounts: ")  # the name of the cache
        parts = [part for part in re.split(r'"[^"]*"|\d+|…', text) if part]
        if level not in ("lazywriter info", "lazywriter warning") or any(part not in said for part in parts):
            problems.append(f"README shows a line of the log that nothing writes: {line}")
    if not lines:
        problems.append("README shows no line of the log")


def check_settings(readme, header, struct, section):
    """Every field of the struct has its row, with its default, and no row stands for nothing."""
    source = ROOT / "include/lazywriter" / header
    if not source.exists():
        return
    body = re.search(rf"struct {struct} \{{(.*?)^\}};", source.read_text(), re.DOTALL | re.MULTILINE)[1]
    fields = dict(re.findall(r"^  [\w:<>()]+ (\w+)(?: = |\{|;)([^;{}\n]*)", body, re.MULTILINE))
    rows = dict(
        re.findall(r"^\| `(\w+)` \| ([^|]+) \|", readme.split(f"\n{section}\n")[1].split("\n## ")[0], re.MULTILINE)
    )
    if fields.keys() != rows.keys():
        problems.append(f"fields of {struct} and of README differ: {sorted(fields.keys() ^ rows.keys())}")
    for name in fields.keys() & rows.keys():
        default, shown = re.sub("'", "", fields[name]), re.sub("['`\"]", "", rows[name])
        time = re.fullmatch(r"(\d+) (ms|s)", shown)
        if time:
            shown = str(int(time[1]) * (1000 if time[2] == "s" else 1))
        if not default.startswith("[") and shown != default:  # a function is told in words
            problems.append(f"README says {name} = {rows[name]}, the header {fields[name]}")


def check_names(readme):
    prose = FENCE.sub("", readme)
    tests = "\n".join(path.read_text(errors="replace") for path in (ROOT / "tests").rglob("*_test.cpp"))
    known = {".".join(pair) for pair in re.findall(r"\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", tests)}
    when = readme.split("\n## What happens when")[1].split("\n## ")[0]
    rows = [line for line in when.splitlines() if line.startswith("| ") and not line.startswith("| what")]
    for row in rows:
        shown_by = row.rsplit("|", 2)[1]
        names = re.findall(r"`(\w+\.\w+)`", shown_by)
        if not names and "`tests/" not in shown_by:
            problems.append(f"no test is named for: {row[:70]}")
        problems.extend(f"README names the test {name}, which does not exist" for name in names if name not in known)
    for path in re.findall(r"\]\((?!#|https?:)([^)#]+)\)", prose) + re.findall(r"`((?:tests|examples|cmake|bench|include)/[\w./-]+)`", prose):
        if not (ROOT / path).exists():
            problems.append(f"README names {path}, which does not exist")
    for path in re.findall(r"^(?:tests|examples|bench)/[\w./-]+", readme, re.MULTILINE):
        if not (ROOT / path).exists():
            problems.append(f"README names {path}, which does not exist")
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    for anchor in re.findall(r"\]\(#([^)]+)\)", prose):
        if anchor not in anchors:
            problems.append(f"README has no section #{anchor}")


def main():
    if sys.argv[1:] == ["--update"]:
        README.write_text(FENCE.sub(update, README.read_text()))
    readme = README.read_text()
    check_blocks(readme)
    check_log(readme)
    check_settings(readme, "cache_config.hpp", "CacheConfig", "## Settings")
    check_settings(readme, "pqxx/options.hpp", "PqxxOptions", "### Options of the adapter")
    check_names(readme)
    for problem in dict.fromkeys(problems):
        print(f"readme_test: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
