#!/usr/bin/env bash
# check.sh SOURCE DIRECTORY COMPILER [FLAG...]: see CMakeLists.txt beside it. The directory is that of precompile.sh.
set -uo pipefail
source=$1 precompiled=$2
shift 2

mapfile -t expected < <(sed -n '/^\/\/ EXPECT: /!q; s///p' "$source")
if [[ ${#expected[@]} -eq 0 ]]; then
  echo "$source: the first line is not '// EXPECT: regex'"
  exit 1
fi

kind=core
if [[ ${source##*/} == pg_* ]]; then kind=pg; fi
if ! grep -q '^// PRECOMPILED: none' "$source"; then set -- "$@" -include "$precompiled/$kind.hpp"; fi

if ! output=$("$@" -fsyntax-only -DLAZYWRITER_COMPILE_FAIL_CONTROL "$source" 2>&1); then
  printf '%s\n' "The control does not compile:" "$output"
  exit 1
fi
if output=$(LC_ALL=C "$@" -fsyntax-only "$source" 2>&1); then
  echo "It compiles, but should be refused with: ${expected[0]}"
  exit 1
fi
for each in "${expected[@]}"; do
  if ! grep -qE -- "$each" <<<"$output"; then
    printf '%s\n' "The compiler does not say: $each" "It says:" "$output"
    exit 1
  fi
done
# What a user sees first: up to the second error, if there is one.
first=$(awk '/error:/ && ++errors > 1 { exit } { print }' <<<"$output")
if ! grep -E -m 1 -- "${expected[0]}" <<<"$first"; then
  printf '%s\n' "The compiler says something else first:" "$output"
  exit 1
fi
