#!/usr/bin/env bash
# Breaks the library on purpose, one break at a time, and checks that the tests notice.
#
#   tests/run_mutants.sh [NAME...]     default: all of tests/mutants/*.mutant
#
# A mutant is a file: `# what breaks`, `file:` the header below include/lazywriter, `tests:` sources
# below tests (without _test.cpp), the one that notices first; then Perl statements, one a line, that
# change the header's text in $_. It is killed when one of its tests fails, crashes or hangs. A mutant
# that survives makes the exit status 1; so does one of which a line changes nothing, one that does not
# compile, and a test that fails without any mutant.
#
# CXX: the compiler (g++). JOBS: how many mutants at once (one per processor). Mutants of the PostgreSQL
# adapter are left out with LAZYWRITER_POSTGRES_TESTS=OFF.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
: "${CXX:=g++}" "${JOBS:=$(nproc)}" "${LAZYWRITER_POSTGRES_TESTS:=ON}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

field() { sed -n "s/^$2: *//p" "$1"; }
compile() { "$CXX" -std=c++20 -O0 -w -I"$scratch" "$@"; }

# build_and_run INCLUDE_DIRECTORY TEST OUTPUT LIMIT: 0 passed, 1 failed, 2 did not compile, 3 not done
# after LIMIT seconds
build_and_run() {
  local include=$1 test=$2 output=$3 limit=$4 status=0 precompiled=core.hpp beside=() libraries=()
  if [[ $test == pqxx/* ]]; then
    precompiled=pqxx.hpp beside=("$root/cmake/throwaway_postgres.sh")
    read -ra libraries <<<"$(pkg-config --cflags --libs libpqxx libpq)"
  fi
  compile -I"$include" -Itests -Iexamples -Ibench -include "$precompiled" "tests/${test}_test.cpp" -o "$output" \
    -lgtest_main -lgmock -lgtest "${libraries[@]}" -pthread >"$output.log" 2>&1 || return 2
  LAZYWRITER_PG_FAST=1 timeout "$limit" \
    "${beside[@]}" "$output" --gtest_brief=1 --gtest_fail_fast >"$output.log" 2>&1 </dev/null || status=$?
  if [[ $status -eq 124 ]]; then return 3; fi
  return $((status != 0))
}

# apply MUTANT: the changed header becomes `changed` in the mutant's directory.
apply() {
  local mutant=$1 work file line=0 statement
  work=$scratch/$(basename "$mutant" .mutant)
  file=$(field "$mutant" file)
  mkdir -p "$work"
  {
    echo 'undef $/; $_ = <STDIN>; my $before;'
    sed '/^\(#\|file:\|tests:\)/d; /^$/d' "$mutant" | while IFS= read -r statement; do
      printf '$before = $_;\n%s\ndie "nothing changed by its statement %d\\n" if $_ eq $before;\n' \
        "$statement" "$((++line))"
    done
    echo 'print;'
  } >"$work/change.pl"
  [[ -n $(field "$mutant" tests) ]] || { echo "ERROR     $mutant names no tests" && return 1; }
  perl "$work/change.pl" <"include/lazywriter/$file" >"$work/changed" 2>"$work/apply.log" && return
  echo "ERROR     $mutant does not apply to $file: $(head -1 "$work/apply.log")"
  return 1
}

run_mutant() {
  local mutant=$1 name work file test status begin=$SECONDS
  name=$(basename "$mutant" .mutant)
  work=$scratch/$name
  file=$(field "$mutant" file)
  cp -r include "$work/include"
  mv "$work/changed" "$work/include/lazywriter/$file"
  for test in $(field "$mutant" tests); do
    status=0
    build_and_run "$work/include" "$test" "$work/test" "$(<"$scratch/limit_${test//\//_}")" || status=$?
    if [[ $status -eq 2 ]]; then
      echo "ERROR     $name: does not compile: $(grep -m1 error "$work/test.log")"
      return 1
    elif [[ $status -ne 0 ]]; then
      echo "killed    $name (by $test$([[ $status -eq 1 ]] || echo ", which hangs"), $((SECONDS - begin)) s)"
      rm -rf "$work"
      return 0
    fi
  done
  echo "SURVIVED  $name: $(sed -n 's/^# //p' "$mutant" | head -1)"
  return 1
}

run_baseline() {
  local output=$scratch/baseline_${1//\//_} begin=$SECONDS
  if build_and_run "$root/include" "$1" "$output" 120; then
    echo "healthy   $1 ($((SECONDS - begin)) s)"
    # Compiling took most of that, so a run that lasts longer hangs.
    echo "$(((SECONDS - begin) * 2 + 15))" >"$scratch/limit_${1//\//_}"
    rm -f "$output"
    return
  fi
  echo "ERROR     $1 fails without any mutant:"
  tail -20 "$output.log"
  return 1
}
export -f run_mutant run_baseline build_and_run compile field
export CXX scratch root

mutants=()
if [[ $# -gt 0 ]]; then
  for name in "$@"; do mutants+=("tests/mutants/$name.mutant"); done
else
  mutants=(tests/mutants/*.mutant)
fi
if [[ $LAZYWRITER_POSTGRES_TESTS == OFF ]]; then
  mapfile -t mutants < <(grep -LE '^tests:.*pqxx/' "${mutants[@]}")
fi
failed=0
for mutant in "${mutants[@]}"; do apply "$mutant" || failed=1; done
[[ $failed -eq 0 ]] || exit 1
mapfile -t tests < <(for mutant in "${mutants[@]}"; do field "$mutant" tests; done | tr -s ' ' '\n' | sort -u)

# What no mutant changes is compiled once.
printf '#include <%s>\n' gmock/gmock.h gtest/gtest.h algorithm array atomic chrono condition_variable cstddef \
  functional future map memory mutex optional random span string thread tuple unordered_map variant vector \
  >"$scratch/core.hpp"
{ cat "$scratch/core.hpp" && echo '#include <pqxx/pqxx>'; } >"$scratch/pqxx.hpp"
compile -x c++-header "$scratch/core.hpp" -o "$scratch/core.hpp.gch"
if [[ " ${tests[*]}" == *" pqxx/"* ]]; then
  read -ra flags <<<"$(pkg-config --cflags libpqxx)"
  compile "${flags[@]}" -x c++-header "$scratch/pqxx.hpp" -o "$scratch/pqxx.hpp.gch"
fi

printf '%s\n' "${tests[@]}" | xargs -P "$JOBS" -I{} bash -c 'run_baseline {}' || failed=1
[[ $failed -eq 0 ]] || exit 1
printf '%s\n' "${mutants[@]}" | xargs -P "$JOBS" -I{} bash -c 'run_mutant {}' | tee "$scratch/report" || failed=1
echo "$(grep -c '^killed' "$scratch/report" || true) of ${#mutants[@]} mutants killed in $SECONDS s"
exit "$failed"
