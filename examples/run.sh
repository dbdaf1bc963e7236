#!/usr/bin/env bash
# Installs what is missing, builds word_count, counts the words of texts into PostgreSQL through the cache
# and checks the table against a count made with coreutils.
#
#   examples/run.sh [OPTION...] [FILE-OR-DIRECTORY...]
#
# Without files it takes the licence and copyright texts of the system. Without DATABASE_URL it starts a
# PostgreSQL server of its own in a temporary directory, and nothing of that is left afterwards.
#
# CXX names another compiler than g++, for example g++-12.
#
#   --twice      counts a second time into the same table: the counts must go on, not start again
#   other ones   go to word_count; its --help lists them
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
word_count=$root/build/examples/examples/word_count

# Words as word_count defines them: the longest runs of the letters A-Z and a-z, in lower case.
# Prints "word count" per line, sorted by word.
count_with_coreutils() {
  find -H "$@" -xtype f -exec sh -c 'for file; do cat -- "$file"; echo; done' sh {} + |
    LC_ALL=C tr -cs 'A-Za-z' '\n' | LC_ALL=C tr 'A-Z' 'a-z' | LC_ALL=C sed '/^$/d' |
    LC_ALL=C sort | LC_ALL=C uniq -c | awk '{print $2, $1}'
}
table() {  # the table as it is, in the same form; nothing where there is no table yet
  local there
  there=$(psql -XqAt -d "$DATABASE_URL" -c "select to_regclass('word_count') is not null")
  if [[ $there == t ]]; then
    psql -XqAt -F ' ' -d "$DATABASE_URL" -c 'select word, occurrences from word_count' | LC_ALL=C sort
  fi
}
sum() {  # adds up such lists; the second is taken $1 times
  awk '{n[$1] += $2 * times} END {for (w in n) print w, n[w]}' times=1 "$2" times="$1" "$3" | LC_ALL=C sort
}

# --- what is asked for ------------------------------------------------------------------------------
options=() paths=() twice= repeat=1
arguments=("$@")
while [[ $# -gt 0 ]]; do
  case $1 in
    --twice) twice=yes ;;
    --database | --capacity | --threads | --repeat | --top | --sample)
      [[ $# -gt 1 ]] || { echo "$1 needs a value" >&2 && exit 2; }
      if [[ $1 == --database ]]; then export DATABASE_URL=$2; fi
      if [[ $1 == --repeat ]]; then repeat=$2; fi
      options+=("$1" "$2") && shift
      ;;
    --help | -h) sed -n '2,/^set/{/^#/!d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    --) shift && paths+=("$@") && break ;;
    -?*) options+=("$1") ;;
    *) paths+=("$1") ;;
  esac
  shift
done
if [[ ${#paths[@]} -eq 0 ]]; then
  paths=(/usr/share/common-licenses)
  for text in /usr/share/doc/*/copyright; do
    if [[ -f $text ]]; then paths+=("$text"); fi  # some are links to what is not installed
  done
fi

# --- install and build ------------------------------------------------------------------------------
if [[ ${LAZYWRITER_WORD_COUNT_IS_BUILT-} != "$root" ]]; then
  # shellcheck source=cmake/apt_install.sh
  source "$root/cmake/apt_install.sh"
  read -ra packages <<<"$(compiler_packages "${CXX:-g++}")"
  packages+=(cmake ninja-build pkg-config libpqxx-dev postgresql-client)
  if [[ -z ${DATABASE_URL-} ]]; then packages+=(postgresql); fi
  apt_install "${packages[@]}"
  generator=()
  if [[ ! -e $root/build/examples/CMakeCache.txt ]] && command -v ninja >/dev/null; then generator=(-G Ninja); fi
  cmake -S "$root" -B "$root/build/examples" "${generator[@]}" --log-level=WARNING -DCMAKE_BUILD_TYPE=Release \
    -DLAZYWRITER_BUILD_TESTS=OFF -DLAZYWRITER_BUILD_BENCH=OFF -DLAZYWRITER_BUILD_EXAMPLES=ON -DLAZYWRITER_PQXX=ON
  cmake --build "$root/build/examples" --target word_count --parallel "$(nproc)"
  export LAZYWRITER_WORD_COUNT_IS_BUILT=$root
  if [[ -z ${DATABASE_URL-} ]]; then
    exec "$root/cmake/throwaway_postgres.sh" "$0" ${arguments[@]+"${arguments[@]}"}
  fi
fi

# --- count and check --------------------------------------------------------------------------------
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for round in first second; do
  table >"$work/before" 2>/dev/null || true  # if the database does not answer, word_count says so
  "$word_count" ${options[@]+"${options[@]}"} -- "${paths[@]}"

  count_with_coreutils "${paths[@]}" >"$work/counted"
  sum "$repeat" "$work/before" "$work/counted" >"$work/expected"
  table >"$work/after"
  echo
  if ! diff "$work/expected" "$work/after" >"$work/differences"; then
    echo "The table differs from the count made with coreutils (< expected, > table):"
    head -n 20 "$work/differences"
    echo "$(grep -c '^[<>]' "$work/differences") lines differ"
    exit 1
  fi
  echo "The table equals the count made with coreutils: $(awk '{n += $2} END {printf "%d occurrences of %d words", n, NR}' "$work/after")"
  if [[ -z $twice || $round == second ]]; then break; fi
  echo
done
