#!/usr/bin/env bash
# Prints instructions per operation beside a raw std::unordered_map doing the same.
#
#   bench/instructions.sh [PROGRAM [CSV]]     PROGRAM: the built bench/instructions; CSV: also written there
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${1:-$here/../build/bench/bench/instructions}
csv=${2:-}
if [[ ! -x $program ]]; then
  echo "$program is not there; bench/run.sh builds it" >&2
  exit 1
fi
if ! command -v valgrind >/dev/null; then
  echo "valgrind is needed (Debian and Ubuntu: install valgrind)" >&2
  exit 1
fi

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
operations=$(valgrind --tool=callgrind --collect-atstart=no --callgrind-out-file="$directory/counts" \
  "$program" 2>"$directory/log" | sed -n 's/^operations \([0-9]*\) .*/\1/p') || {
  cat "$directory/log" >&2
  exit 1
}

for file in "$directory"/counts.*; do
  sed -n 's/^desc: Trigger: Client Request: //p; s/^\(summary\|totals\): \([0-9]*\).*/\2/p' "$file" | head -2 | paste -sd' '
done | awk -v operations="$operations" -v csv="$csv" '
  NF == 3 { count[$1, $2] = $3 / operations
            if ($1 == "none") next
            if (!($1 in seen)) { seen[$1]; names[++n] = $1 } }
  END {
    split("visit get get_into put put_again put_drain update miss put_new", ops, " ")
    if (csv != "") print "implementation,operation,instructions,ratio_to_unordered_map" > csv
    printf "Instructions per operation (and as a ratio to the raw std::unordered_map)\n%-15s", ""
    for (o = 1; o in ops; ++o) printf " %13s", ops[o]
    printf "\n"
    for (i = 1; i <= n; ++i) {
      printf "%-15s", names[i]
      for (o = 1; o in ops; ++o) {
        if (!((names[i], ops[o]) in count)) { printf " %13s", "-"; continue }
        value = count[names[i], ops[o]] - count["none", "loop"]
        floor = ("unordered_map", ops[o]) in count ? count["unordered_map", ops[o]] - count["none", "loop"] : 0
        ratio = floor > 0 ? sprintf("%.2f", value / floor) : ""
        printf " %7.0f %5s", value, ratio == "" ? "" : "x" ratio
        if (csv != "") printf "%s,%s,%.1f,%s\n", names[i], ops[o], value, ratio > csv
      }
      printf "\n"
    }
  }'
