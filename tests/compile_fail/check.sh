#!/usr/bin/env bash
# check.sh SOURCE DIRECTORY COMPILER [FLAG...]: see CMakeLists.txt beside it. The directory is that of precompile.sh.
set -uo pipefail
source=$1 precompiled=$2
shift 2

read -r first_line <"$source"
if [[ $first_line != "// EXPECT: "* ]]; then
  echo "$source: the first line is not '// EXPECT: regex'"
  exit 1
fi
expected=${first_line#// EXPECT: }

kind=core
if [[ ${source##*/} == pg_* ]]; then kind=pg; fi
if ! grep -q '^// PRECOMPILED: none' "$source"; then set -- "$@" -include "$precompiled/$kind.hpp"; fi

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
