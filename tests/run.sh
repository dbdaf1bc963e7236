#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test, those on PostgreSQL included, on a
# server that the tests start and remove themselves.
#
#   tests/run.sh [OPTION...] [-- CTEST_ARGUMENT...]
#
#   --no-postgres             leave out what needs PostgreSQL and libpqxx
#   --sanitize address|thread with AddressSanitizer and UndefinedBehaviorSanitizer, or ThreadSanitizer
#   --compiler PROGRAM        for example clang++-14 (default: g++)
#   --build-dir DIRECTORY     default: build/tests, or one named after the options
#   --jobs N                  default: one per processor
#   -- ARGUMENT...            for ctest, for example -- -L unit
#
# From the environment: LAZYWRITER_SOAK_SECONDS, how long tests/pqxx/soak_test.cpp takes (default: 120, with a
# sanitizer 30); LAZYWRITER_SEED, of every random test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/apt_install.sh

compiler=g++ sanitize= postgres=ON build= jobs=$(nproc)
while [[ $# -gt 0 ]]; do
  case $1 in
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
  [[ $postgres == ON ]] || build+=-no-postgres
fi

packages=(cmake ninja-build pkg-config libgtest-dev libgmock-dev libbenchmark-dev python3
  python3-prometheus-client python3-yaml git)
read -ra compiler_names <<<"$(compiler_packages "$compiler")"
packages+=("${compiler_names[@]}")
if [[ $postgres == ON ]]; then packages+=(postgresql postgresql-client pgbouncer openssl libpqxx-dev); fi
apt_install "${packages[@]}"

# Optimised enough for tests full of threads, quick to compile, assertions on.
options=(
  -DCMAKE_CXX_COMPILER="$compiler"
  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1"
  -DLAZYWRITER_WERROR=ON -DLAZYWRITER_SANITIZE="$sanitize" -DLAZYWRITER_POSTGRES_TESTS="$postgres"
  -DLAZYWRITER_BUILD_TESTS=ON -DLAZYWRITER_BUILD_EXAMPLES=ON)
if [[ $postgres == OFF ]]; then options+=(-DLAZYWRITER_PQXX=OFF); fi
if [[ -z $sanitize ]]; then
  options+=(-DLAZYWRITER_BUILD_BENCH=ON -DCMAKE_VERIFY_INTERFACE_HEADER_SETS=ON)
else
  options+=(-DLAZYWRITER_BUILD_BENCH=OFF)
fi
if [[ ! -e $build/CMakeCache.txt ]] && command -v ninja >/dev/null; then options+=(-G Ninja); fi

cmake -S . -B "$build" "${options[@]}"
cmake --build "$build" --parallel "$jobs"
if cmake --build "$build" --target help 2>/dev/null | grep -q all_verify_interface_header_sets; then
  cmake --build "$build" --parallel "$jobs" --target all_verify_interface_header_sets
fi
exec ctest --test-dir "$build" --output-on-failure --no-tests=error --parallel "$jobs" "$@" </dev/null
