#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test, those on PostgreSQL included, on a
# server that the tests start and remove themselves.
#
#   tests/run.sh [OPTION...] [-- CTEST_ARGUMENT...]
#
#   --quick                   the tests of the cache itself, without PostgreSQL: what to run first
#   --no-postgres             leave out what needs PostgreSQL and libpqxx
#   --sanitize address|thread with AddressSanitizer and UndefinedBehaviorSanitizer, or ThreadSanitizer
#   --compiler PROGRAM        for example clang++-14 (default: g++)
#   --build-dir DIRECTORY     default: build/tests, or one named after the options
#   --jobs N                  default: JOBS of the environment, else one per processor
#   -- ARGUMENT...            for ctest, for example -- -L unit
#
# From the environment: LAZYWRITER_SOAK_SECONDS, how long tests/pqxx/soak_test.cpp takes (20);
# LAZYWRITER_SEED, of every random test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/apt_install.sh

compiler=g++ sanitize= quick= postgres=ON build= jobs=${JOBS:-$(nproc)}
while [[ $# -gt 0 ]]; do
  case $1 in
    --quick) quick=yes postgres=OFF ;;
    --no-postgres) postgres=OFF ;;
    --sanitize) sanitize=${2:?--sanitize address or thread} && shift ;;
    --compiler) compiler=${2:?--compiler PROGRAM} && shift ;;
    --build-dir) build=${2:?--build-dir DIRECTORY} && shift ;;
    --jobs) jobs=${2:?--jobs N} && shift ;;
    --) shift && break ;;
    -h | --help) sed -n '2,/^set/{/^#/!d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) echo "unknown option $1; see tests/run.sh --help" >&2 && exit 64 ;;
  esac
  shift
done
if [[ -z $build ]]; then
  build=build/tests
  [[ $compiler == g++ ]] || build+=-${compiler##*/}
  [[ -z $sanitize ]] || build+=-$sanitize
  if [[ -n $quick ]]; then build+=-quick; elif [[ $postgres == OFF ]]; then build+=-no-postgres; fi
fi

packages=(cmake ninja-build pkg-config libgtest-dev libgmock-dev python3 python3-prometheus-client git)
if [[ -z $quick ]]; then packages+=(libbenchmark-dev python3-yaml); fi
read -ra compiler_names <<<"$(compiler_packages "$compiler")"
packages+=("${compiler_names[@]}")
if [[ $postgres == ON ]]; then packages+=(postgresql postgresql-client pgbouncer openssl libpqxx-dev); fi
apt_install "${packages[@]}"

# Assertions are on everywhere. A sanitizer's reports need lines, and what it adds to the code is compiled in half
# the time when nothing is optimised.
flags="-O1"
if [[ -n $sanitize ]]; then flags="-O0 -g1"; elif [[ -n $quick ]]; then flags="-O0"; fi
options=(
  -DCMAKE_CXX_COMPILER="$compiler"
  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="$flags"
  -DLAZYWRITER_WERROR=ON -DLAZYWRITER_SANITIZE="$sanitize" -DLAZYWRITER_POSTGRES_TESTS="$postgres"
  -DLAZYWRITER_BUILD_TESTS=ON)
if [[ $postgres == OFF ]]; then options+=(-DLAZYWRITER_PQXX=OFF); fi
targets=(all) labels=()
if [[ -n $quick ]]; then
  targets=(unit_tests semantics_tests interleavings_tests) labels=(-L '^(unit|semantics|interleavings)$')
  options+=(-DLAZYWRITER_BUILD_EXAMPLES=OFF -DLAZYWRITER_BUILD_BENCH=OFF)
elif [[ -z $sanitize ]]; then
  options+=(-DLAZYWRITER_BUILD_EXAMPLES=ON -DLAZYWRITER_BUILD_BENCH=ON -DCMAKE_VERIFY_INTERFACE_HEADER_SETS=ON)
else
  options+=(-DLAZYWRITER_BUILD_EXAMPLES=ON -DLAZYWRITER_BUILD_BENCH=OFF)
fi
if [[ ! -e $build/CMakeCache.txt ]] && command -v ninja >/dev/null; then options+=(-G Ninja); fi

cmake -S . -B "$build" "${options[@]}"
cmake --build "$build" --parallel "$jobs" --target "${targets[@]}"
if [[ -z $quick ]] && cmake --build "$build" --target help 2>/dev/null | grep -q all_verify_interface_header_sets; then
  cmake --build "$build" --parallel "$jobs" --target all_verify_interface_header_sets
fi

# ctest counts processes. How many test cases ran in them, the programs write down; a process that died before
# it could counts as one failure.
status=0
rm -rf "$build/results"
ctest --test-dir "$build" --output-on-failure --no-tests=error --parallel "$jobs" "${labels[@]}" "$@" </dev/null |
  tee "$build/ctest.log" || status=$?
mkdir -p "$build/results"
find "$build/results" -name '*.xml' -exec grep -hm 1 '<testsuites ' {} \; | cat "$build/ctest.log" - | awk '
  /^[0-9]+% tests passed, [0-9]+ tests failed out of [0-9]+/ {failed = $4; passed = $NF - $4}
  /^<testsuites / {
    split($0, part, "\"")  # tests="9" failures="0" ...
    if (part[4] > 0) {--failed} else {--passed}
    failed += part[4]
    passed += part[2] - part[4]
  }
  END {printf "%d test cases passed, %d failed\n", passed, failed}'
exit "$status"
