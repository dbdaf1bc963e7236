#!/usr/bin/env bash
# Measures everything: installs what is missing, builds in Release, runs, prints the budgets with held or
# missed, and draws the charts.
#
#   bench/run.sh [--quick] [--rounds N] [--boost-include DIR]
#
#   --quick              a few seconds: the small sizes once, into the build directory; for seeing that it runs
#   --rounds N           how often everything is repeated (5); ratios are medians over the rounds
#   --boost-include DIR  headers of Boost 1.83 or newer, to compare with concurrent_flat_map
#
# Results: bench/results/. DATABASE_URL: the PostgreSQL to use; without it a throw-away server is started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../cmake/apt_install.sh
source cmake/apt_install.sh

quick='' rounds=5 boost=''
while [[ $# -gt 0 ]]; do
  case $1 in
    --quick) quick=yes ;;
    --rounds) rounds=${2:?--rounds needs a number}; shift ;;
    --boost-include) boost=$(cd "${2:?--boost-include needs a directory}" && pwd); shift ;;
    -h | --help) sed -n '2,/^set/{/^#/!d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "unknown option $1; see --help" >&2; exit 64 ;;
  esac
  shift
done

apt_install g++ cmake ninja-build pkg-config libbenchmark-dev valgrind libtbb-dev '?libcuckoo-dev' \
  libpqxx-dev postgresql python3 '?librsvg2-bin'

build=build/bench
mkdir -p build
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLAZYWRITER_BUILD_TESTS=OFF \
  -DLAZYWRITER_BUILD_EXAMPLES=OFF -DLAZYWRITER_INSTALL=OFF -DLAZYWRITER_BOOST_INCLUDE="$boost" >"$build.log" 2>&1 ||
  { cat "$build.log" >&2; exit 1; }
cmake --build "$build" --target operations latency memory flush_overhead flush_postgres instructions hit_ratio

results=bench/results rounds_directory=$build/rounds
programs=(operations latency memory flush_overhead flush_postgres)
options=(--benchmark_min_time=0.1)
if [[ $quick ]]; then
  rounds=1 results=$build/results rounds_directory=$build/rounds_quick
  programs=(operations memory flush_overhead)
  options=(--benchmark_min_time=0.005 '--benchmark_filter=/20000/|overhead/100000/1000/')
fi
rm -rf "$rounds_directory"
mkdir -p "$results" "$rounds_directory"

measure() {  # program round
  local command=("$build/bench/$1" "${options[@]}" "--benchmark_out=$rounds_directory/$1.$2.json"
    --benchmark_out_format=json)
  if [[ $1 == flush_postgres && -z ${DATABASE_URL-} ]]; then
    command=(cmake/throwaway_postgres.sh "${command[@]}")
  fi
  "${command[@]}" >"$rounds_directory/$1.$2.log" 2>&1 || {
    tail -n 20 "$rounds_directory/$1.$2.log" >&2
    exit 1
  }
}
for ((round = 1; round <= rounds; ++round)); do
  for program in "${programs[@]}"; do
    echo "round $round of $rounds: $program ($(date +%H:%M:%S))"
    measure "$program" "$round"
  done
done

{
  sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1
  echo "$(nproc) processors, Linux $(uname -r | cut -d- -f1)"
  compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
  echo "$("$compiler" --version | head -n 1), Release"
  echo "PostgreSQL: $(psql --version 2>/dev/null || echo none)"
  echo "$rounds rounds, medians; $(git log -1 --format='%h of %cs' 2>/dev/null || true)"
} >"$results/machine.txt"
echo
cat "$results/machine.txt"
echo
bench/instructions.sh "$build/bench/instructions" "$results/instructions.csv" | tee "$results/instructions.txt"
echo
python3 bench/budgets.py "$rounds_directory" --csv "$results/results.csv" ${quick:+--only-measured} | tee "$results/budgets.txt"
python3 bench/plot.py "$rounds_directory" "$results"
"$build/bench/hit_ratio" --csv >"$results/hit_ratio.csv"
python3 bench/plot_hit_ratio.py "$results/hit_ratio.csv" "$results/hit_ratio.svg"
if command -v rsvg-convert >/dev/null; then
  for chart in "$results"/*.svg; do
    rsvg-convert --zoom 1.5 "$chart" -o "${chart%.svg}.png"
  done
fi
echo "Results and charts: $results/"
