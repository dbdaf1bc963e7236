#!/usr/bin/env bash
# word_count on a real server: counts that go on, errors in one sentence, Ctrl-C, a crash, the views.
# CTEST_TIMEOUT: 600
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [[ -z ${LAZYWRITER_PGCTL-} ]]; then exec "$root/cmake/throwaway_postgres.sh" "$0" "$@"; fi
program=${LAZYWRITER_BINARY_DIR:?the build directory}/examples/word_count
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
expect() {  # description, then a command that must succeed
  local what=$1
  shift
  if ! "$@"; then
    failures=$((failures + 1))
    echo "FAILED: $what"
    sed 's/^/  out: /' "$work/out"
    sed 's/^/  err: /' "$work/err"
  fi
}
word_count() {  # sets status; output in $work/out and $work/err
  local fixed=()
  if setarch -R true 2>/dev/null; then fixed=(setarch -R); fi
  status=0
  "${fixed[@]}" "$program" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}
query() { psql -XqAt -d "$DATABASE_URL" -c "$1"; }
exits_with() { [[ $status -eq $1 ]]; }
result_has() { grep -qE "^RESULT .*\b$1( |$)" "$work/out"; }
one_sentence() {  # on standard error, beginning with the program's name and holding $1
  [[ $(wc -l <"$work/err") -eq 1 ]] && grep -q "^word_count: .*$1" "$work/err"
}
table_is() { [[ $(query "select word, occurrences from word_count order by word collate \"C\"") == "$1" ]]; }

mkdir "$work/texts"
printf 'The cat, the dog.\nCAT x1y \xc3\xa4b' >"$work/texts/a"
printf "dog's" >"$work/texts/b"
counted=$'b|1\ncat|2\ndog|2\ns|1\nthe|2\nx|1\ny|1'

# --- counting
word_count --sample 20 "$work/texts"
expect "a first run succeeds" exits_with 0
expect "the table holds the counts" table_is "$counted"
expect "the result line tells them" result_has "words=10 table_words=7 table_occurrences=10 rows_written=7 .*unsaved=0"
expect "the most frequent words are shown" grep -qE '^ +2  cat$' "$work/out"
expect "the write-through is measured on a sample" grep -q 'measured on a sample of 10 words' "$work/out"
expect "progress without a terminal is lines" grep -q '^counting: 100 %' "$work/err"
expect "nothing is left of the sample" [ "$(query "select count(*) from pg_class where relname like 'word_count_scratch%'")" = 0 ]
expect "ids and times come from the database" [ "$(query 'select count(distinct id) from word_count where updated_at is not null')" = 7 ]

word_count --sample 0 "$work/texts"
expect "a second run goes on" table_is $'b|2\ncat|4\ndog|4\ns|2\nthe|4\nx|2\ny|2'
expect "rows keep their ids" [ "$(query 'select max(id) - min(id) from word_count')" = 6 ]

word_count --sample 0 --capacity 1 --threads 8 --repeat 50 "$work/texts"
expect "counts are exact with a tiny cache and many threads" table_is $'b|52\ncat|104\ndog|104\ns|52\nthe|104\nx|52\ny|52'

word_count --sample 0 --watch "$work/texts"
expect "--watch without a terminal is lines" grep -qE '^[0-9]+ s: 10 \([0-9,]+ /s\) hit .* dirty 0 .* flush .* ms parked 0$' "$work/out"
expect "--watch and no terminal: no escape sequences" [ "$(grep -c $'\x1b' "$work/out")" = 0 ]

# On a terminal of 80 columns each frame goes back over the one before, and no line reaches the edge.
launcher=
if setarch -R true 2>/dev/null; then launcher="setarch -R"; fi
script -qec "stty cols 80 rows 24; $launcher '$program' --sample 0 --watch '$work/texts'" /dev/null >"$work/out" 2>"$work/err" </dev/null
frame_lines() { grep -E $'\x1b\\[K' "$work/out" | sed -E $'s/\x1b\\[[0-9]*[A-Z]//g; s/\r//g'; }
expect "--watch on a terminal: a frame is redrawn in place" grep -q $'\x1b\\[8A\rword_count' "$work/out"
expect "--watch on a terminal: frames of eight lines" [ $(($(frame_lines | wc -l) % 8)) = 0 ]
expect "--watch on a terminal: no line is wider than 79" [ "$(frame_lines | awk 'length > most { most = length } END { print most }')" = 79 ]
expect "--watch on a terminal: the last frame tells the outcome" [ "$(frame_lines | grep '^word_count' | tail -n 1 | grep -c 'all is saved')" = 1 ]

# --- what goes wrong
word_count
expect "no files: status 2" exits_with 2
expect "no files: one sentence" one_sentence "no file or directory given"
word_count --threads none "$work/texts"
expect "a wrong number: one sentence" one_sentence "threads needs a number"
word_count "$work/texts/missing"
expect "a missing file: status 1" exits_with 1
expect "a missing file: one sentence" one_sentence "cannot read .*missing: No such file"
if [[ $(id -u) != 0 ]]; then
  touch "$work/texts/secret" && chmod 0 "$work/texts/secret"
  word_count "$work/texts"
  expect "an unreadable file: one sentence" one_sentence "cannot read .*secret: Permission denied"
  rm -f "$work/texts/secret"
fi
DATABASE_URL="postgresql://nobody:geheim@127.0.0.1:1/none" word_count "$work/texts"
expect "no server: status 1" exits_with 1
expect "no server: one sentence" one_sentence "."
expect "no server: no password" [ "$(grep -c geheim "$work/err")" = 0 ]
DATABASE_URL="geheim:not a connection string" word_count "$work/texts"
expect "a wrong connection string: status 1" exits_with 1
expect "a wrong connection string: no password" [ "$(grep -c geheim "$work/err")" = 0 ]
DATABASE_URL='' word_count "$work/texts"
expect "no database given: one sentence" one_sentence "no database given"

query 'alter table word_count rename to kept; create table word_count (word integer primary key, number bigint)'
word_count "$work/texts"
expect "a misfit table: status 1" exits_with 1
expect "a misfit table: one sentence with every fault" one_sentence "occurrences"
query 'drop table word_count; alter table kept rename to word_count'

query 'alter table word_count add constraint no_cats check (word <> $$cat$$) not valid'
before=$(query "select sum(occurrences) from word_count where word <> 'cat'")
word_count --sample 0 "$work/texts"
expect "a word the table rejects: status 1" exits_with 1
expect "a word the table rejects is named" grep -q 'not saved: cat: .*no_cats' "$work/err"
expect "the others are stored" [ "$(query "select sum(occurrences) from word_count where word <> 'cat'")" = $((before + 8)) ]
query 'alter table word_count drop constraint no_cats'

# --- the end before the end
query 'truncate word_count'
seq 1 200000 | awk '{print "word", "again", "and", "again"}' >"$work/long"
start() {  # in the background, so that it can be sent a signal; waits until it has counted something
  local fixed=()
  if setarch -R true 2>/dev/null; then fixed=(setarch -R); fi
  "${fixed[@]}" env --default-signal=INT "$program" --sample 0 --repeat 1000 --watch "$work/long" >"$work/out" 2>"$work/err" &
  child=$!
  for _ in $(seq 200); do
    [[ $(query 'select count(*) from word_count') -gt 0 ]] && return
    kill -0 "$child" 2>/dev/null || return
    sleep 0.1
  done
}
start
kill -INT "$child"
status=0
wait "$child" || status=$?
expect "Ctrl-C: status 130" exits_with 130
expect "Ctrl-C: says so" grep -q 'interrupted' "$work/err"
expect "Ctrl-C: everything counted is saved" [ "$(query 'select sum(occurrences) from word_count')" = "$(sed -n 's/^RESULT words=\([0-9]*\) .*/\1/p' "$work/out")" ]

query 'truncate word_count'
start
kill -KILL "$child"
wait "$child" 2>/dev/null
expect "a crash: the rows are whole" [ "$(query "select count(*) from word_count where occurrences > 0 and word in ('word', 'again', 'and')")" = 3 ]
query 'truncate word_count'
word_count --sample 0 "$work/texts"
expect "after a crash it works again" table_is "$counted"

# --- the server comes back, and does not
query 'truncate word_count'
start
"$LAZYWRITER_PGCTL" kill
"$LAZYWRITER_PGCTL" start
kill -INT "$child"
status=0
wait "$child" || status=$?
expect "a server that was killed and came back: status 130" exits_with 130
expect "a server that was killed and came back: nothing is missing" [ "$(query 'select sum(occurrences) from word_count')" = "$(sed -n 's/^RESULT words=\([0-9]*\) .*/\1/p' "$work/out")" ]

exit $((failures != 0))
