#!/usr/bin/env bash
# Breaks the library on purpose, one break at a time, and checks that the tests notice.
#
#   tests/run_mutants.sh [NAME...]     default: all of tests/mutants/*.mutant
#
# A mutant is a file: `# what breaks`, `file:` the header below include/lazywriter, `tests:` sources
# below tests (without _test.cpp), then Perl statements that change the header's text in $_. It is
# killed when one of its tests fails, crashes or hangs. A mutant that does not apply, does not compile
# or survives makes the exit status 1; so does a test that fails without any mutant.
#
# CXX: the compiler (g++). JOBS: how many mutants at once (one per processor).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
: "${CXX:=g++}" "${JOBS:=$(nproc)}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# build_and_run INCLUDE_DIRECTORY TEST OUTPUT: 0 passed, 1 failed, 2 did not compile
build_and_run() {
  local include=$1 test=$2 output=$3
  "$CXX" -std=c++20 -O0 -w -I"$include" -Itests "tests/${test}_test.cpp" -o "$output" \
    -lgtest -lgtest_main -pthread >"$output.log" 2>&1 || return 2
  timeout 60 "$output" --gtest_brief=1 >"$output.log" 2>&1 || return 1
}

field() { sed -n "s/^$2: *//p" "$1"; }

run_mutant() {
  local mutant=$1 name work file test status
  name=$(basename "$mutant" .mutant)
  work=$scratch/$name
  mkdir -p "$work"
  cp -r include "$work/include"
  file=$(field "$mutant" file)
  if ! sed '/^\(#\|file:\|tests:\)/d' "$mutant" >"$work/change.pl" ||
    ! { echo 'undef $/; $_ = <STDIN>; my $before = $_;' && cat "$work/change.pl" &&
      echo 'die "nothing changed\n" if $_ eq $before; print;'; } >"$work/apply.pl" ||
    ! perl "$work/apply.pl" <"include/lazywriter/$file" >"$work/include/lazywriter/$file" 2>"$work/apply.log"; then
    echo "ERROR     $name: does not apply to $file: $(head -1 "$work/apply.log")"
    return 1
  fi
  for test in $(field "$mutant" tests); do
    status=0
    build_and_run "$work/include" "$test" "$work/test" || status=$?
    if [[ $status -eq 2 ]]; then
      echo "ERROR     $name: does not compile: $(grep -m1 error "$work/test.log")"
      return 1
    elif [[ $status -eq 1 ]]; then
      echo "killed    $name (by $test)"
      rm -rf "$work"
      return 0
    fi
  done
  echo "SURVIVED  $name: $(sed -n 's/^# //p' "$mutant" | head -1)"
  return 1
}

run_baseline() {
  local output=$scratch/baseline_${1//\//_}
  build_and_run "$root/include" "$1" "$output" && return
  echo "ERROR     $1 fails without any mutant:"
  tail -20 "$output.log"
  return 1
}
export -f run_mutant run_baseline build_and_run field
export CXX scratch root

mutants=()
if [[ $# -gt 0 ]]; then
  for name in "$@"; do mutants+=("tests/mutants/$name.mutant"); done
else
  mutants=(tests/mutants/*.mutant)
fi

failed=0
for mutant in "${mutants[@]}"; do field "$mutant" tests; done | tr ' ' '\n' | sort -u |
  xargs -P "$JOBS" -I{} bash -c 'run_baseline {}' || failed=1
[[ $failed -eq 0 ]] || exit 1
printf '%s\n' "${mutants[@]}" | xargs -P "$JOBS" -I{} bash -c 'run_mutant {}' | tee "$scratch/report" || failed=1
echo "$(grep -c '^killed' "$scratch/report" || true) of ${#mutants[@]} mutants killed"
exit "$failed"
