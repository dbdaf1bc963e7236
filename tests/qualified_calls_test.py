#!/usr/bin/env python3
"""Every call of a free function inside the library is qualified.

An unqualified call with arguments of a user's type also looks for the function in the user's namespace: a
template named `grow` there would make the library fail to compile, or worse, be called. Calls of members, local
functions and types are none of this. What the names mean is not parsed: a call is unqualified if a name of one of
the library's free functions, or of std's usual ones, stands before a parenthesis without `::`, `.` or `->`."""
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(os.environ.get("LAZYWRITER_SOURCE_DIR", pathlib.Path(__file__).resolve().parent.parent))
HEADERS = sorted((ROOT / "include" / "lazywriter").rglob("*.hpp"))

STD_NAMES = set("""
    accumulate advance all_of any_of apply as_const async begin binary_search bit_ceil bit_floor cbegin cend clamp
    construct_at copy copy_backward copy_if count count_if countr_zero crbegin crend data declval destroy destroy_at
    distance empty end equal equal_range exchange fill find find_if for_each forward from_chars generate get get_if
    has_single_bit hash_value holds_alternative invoke iter_move iter_swap launder lower_bound make_exception_ptr make_pair
    make_shared make_tuple make_unique max max_element memcmp memcpy memmove memset min min_element move move_backward
    next none_of popcount prev rbegin remove remove_if rend replace replace_if reverse rethrow_exception rotate size sort
    ssize stable_sort swap tie to_address to_chars to_string transform tuple_cat unique upper_bound visit""".split())

TOKEN = re.compile(r"""
    (?P<skip>\s+|//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*)
  | (?P<text>(?:u8|[uUL])?R"(?P<delimiter>[^(\s]*)\(.*?\)(?P=delimiter)"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+')
  | (?P<number>\d(?:'?[\w.])*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<mark>::|->|\[\[|\]\]|&&|\|\||<<|>=|<=|==|!=|.)""", re.VERBOSE | re.DOTALL | re.MULTILINE)

# Before a call, unlike a type before the name that it declares.
KEYWORDS = set("return throw else do case co_return co_yield co_await and or not new delete if while sizeof".split())


def tokens_of(text):
    """[(token, line)], without comments, preprocessor lines and attributes."""
    result, line, in_attribute = [], 1, False
    for match in TOKEN.finditer(text):
        token = match.group()
        if match.lastgroup != "skip" and not in_attribute and token != "[[":
            result.append((token if match.lastgroup not in ("text", "delimiter") else '""', line))
        in_attribute = token == "[[" or (in_attribute and token != "]]")
        line += token.count("\n")
    return [each for each in result if each[0] != "]]"]


def is_name(token):
    return re.fullmatch(r"[A-Za-z_]\w*", token) is not None


def parenthesis_after(tokens, at):
    """Whether `(` follows, after template arguments if there are some."""
    at += 1
    if at < len(tokens) and tokens[at][0] == "<":
        depth = 0
        for at in range(at, min(at + 200, len(tokens))):
            depth += {"<": 1, ">": -1}.get(tokens[at][0], 0)
            if tokens[at][0] in (";", "{"):
                return False
            if depth == 0:
                break
        at += 1
    return at < len(tokens) and tokens[at][0] == "("


def walk(tokens):
    """For each name before a parenthesis: (index, name, line, kind of scope, enclosing classes, namespace)."""
    scopes, head = [], []  # head: the tokens since the last ; { or }
    for i, (token, line) in enumerate(tokens):
        if token == "{":
            # `enum class`, `struct X : Y<...>` and so on, but not a function that returns or takes such a thing.
            words = [word for word in head if word != '""']
            declares = next((w for w in ("namespace", "class", "struct", "union", "enum") if w in words), None)
            outer = scopes[-1][0] if scopes else "namespace"
            if declares == "namespace":
                scopes.append(("namespace", "".join(words[words.index("namespace") + 1:])))
            elif declares and not without_template_head(words).count("(") and outer != "body":
                scopes.append(("class", i))
            else:
                scopes.append(("body", None))
            head = []
        elif token == "}":
            if scopes:
                scopes.pop()
            head = []
        elif token == ";":
            head = []
        else:
            head.append(token)
            if is_name(token) and parenthesis_after(tokens, i):
                kind = scopes[-1][0] if scopes else "namespace"
                classes = [start for scope, start in scopes if scope == "class"]
                yield i, token, line, kind, classes, "::".join(name for scope, name in scopes if scope == "namespace")


def without_template_head(words):
    """The words of a declaration without `template <...>`."""
    depth, kept, at = 0, [], 0
    while at < len(words):
        if words[at] == "template" and at + 1 < len(words) and words[at + 1] == "<":
            at += 1
            depth = 0
            while at < len(words):
                depth += {"<": 1, ">": -1}.get(words[at], 0)
                at += 1
                if depth == 0:
                    break
            continue
        kept.append(words[at])
        at += 1
    return kept


def is_declared(tokens, at):
    """Whether a type stands before the name: this declares it."""
    before = tokens[at - 1][0] if at else ";"
    return before in (">", "&", "*", "&&") or (is_name(before) and before not in KEYWORDS)


def objects_of(tokens):
    """The names of variables, parameters and members: calling one looks nowhere else."""
    names = set()
    for (before, _), (token, _), (after, _) in zip(tokens, tokens[1:], tokens[2:]):
        has_type = before in (">", "&", "*", "&&") or (is_name(before) and before not in KEYWORDS)
        if is_name(token) and has_type and (after in (";", "=", ",", ")") or after.startswith("LAZYWRITER_")):
            names.add(token)
    return names


NOT_FUNCTIONS = {"static_assert", "noexcept", "requires", "decltype", "alignas", "explicit", "operator"}


def find_functions(files):
    """The library's free functions, {name: namespace}, and the members of its classes."""
    free, members = {}, {}
    for path, tokens in files.items():
        for at, name, _, kind, classes, namespace in walk(tokens):
            if not is_declared(tokens, at) or name in NOT_FUNCTIONS or not name[0].islower():
                continue
            if kind == "namespace" and namespace:
                free[name] = namespace
            if kind == "class":
                members.setdefault((path, classes[-1]), set()).add(name)
    return free, members


def unqualified_calls(files, free, members):
    """[(path, index of the token, line, name, namespace of the caller)]"""
    for path, tokens in files.items():
        objects = objects_of(tokens)
        for at, name, line, kind, classes, namespace in walk(tokens):
            if name not in free and name not in STD_NAMES or name in objects:
                continue
            before = tokens[at - 1][0] if at else ";"
            if before in ("::", ".", "->", "~"):
                continue
            if kind != "body" and is_declared(tokens, at):
                continue
            if kind == "body" and (is_name(before) and before not in KEYWORDS or before == ">"):
                continue  # a variable of that name
            if any(name in members.get((path, start), ()) for start in classes):
                continue  # a member: it hides the names of namespaces, and of the user's
            yield path, at, line, name, namespace


def main():
    files = {path: tokens_of(path.read_text()) for path in HEADERS}
    free, members = find_functions(files)
    for known in ("same_key", "key_text", "validate"):  # or this looks at the wrong things
        if known not in free:
            sys.exit(f"{known} is not found among the free functions: {sorted(free)}")
    faults = list(unqualified_calls(files, free, members))
    for path, _, line, name, _ in faults:
        print(f"{path.relative_to(ROOT)}:{line}: {name} is called without its namespace")
    greedy = (ROOT / "tests" / "support" / "greedy_names.hpp").read_text()
    for name in sorted(set(free) | STD_NAMES):
        if f"LAZYWRITER_GREEDY({name})" not in greedy:
            faults.append(name)
            print(f"tests/support/greedy_names.hpp does not name {name}")
    if faults:
        sys.exit(f"{len(faults)} faults")
    print(f"all calls of {len(free)} free functions are qualified")


if __name__ == "__main__":
    main()
