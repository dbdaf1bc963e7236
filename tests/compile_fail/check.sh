#!/usr/bin/env bash
# check.sh SOURCE COMPILER [FLAG...]: see CMakeLists.txt beside it.
set -uo pipefail
source=$1
shift

read -r first_line <"$source"
if [[ $first_line != "// EXPECT: "* ]]; then
  echo "$source: the first line is not '// EXPECT: regex'"
  exit 1
fi
expected=${first_line#// EXPECT: }

if ! output=$("$@" -fsyntax-only -DLAZYWRITER_COMPILE_FAIL_CONTROL "$source" 2>&1); then
  printf '%s\n' "The control does not compile:" "$output"
  exit 1
fi
if output=$("$@" -fsyntax-only "$source" 2>&1); then
  echo "It compiles, but should be refused with: $expected"
  exit 1
fi
if ! grep -qE -- "$expected" <<<"$output"; then
  printf '%s\n' "The compiler does not say: $expected" "It says:" "$output"
  exit 1
fi
# What a user sees first.
grep -E -m 1 -- "$expected" <<<"$output"
