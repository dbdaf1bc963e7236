"""Mutants as text: reads *.mutants files, finds their places in a header, and writes the header anew with
every mutant behind the number that `lazywriter_mutant` is compared with. tests/README.md tells the format.
"""
import difflib
import re

# The one variable that chooses a mutant. It is read before main, from the environment.
SELECTOR = """\
#pragma once
#include <cstdint>
#include <cstdlib>
inline const std::uint32_t lazywriter_mutant = [] {
  const char* name = std::getenv("LAZYWRITER_MUTANT");
  if (name == nullptr || *name == '\\0') return std::uint32_t{0};
  std::uint32_t hash = 2166136261u;
  for (; *name != '\\0'; ++name) hash = (hash ^ static_cast<unsigned char>(*name)) * 16777619u;
  return hash;
}();
"""


def number_of(name):
    """What SELECTOR makes of a name."""
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value


class MutantError(Exception):
    pass


class Change:
    """Lines of a hunk that belong together: `before` is to be replaced by `after`. Without `after`: context."""

    def __init__(self, before, after=None):
        self.before, self.after = before, after


class Hunk:
    def __init__(self, anchor):
        self.anchor, self.changes = anchor, []


class Mutant:
    def __init__(self, name, where, promise):
        self.name, self.where, self.promise = name, where, promise
        self.breaks = self.header = self.filter = self.alone = ""
        self.tests, self.hunks, self.text = [], [], ""

    def error(self, message):
        return MutantError(f"{self.where}: {self.name}: {message}")


# --- reading ----------------------------------------------------------------------------------------
def read(text, file):
    """The mutants of a file, and what is wrong with it."""
    mutants, errors, promise, mutant = [], [], [], None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("== "):
            mutant = Mutant(line[3:].strip(), f"{file}:{number}", " ".join(promise))
            mutants.append(mutant)
        elif mutant is None:
            promise += [line.strip()] if line.strip() else []
        elif line.strip():
            try:
                read_line(mutant, line)
            except MutantError as error:
                errors.append(f"{file}:{number}: {error}")
        if mutant is not None:
            mutant.text += line.rstrip() + "\n"
    for mutant in mutants:
        mutant.text = mutant.text.rstrip()
        errors += [str(mutant.error(problem)) for problem in problems_of(mutant)]
    return mutants, errors


def read_line(mutant, line):
    key = re.match(r"(header|tests|filter|alone): *(.*)", line)
    if line.startswith("@@"):
        mutant.hunks.append(Hunk(line[2:].strip()))
    elif line[0] in " -+":
        if not mutant.hunks:
            mutant.hunks.append(Hunk(""))
        add_line(mutant.hunks[-1].changes, line[0], line[1:].strip())
    elif mutant.hunks:
        raise MutantError("neither `@@ `, `- `, `+ ` nor context, which begins with a blank")
    elif key:
        setattr(mutant, key[1], key[2].split() if key[1] == "tests" else key[2])
    else:
        mutant.breaks = f"{mutant.breaks} {line.strip()}".lstrip()


def add_line(changes, sign, code):
    last = changes[-1] if changes else None
    if sign == " ":
        changes.append(Change(code))
    elif sign == "-":
        if last is not None and last.after == []:
            last.before += "\n" + code
        else:
            changes.append(Change(code, []))
    elif last is None or last.after is None:
        raise MutantError("a `+` line without a `-` line above it: repeat the line that it goes beside")
    else:
        last.after.append(code)


def problems_of(mutant):
    if not re.fullmatch(r"\w+", mutant.name):
        yield "a name is one word of letters, digits and underscores"
    for field, what in (("breaks", "sentence that says what breaks"), ("header", "`header:`"),
                        ("tests", "`tests:`"), ("hunks", "`-` lines")):
        if not getattr(mutant, field):
            yield f"it has no {what}"
    for hunk in mutant.hunks:
        changes = [change for change in hunk.changes if change.after is not None]
        if not changes:
            yield "an `@@` line without `-` lines"
        for change in changes:
            after = "\n".join(change.after)
            if words(change.before) == words(after):
                yield f"nothing changes: {change.before}"
            elif mutant.alone:
                continue
            elif not (is_balanced(change.before) and is_balanced(after)):
                yield f"brackets open or close that do not belong to it: {change.before}"
            elif is_statement(change.before) and after.strip() and not is_statement(after):
                yield f"a statement becomes something that is none: {after}"
            elif not is_statement(change.before) and (not after.strip() or is_statement(after)):
                yield f"an expression becomes something that is none: {change.before}"


# --- C++, as far as it must be understood -------------------------------------------------------------
TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      |(?P<raw>R"(?P<delimiter>[^()\s]*)\(.*?\)(?P=delimiter)")
      |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+')
      |(?P<word>\w(?:\w|'(?=\w))*)
      |(?P<sign>&&|\|\||<=>|<<|>>|[-+*/%&|^=!<>]=|->|::|\S)""",
    re.S | re.X)


def tokens(code):
    return [match for match in TOKEN.finditer(code) if match.lastgroup != "comment"]


def words(code):
    return [token[0] for token in tokens(code)]


def without_comments(code):
    """The same length, blanks in place of comments, so that what is sought is never found in one."""
    blank = lambda match: re.sub(r"[^\n]", " ", match[0]) if match.lastgroup == "comment" else match[0]
    return TOKEN.sub(blank, code)


def pattern(code):
    """Finds the code however it is laid out."""
    found, result = words(code), ""
    for previous, word in zip([""] + found, found):
        apart = r"\s+" if re.search(r"\w$", previous) and re.match(r"\w", word) else r"\s*"
        result += (apart if previous else "") + re.escape(word)
    if not found:
        return ""
    begin = r"(?<!\w)" if re.match(r"\w", found[0]) else ""
    end = r"(?!\w)" if re.search(r"\w$", found[-1]) else ""
    return begin + result + end


def is_statement(code):
    """Whether the code is whole statements; else it is an expression, such as `a && b` or `Type{}`."""
    found = words(code)
    if not found or found[-1] != "}":
        return bool(found) and found[-1] == ";"
    depth = 0
    for at in reversed(range(len(found))):
        depth += (found[at] == "}") - (found[at] == "{")
        if depth == 0:
            break
    opener = found[at - 1] if at > 0 else ";"
    return opener in (";", "{", "}", "else", "try", "do") or (opener == ")" and found[0] != "[")


def is_balanced(code):
    open_brackets = []
    for word in words(code):
        if word in "([{":
            open_brackets.append(word)
        elif word in ")]}" and (not open_brackets or open_brackets.pop() + word not in "()[]{}"):
            return False
    return not open_brackets


def end_of_scope(code, begin):
    """Where the block ends that begins after `begin`, or else the one around it."""
    depth = 0
    for token in TOKEN.finditer(code, begin):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth <= 0:
                return token.end()
    return len(code)


def lines_of(code, offsets):
    return ", ".join(str(code.count("\n", 0, offset) + 1) for offset in offsets)


# --- finding ------------------------------------------------------------------------------------------
class Place:
    """A stretch of a header that a mutant replaces."""

    def __init__(self, mutant, begin, end, after):
        self.mutant, self.begin, self.end, self.after = mutant, begin, end, after

    def crosses(self, other):
        return self.begin < other.begin < self.end < other.end or other.begin < self.begin < other.end < self.end

    def same(self, other):
        return (self.begin, self.end) == (other.begin, other.end)


def places(mutant, header):
    """Where the mutant's hunks are in the header; an error unless each is there exactly once."""
    code = without_comments(header)
    found = []
    for hunk in mutant.hunks:
        begin, end = 0, len(code)
        if hunk.anchor:
            anchors = list(re.finditer(pattern(hunk.anchor), code))
            if len(anchors) != 1:
                raise mutant.error(not_once("the @@ line", [hunk.anchor], anchors, mutant.header, code))
            begin = anchors[0].end()
            end = end_of_scope(code, begin)
        sought = r"\s*".join(f"({pattern(change.before)})" for change in hunk.changes)
        matches = list(re.finditer(sought, code[begin:end]))
        if len(matches) != 1:
            lines = "\n".join(change.before for change in hunk.changes).splitlines()
            what = "the text" if not hunk.anchor else f"the text after `{hunk.anchor}`"
            raise mutant.error(not_once(what, lines, matches, mutant.header, code, begin, end))
        for group, change in enumerate(hunk.changes, 1):
            if change.after is not None:
                place = Place(mutant, begin + matches[0].start(group), begin + matches[0].end(group),
                              "\n".join(change.after))
                if not mutant.alone:
                    (require_whole_statement if is_statement(change.before) else require_whole_expression)(place, code)
                found.append(place)
    return found


def not_once(what, lines, matches, header, code, begin=0, end=None):
    if matches:
        more = "" if "after" in what else ": say which one by `@@` and text that stands before it"
        lines = lines_of(code, [begin + match.start() for match in matches])
        return f"{what} is in {header} {len(matches)} times (lines {lines}){more}"
    region = code[begin:end]
    missing = next((line for line in lines if not re.search(pattern(line), region)), None)
    if missing is None:
        return f"the lines of {what} are in {header}, but not one after the other: {lines[0]}"
    rows = region.splitlines()
    near = difflib.get_close_matches(missing, [row.strip() for row in rows], 1, 0.3)
    if not near:
        return f"{what} is not in {header}, nor anything like it: {missing}"
    row = next(index for index, text in enumerate(rows) if text.strip() == near[0])
    return (f"{what} is not in {header}: {missing}\n"
            f"          line {code.count(chr(10), 0, begin) + row + 1} is like it: {near[0]}")


# The loosest operator outside brackets decides whether a part of an expression is a whole one.
LOOSENESS = {"?": 5, "||": 4, "&&": 3, "|": 2, "^": 2, "&": 2, "==": 2, "!=": 2, "<": 2, ">": 2, "<=": 2, ">=": 2,
             "<=>": 2, "<<": 2, ">>": 2, "+": 1, "-": 1, "*": 1, "/": 1, "%": 1, "!": 0, ".": 0, "->": 0, "::": 0}


def word_before(place, code):
    line = code.rfind("\n", 0, max(place.begin - 200, 0)) + 1
    return (words(code[line:place.begin]) or [";"])[-1]


def require_whole_statement(place, code):
    before = word_before(place, code)
    if before not in (";", "{", "}", ")", ":", "else", "do", "try"):
        first = code[place.begin:place.end].splitlines()[0]
        raise place.mutant.error(f"`{first}` is not a whole statement, since `{before}` stands before it: take in more")


def require_whole_expression(place, code):
    text = code[place.begin:place.end]
    depth, loosest = 0, 0
    for word in words(text):
        depth += (word in "([{") - (word in ")]}")
        if depth == 0 and word in LOOSENESS:
            loosest = max(loosest, LOOSENESS[word])
    before = word_before(place, code)
    after = (words(code[place.end:place.end + 200]) or [";"])[0]
    for neighbour in (before, after):
        # < and > may be brackets of templates: what stands beside them is left to the compiler.
        if neighbour not in "<>" and LOOSENESS.get(neighbour, 9) < loosest:
            raise place.mutant.error(f"`{text}` is not a whole expression, since `{neighbour}` binds its end: "
                                     "take in more")


# --- switching ----------------------------------------------------------------------------------------
def replaced(header, found):
    """The header with these places replaced for good."""
    for place in sorted(found, key=lambda place: -place.begin):
        header = header[:place.begin] + place.after + header[place.end:]
    return header


def layers(places_by_mutant):
    """Mutants that can share a program, as lists: places may be the same or one within the other, not cross."""
    result = []
    for mutant, found in places_by_mutant.items():
        for layer in result:
            others = [place for other in layer if other.header == mutant.header for place in places_by_mutant[other]]
            if not any(place.crosses(other) for place in found for other in others):
                layer.append(mutant)
                break
        else:
            result.append([mutant])
    return result


def switched(header, found):
    """The header with all these places switched: what the compiler sees is one program that holds every mutant."""
    code = without_comments(header)
    found = sorted(found, key=lambda place: (place.begin, -place.end))
    return render(header, code, found, 0, len(header))


def render(header, code, found, begin, end):
    result, at = "", begin
    while found:
        first = found[0]
        here = [place for place in found if place.same(first)]
        inner = [place for place in found if place.begin < first.end and not place.same(first)]
        found = [place for place in found if place.begin >= first.end]
        text = render(header, code, inner, first.begin, first.end)
        result += header[at:first.begin] + switch(here, text, is_statement(code[first.begin:first.end]))
        at = first.end
    return result + header[at:end]


def switch(here, before, statement):
    chosen = [(f"lazywriter_mutant == {number_of(place.mutant.name)}u", place) for place in here]
    if statement:
        cases = "".join(f"if ({test}) {{ /* {place.mutant.name} */\n{place.after}\n}} else " for test, place in chosen)
        return f"{{ {cases}{{\n{before}\n}} }}"
    cases = "".join(f"{test} ? /* {place.mutant.name} */ ({place.after}) : " for test, place in chosen)
    return f"({cases}({before}))"
