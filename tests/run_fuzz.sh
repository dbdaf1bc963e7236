#!/usr/bin/env bash
# Looks for inputs that break the codecs, the quoting or the cache: every target of tests/fuzz, built
# with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   tests/run_fuzz.sh [SECONDS]           SECONDS for each target (30)
#   tests/run_fuzz.sh --merge [SECONDS]   then keeps in tests/fuzz/corpus what reaches new code, minimised
#
# It begins with tests/fuzz/corpus/TARGET, which an ordinary test replays with every compiler. An input
# that breaks a target is left in build/fuzz and makes the exit status 1.
#
# CXX: a Clang (clang++-14). JOBS: how many targets at once (one per processor).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/apt_install.sh
: "${CXX:=clang++-14}" "${JOBS:=$(nproc)}"
merge=
if [[ ${1-} == --merge ]]; then merge=yes && shift; fi
seconds=${1:-30}
read -ra packages <<<"$(compiler_packages "$CXX")"
apt_install "${packages[@]}" libgtest-dev libgmock-dev

fuzz() {
  local name=$1 begin=$SECONDS found=build/fuzz/$1-found corpus=tests/fuzz/corpus/$1 status=0
  mkdir -p "$found" "$corpus"
  if ! "$CXX" -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iinclude -Itests \
    "tests/fuzz/${name}_fuzz.cpp" -o "build/fuzz/$name" -lgtest -pthread >"build/fuzz/$name.log" 2>&1; then
    echo "FAILED    $name does not compile" && cat "build/fuzz/$name.log"
    return 1
  fi
  "build/fuzz/$name" "$found" "$corpus" -max_total_time="$seconds" -max_len=512 -len_control=0 -timeout=10 -use_value_profile=1 \
    -artifact_prefix="build/fuzz/$name-" -print_final_stats=1 >"build/fuzz/$name.log" 2>&1 </dev/null || status=$?
  if [[ $status -ne 0 ]]; then
    echo "FAILED    $name" && tail -n 60 "build/fuzz/$name.log"
    return 1
  fi
  if [[ -n $merge ]]; then
    mkdir "$corpus.new"
    "build/fuzz/$name" -merge=1 -use_counters=0 -max_len=512 "$corpus.new" "$found" "$corpus" >>"build/fuzz/$name.log" 2>&1
    rm -r "$corpus" && mv "$corpus.new" "$corpus"
  fi
  echo "passed    $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name.log") inputs," \
    "$(find "$corpus" -type f | wc -l) in the corpus, $((SECONDS - begin)) s"
}
export -f fuzz
export CXX seconds merge

mkdir -p build/fuzz
failed=0
for target in tests/fuzz/*_fuzz.cpp; do basename "$target" _fuzz.cpp; done |
  xargs -P "$JOBS" -I{} bash -euo pipefail -c 'fuzz {}' || failed=1
exit "$failed"
