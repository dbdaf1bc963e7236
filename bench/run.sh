#!/usr/bin/env bash
# Measures everything: installs what is missing, builds in Release, runs, prints the budgets with held or
# missed, and draws the charts.
#
#   bench/run.sh [--quick] [--rounds N] [--patience MINUTES] [--boost-include DIR]
#
#   --quick              a few seconds: the small sizes once, into the build directory; for seeing that it runs
#   --rounds N           how often everything is repeated (5); ratios are medians over the rounds. Operations
#                        run in two processes a round and count once for each: which memory a process got
#                        decides much. In each, operations and implementations take turns in random order
#   --patience MINUTES   how long to wait, in all, for the processor's last cache where others fill it (0); what
#                        they disturbed is measured again, twice at most
#   --boost-include DIR  headers of Boost 1.83 or newer, to compare with concurrent_flat_map
#
# Results: bench/results/. DATABASE_URL: the PostgreSQL to use; without it a throw-away server is started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../cmake/apt_install.sh
source cmake/apt_install.sh

quick='' rounds=5 patience=0 boost=''
while [[ $# -gt 0 ]]; do
  case $1 in
    --quick) quick=yes ;;
    --rounds) rounds=${2:?--rounds needs a number}; shift ;;
    --patience) patience=${2:?--patience needs a number of minutes}; shift ;;
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
cmake --build "$build" --target operations latency memory flush_overhead flush_postgres instructions hit_ratio \
  last_level_cache

results=bench/results rounds_directory=$build/rounds
programs=(latency memory flush_overhead flush_postgres)
options=(--benchmark_min_time=0.1)
# What takes turns in one process: everything on one set of residents, since another set replaces it. Many short
# turns rather than a few long ones: whether the last cache is free changes within a second.
resident='^(visit|get|get_into|put|update|mix|put_drain|miss)/[^/]+'
turns=(--benchmark_min_time=0.02 --benchmark_repetitions=7 --benchmark_enable_random_interleaving=true)
processes=2
sets=("$resident/20000/" "$resident/100000/.*/heap" "$resident/1000000/" "$resident/100000/.*/sso" '^put_new/')
if [[ $quick ]]; then
  rounds=1 processes=1 results=$build/results rounds_directory=$build/rounds_quick
  programs=(memory flush_overhead)
  options=(--benchmark_min_time=0.005 '--benchmark_filter=/20000/|overhead/100000/1000/')
  turns=(--benchmark_min_time=0.002 --benchmark_repetitions=3 --benchmark_enable_random_interleaving=true)
  sets=("$resident/20000/" '^put_new/[^/]+/20000/')
fi
rm -rf "$rounds_directory"
mkdir -p "$results" "$rounds_directory"

# Whether the last cache is free; what was found is kept.
cache_log=$rounds_directory/last_level_cache.log
cache_is_free() { "$build/bench/last_level_cache" >>"$cache_log"; }
patience=$((patience * 60))

wait_for_cache() {
  local began=$SECONDS
  until cache_is_free || ((SECONDS - began >= patience)); do sleep 5; done
  patience=$((patience - (SECONDS - began)))
}
measure() {  # name program options...
  local began
  for _ in 1 2 3; do
    wait_for_cache
    began=$SECONDS
    run_program "$@"
    if cache_is_free || ((patience <= 0)); then break; fi
    patience=$((patience - (SECONDS - began)))
  done
}
run_program() {  # name program options...
  local out=$rounds_directory/$1
  local command=("$build/bench/$2" "${@:3}" "--benchmark_out=$out.json" --benchmark_out_format=json)
  if [[ $2 == flush_postgres && -z ${DATABASE_URL-} ]]; then
    command=(cmake/throwaway_postgres.sh "${command[@]}")
  fi
  "${command[@]}" >"$out.log" 2>&1 || {
    tail -n 20 "$out.log" >&2
    exit 1
  }
}
for ((round = 1; round <= rounds; ++round)); do
  for ((process = 1; process <= processes; ++process)); do
    for i in "${!sets[@]}"; do
      echo "round $round of $rounds: operations ${sets[i]}, process $process ($(date +%H:%M:%S))"
      repeat=("${turns[@]}")
      # Fills a map for each repetition, so that one is long.
      if [[ ${sets[i]} == *put_new* ]]; then repeat+=(--benchmark_repetitions=1); fi
      measure "operations_$i.$(((round - 1) * processes + process))" operations "${repeat[@]}" \
        "--benchmark_filter=${sets[i]}"
    done
  done
  for program in "${programs[@]}"; do
    echo "round $round of $rounds: $program ($(date +%H:%M:%S))"
    measure "$program.$round" "$program" "${options[@]}"
  done
done

{
  sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1
  echo "$(nproc) processors, Linux $(uname -r | cut -d- -f1)"
  compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
  echo "$("$compiler" --version | head -n 1), Release"
  echo "PostgreSQL: $(psql --version 2>/dev/null || echo none)"
  sort -k6n "$cache_log" | awk '{ read[NR] = $6; taken += /others/ } END {
    printf "Last cache: taken by others %d of %d times; a read within 4 MB %d ns in the median\n",
      taken, NR, read[int((NR + 1) / 2)] }'
  commit=$(git log -1 --format='%h of %cs' 2>/dev/null || true)
  echo "$rounds rounds, operations in $processes processes each; medians; $commit"
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
