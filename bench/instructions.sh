#!/usr/bin/env bash
# Prints what an operation costs in numbers that no neighbour of the machine disturbs, beside a raw
# std::unordered_map doing the same: instructions, and lines of memory that a cache of 512 KB lacks
# (callgrind's model of what one core has for itself; of what is fetched ahead it counts what is used).
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
operations=$(valgrind --tool=callgrind --collect-atstart=no --cache-sim=yes --LL=524288,8,64 \
  --callgrind-out-file="$directory/counts" \
  "$program" 2>"$directory/log" | sed -n 's/^operations \([0-9]*\) .*/\1/p') || {
  cat "$directory/log" >&2
  exit 1
}

# A file for each operation: "implementation operation event event... number number...".
for file in "$directory"/counts.*; do
  sed -n 's/^desc: Trigger: Client Request: //p; s/^events: //p; s/^\(summary\|totals\): //p' "$file" | head -3 | paste -sd' '
done | awk -v operations="$operations" -v csv="$csv" '
  function table(measure, format, o, i) {
    printf "%-15s", ""
    for (o = 1; o in ops; ++o) printf " %13s", ops[o]
    printf "\n"
    for (i = 1; i <= n; ++i) {
      printf "%-15s", names[i]
      for (o = 1; o in ops; ++o) printf " %13s", cell(measure, format, names[i], ops[o])
      printf "\n"
    }
  }
  function cell(measure, format, name, op) {
    if (!((name, op, measure) in cost)) return "-"
    return sprintf(format " %5s", cost[name, op, measure], ratio(measure, name, op, "x"))
  }
  function ratio(measure, name, op, sign, floor) {
    floor = ("unordered_map", op, measure) in cost ? cost["unordered_map", op, measure] : 0
    return floor > 0 ? sprintf("%s%.2f", sign, cost[name, op, measure] / floor) : ""
  }
  NF == 20 {
    for (e = 3; e <= 11; ++e) event[$e] = $(e + 9) / operations
    cost[$1, $2, "instructions"] = event["Ir"]
    cost[$1, $2, "lines"] = event["DLmr"] + event["DLmw"]
    if ($1 != "none" && !($1 in seen)) { seen[$1]; names[++n] = $1 }
  }
  END {
    for (each in cost) {
      split(each, part, SUBSEP)
      if (part[1] != "none") cost[each] -= cost["none", "loop", part[3]]
    }
    split("visit get get_into put put_again put_drain update miss put_new", ops, " ")
    print "Instructions per operation (and as a ratio to the raw std::unordered_map)"
    table("instructions", "%7.0f")
    print "\nLines of memory per operation (and as that ratio)"
    table("lines", "%7.1f")
    if (csv == "") exit
    print "implementation,operation,instructions,ratio_to_unordered_map,lines,ratio_of_lines" > csv
    for (i = 1; i <= n; ++i)
      for (o = 1; o in ops; ++o)
        if ((names[i], ops[o], "lines") in cost)
          printf "%s,%s,%.1f,%s,%.2f,%s\n", names[i], ops[o],
            cost[names[i], ops[o], "instructions"], ratio("instructions", names[i], ops[o], ""),
            cost[names[i], ops[o], "lines"], ratio("lines", names[i], ops[o], "") > csv
  }'
