#!/usr/bin/env bash
# The throw-away server leaves nothing behind: no process, no directory, no shared memory, whatever ends it.
set -uo pipefail
launcher=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/cmake/throwaway_postgres.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

check() {  # check WHAT COMMAND...: the command must succeed
  local what=$1
  shift
  if "$@"; then echo "ok    $what"; else echo "FAIL  $what" && failures=$((failures + 1)); fi
}
is() { [[ $1 == "$2" ]] || { echo "      is '$1', should be '$2'"; false; }; }

# What a run must not leave: the command of each run writes down what it saw.
remember='echo "$LAZYWRITER_PGDATA" >"$0.data"; tail -n 1 "${LAZYWRITER_PGDATA%/data}/shared_memory" >"$0.shm"'
nothing_left() {  # nothing_left NAME
  local data directory segment
  data=$(cat "$work/$1.data") || return 1
  directory=${data%/data}
  segment=$(awk '{print $2}' "$work/$1.shm")
  for _ in $(seq 150); do  # after SIGKILL of the launcher the guardian needs a moment
    if [[ ! -e $directory && -z $(find /proc/[0-9]* -maxdepth 1 -name cwd -lname "$directory*" 2>/dev/null) ]] &&
      ! grep -qaF "$directory" /proc/[0-9]*/cmdline 2>/dev/null &&
      ! awk -v id="$segment" 'NR > 1 && $2 == id {found = 1} END {exit !found}' /proc/sysvipc/shm; then
      return 0
    fi
    sleep 0.1
  done
  echo "      left: $(ls -d "$directory" 2>&1); $(grep -laF "$directory" /proc/[0-9]*/cmdline 2>/dev/null | tr '\n' ' ')"
  return 1
}
run() {  # run NAME SCRIPT: the script in a shell beside a server
  "$launcher" bash -c "$remember; $2" "$work/$1" >"$work/$1.out" 2>&1
}
start() {  # start NAME SCRIPT: the same in the background, with a process group of its own; sets $pid
  setsid env --default-signal=INT,QUIT "$launcher" bash -c "$remember; $2" "$work/$1" >"$work/$1.out" 2>&1 &
  pid=$!
  for _ in $(seq 300); do
    [[ -e $work/$1.ready ]] && return 0
    sleep 0.1
  done
  cat "$work/$1.out"
  return 1
}
psql='psql -v ON_ERROR_STOP=1 -qAtX "$DATABASE_URL"'

run success "$psql -c 'select 1'; exit 0"
check "success is passed on" is $? 0
check "the server answers on its socket" is "$(cat "$work/success.out")" 1
check "nothing left after success" nothing_left success

run failure 'exit 7'
check "failure is passed on" is $? 7
check "nothing left after failure" nothing_left failure

run tcp 'psql -qAtX "$DATABASE_URL_TCP" -c "select 2"'
check "the server answers on TCP" is "$(cat "$work/tcp.out")" 2
run tcp_no_password 'psql -wqAtX "${DATABASE_URL_TCP/:*@/@}" -c "select 2"'
check "but not without the password" is $? 2

PGHOST=nowhere PGSERVICE=none run clean_environment 'env | grep -c "^PG[A-Z]*="'
check "no PG variable reaches the command" is "$(cat "$work/clean_environment.out")" 0

echo hello | "$launcher" cat >"$work/input.out"
check "standard input reaches the command" is "$(cat "$work/input.out")" hello

run control "
  $psql -c 'create table t as select 1 as a'
  first=\$(\$LAZYWRITER_PGCTL pid)
  \$LAZYWRITER_PGCTL restart && $psql -c 'select a from t'
  \$LAZYWRITER_PGCTL kill; \$LAZYWRITER_PGCTL pid && echo alive after kill
  $psql -c 'select a from t' 2>/dev/null && echo answers after kill
  \$LAZYWRITER_PGCTL start && $psql -c 'select a + 1 from t'
  [[ \$(\$LAZYWRITER_PGCTL pid) != \"\$first\" ]] && echo other
  \$LAZYWRITER_PGCTL pause
  timeout 1 $psql -c 'select 9' && echo answers while paused
  \$LAZYWRITER_PGCTL continue && $psql -c 'select a + 2 from t'
  \$LAZYWRITER_PGCTL stop && \$LAZYWRITER_PGCTL start && $psql -c 'select a + 3 from t'"
check "restart, kill, start, pause, continue, stop" is "$(tr '\n' ' ' <"$work/control.out")" "1 2 other 3 4 "
check "nothing left after them" nothing_left control

for state in stop kill pause; do
  run "server_$state" "\$LAZYWRITER_PGCTL $state; exit 5"
  check "status after $state of the server" is $? 5
  check "nothing left when the command leaves the server after $state" nothing_left "server_$state"
done

run postmaster_killed 'kill -9 "$($LAZYWRITER_PGCTL pid)"; exit 0'
check "nothing left when someone killed only the postmaster" nothing_left postmaster_killed

start ctrl_c 'touch "$0.ready"; sleep 100'
kill -INT -- "-$pid"  # what a terminal does: the whole group
wait "$pid"
check "Ctrl-C ends it" is $? 130
check "nothing left after Ctrl-C" nothing_left ctrl_c

start graceful 'trap "echo bye; exit 0" INT; touch "$0.ready"; while :; do sleep 0.1; done'
kill -INT -- "-$pid"
wait "$pid"
check "a command may end by itself on Ctrl-C" is "$(cat "$work/graceful.out")" bye
check "nothing left then" nothing_left graceful

for signal in TERM HUP; do
  start "$signal" 'touch "$0.ready"; sleep 100; sleep 100'
  kill -s $signal "$pid"  # the launcher only
  wait "$pid"
  check "SIG$signal ends it" is $? $((128 + $(kill -l $signal)))
  check "nothing left after SIG$signal" nothing_left "$signal"
  check "nor what the command had started" \
    is "$(grep -laF "$(cat "$work/$signal.data")" /proc/[0-9]*/environ 2>/dev/null)" ""
done

start killed 'touch "$0.ready"; exec sleep 3'
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check "nothing left after SIGKILL of the launcher" nothing_left killed

start tree_killed 'touch "$0.ready"; exec sleep 100'
kill -KILL -- "-$pid"  # as ctest does when a test's time is over
wait "$pid" 2>/dev/null
check "nothing left after SIGKILL of the whole group" nothing_left tree_killed

# A kept cluster: made once, copied afterwards, never changed by a run.
export LAZYWRITER_PG_TEMPLATE=$work/kept
run first_kept "$psql -c 'create table t as select 3 as a'; cat \$(dirname \$LAZYWRITER_PGDATA)/initdb.log >\$0.initdb"
check "the first run makes the cluster" test -s "$work/first_kept.initdb"
kept=$(find "$work/kept" -mindepth 1 -maxdepth 1)
check "and keeps one" test -e "$kept/data/PG_VERSION"
sum_of_kept() { (cd "$kept" && find . -type f -exec cksum {} + | sort | cksum); }
before=$(sum_of_kept)
run second_kept "ls \$(dirname \$LAZYWRITER_PGDATA)/initdb.log; psql -qAtX \$DATABASE_URL_TCP -c \"select to_regclass('t') is null\""
check "the second copies it, as it was before anything was done with it" is "$(tail -n 1 "$work/second_kept.out")" t
check "without another initdb" grep -q 'initdb.log.*No such file' "$work/second_kept.out"
check "nothing left after either" eval 'nothing_left first_kept && nothing_left second_kept'
check "the kept one is unchanged" is "$(sum_of_kept)" "$before"
check "and nobody else may read its password" is "$(stat -c %a "$kept" "$kept/password" | tr '\n' ' ')" "700 600 "
rm -r "$work/kept"
pids=()
for name in one two three; do run "together_$name" "$psql -c 'select 4'" & pids+=($!); done
wait "${pids[@]}"
check "several that come at once all get a server" is "$(cat "$work"/together_*.out | tr '\n' ' ')" "4 4 4 "
check "and keep one cluster" is "$(find "$work/kept" -mindepth 1 -maxdepth 1 | wc -l)" 1

echo
if [[ $failures -gt 0 ]]; then
  echo "$failures failed"
  exit 1
fi
echo "all passed"
