#!/usr/bin/env bash
# Runs a command beside a PostgreSQL server of its own, and leaves nothing behind.
#
#   cmake/throwaway_postgres.sh COMMAND [ARGUMENT...]
#
# The cluster lives in a new temporary directory. The server runs as the caller, or as an unprivileged
# user when the caller is root. The command's exit status is passed on. Afterwards, also after a signal,
# after SIGKILL of this script and whatever the command did to the server, server and directory are gone.
#
# The command finds in its environment:
#   DATABASE_URL        the server by its Unix socket (superuser postgres, no password)
#   DATABASE_URL_TCP    the same server by 127.0.0.1, with a password made for the cluster
#   LAZYWRITER_PGDATA   data directory
#   LAZYWRITER_PGBIN    directory of the server's programs
#   LAZYWRITER_PGLOG    the server's log
#   LAZYWRITER_PGCTL    a program: start | stop | restart | kill | pause | continue | pid
#                       start waits until the server accepts connections; kill is SIGKILL to the
#                       postmaster and every process of it; pause and continue are SIGSTOP and SIGCONT
#                       to all of them; pid prints the postmaster's
# All PG* variables that could redirect a client are taken out of its environment.
#
# Read from the environment:
#   LAZYWRITER_PG_FAST=1   fsync off: quicker, for tests that never crash the machine
#   LAZYWRITER_PG_SETTINGS further lines for postgresql.conf
#   LAZYWRITER_PG_TEMPLATE a directory in which a new cluster is kept, password included, for later runs to
#                          copy, which is quicker than initdb. Only this is left behind
set -uo pipefail

# ---------------------------------------------------------------------------------------------------
# The guardian: a process in a session of its own that waits for the end of the launcher (end of file
# on descriptor 3) and then removes everything. What it says goes to the launcher's descriptor 8.
if [[ ${1-} == --guardian ]]; then
  directory=$2
  trap '' INT TERM HUP QUIT PIPE
  cd /
  read -r -u 3 _ || true
  if [[ -x $directory/pgctl ]]; then "$directory/pgctl" destroy; fi
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf -- "$directory" 2>/dev/null && break
    sleep 0.2
  done
  if [[ -e $directory ]]; then echo "throwaway_postgres: could not remove $directory"; fi
  exit 0
fi

fail() {
  echo "throwaway_postgres: $*" >&2
  exit 1
}

[[ $# -gt 0 ]] || { sed -n '2,/^set/{/^#/!d;s/^# \{0,1\}//;p}' "$0" >&2; exit 64; }

# ---------------------------------------------------------------------------------------------------
# The server's programs: the newest Debian package, else pg_config, else PATH.
find_server_programs() {
  local candidate
  while read -r candidate; do
    if [[ -x $candidate/postgres && -x $candidate/initdb ]]; then echo "$candidate"; return; fi
  done < <(
    find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -Vr
    command -v pg_config >/dev/null && pg_config --bindir 2>/dev/null
    command -v postgres >/dev/null && dirname "$(readlink -f "$(command -v postgres)")"
  )
  return 1
}
pgbin=$(find_server_programs) ||
  fail "no PostgreSQL server found; on Debian and Ubuntu install the package postgresql"

server_user=$(id -un)
if [[ $(id -u) == 0 ]]; then
  command -v setpriv >/dev/null || fail "setpriv (package util-linux) is needed when started as root"
  if id -u postgres >/dev/null 2>&1; then server_user=postgres; else server_user=nobody; fi
fi
as_server() {  # runs a command as the server's user, in the directory, without our descriptors
  (
    cd "$directory" || exit 1
    if [[ $(id -u) == 0 ]]; then
      exec setpriv --reuid="$server_user" --regid="$(id -g "$server_user")" --clear-groups -- \
        env HOME="$directory" "$@" 8<&- 9>&-
    fi
    exec "$@" 8<&- 9>&-
  )
}

# ---------------------------------------------------------------------------------------------------
# From here on everything is undone by the guardian.
directory= guarded= child= signal= repeat_at= kill_at=
finish() {
  local status=$?
  [[ $BASHPID == $$ ]] || exit "$status"  # a subshell that a signal met before it forgot our traps
  trap '' INT TERM HUP
  if [[ -n $guarded ]]; then
    exec 9>&-
    cat <&8 >&2  # ends when the guardian does
  elif [[ -n $directory ]]; then
    rm -rf -- "$directory"
  fi
  if [[ -n $signal ]]; then
    trap - "$signal" EXIT
    kill -s "$signal" $$
  fi
  exit "$status"
}
send() {  # a signal to the command and to all that it has started
  local pids
  pids=$(cat /proc/[0-9]*/status 2>/dev/null | awk -v root="$child" '
    $1 == "Pid:" {pid = $2}
    $1 == "PPid:" {children[$2] = children[$2] " " pid}
    END {list = root; for (n = split(list, todo); n > 0; n = split(next_ones, todo)) {
      next_ones = ""
      for (i = 1; i <= n; ++i) next_ones = next_ones children[todo[i]]
      list = list next_ones
    } print list}')
  # shellcheck disable=SC2086
  kill -s "$1" $pids 2>/dev/null
}
on_signal() {
  [[ $BASHPID == $$ ]] || exit 1
  if [[ -z $child ]]; then
    signal=$1
    exit 1
  fi
  if [[ -n $signal ]]; then
    send KILL  # the second signal: no more patience
    return
  fi
  signal=$1
  # The terminal sends SIGINT to the command as well: give that one time before it is repeated.
  if [[ $1 == INT ]]; then
    repeat_at=$((SECONDS + 5))
  else
    send "$1"
    kill_at=$((SECONDS + 20))
  fi
}
alive() {  # is the process there, and more than a status to be fetched?
  local line
  while read -r line; do
    if [[ $line == State:* ]]; then
      [[ $line != *Z* ]]
      return
    fi
  done 2>/dev/null <"/proc/$1/status"
  return 1
}
trap finish EXIT
for name in INT TERM HUP; do trap "on_signal $name" "$name"; done

# A socket's path has at most 107 bytes, and the server's user must be able to reach the directory.
base=${TMPDIR:-/tmp}
if [[ ${#base} -gt 60 || $(id -u) == 0 ]]; then base=/tmp; fi
directory=$(mktemp -d "$base/lazywriter-pg.XXXXXX") || fail "cannot create a directory in $base"
mkfifo -m 600 "$directory/alive" || fail "cannot create a FIFO in $directory"
exec 9<>"$directory/alive" 7<"$directory/alive"
exec 8< <(exec setsid --fork "$BASH" "${BASH_SOURCE[0]}" --guardian "$directory" 3<&7 7<&- 9>&- </dev/null 2>&1)
exec 7<&-
guarded=yes

# ---------------------------------------------------------------------------------------------------
# The control program, generated so that it needs no environment.
pgdata=$directory/data
pglog=$directory/log
{
  echo '#!/usr/bin/env bash'
  printf 'directory=%q pgdata=%q pglog=%q pgbin=%q server_user=%q\n' \
    "$directory" "$pgdata" "$pglog" "$pgbin" "$server_user"
  cat <<'PGCTL'
if [[ $(id -un) != "$server_user" ]]; then
  exec setpriv --reuid="$server_user" --regid="$(id -g "$server_user")" --clear-groups -- "$0" "$@"
fi
cd "$directory" || exit 1

# Every process of the server, orphans of a killed postmaster included: they all work in the data
# directory. Processes that have ended and only wait for their parent do not count.
processes() { find /proc/[0-9]* -maxdepth 1 -name cwd -lname "$pgdata" -printf '%h\n' 2>/dev/null | sed 's|/proc/||'; }
postmaster() { head -n 1 "$pgdata/postmaster.pid" 2>/dev/null; }
running() {  # is the postmaster alive?
  local pid
  pid=$(postmaster) && [[ -n $pid && $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$pgdata" ]]
}
send() {  # a signal to every process of the server
  local pids
  pids=$(processes)
  # shellcheck disable=SC2086
  [[ -z $pids ]] || kill -s "$1" $pids 2>/dev/null
}
kill_all() {
  running && kill -STOP "$(postmaster)" 2>/dev/null  # it must not start new ones meanwhile
  for _ in $(seq 200); do
    [[ -n $(processes) ]] || return 0
    send KILL
    sleep 0.02
  done
  echo "pgctl: processes survive SIGKILL: $(processes | tr '\n' ' ')" >&2
  return 1
}
wait_for_end() {  # $1: tenths of a second
  for _ in $(seq "$1"); do
    [[ -n $(processes) ]] || return 0
    sleep 0.1
  done
  return 1
}
start() {
  local pid
  running && { send CONT; return 0; }
  kill_all || return 1  # backends that outlived their postmaster
  rm -f "$pgdata/postmaster.pid" "$directory"/.s.PGSQL.*
  (
    for descriptor in /proc/self/fd/*; do
      descriptor=${descriptor##*/}
      [[ $descriptor -le 2 || $descriptor -ge 255 ]] || eval "exec $descriptor>&-"
    done
    exec setsid "$pgbin/postgres" -D "$pgdata" </dev/null >>"$pglog" 2>&1
  ) &
  pid=$!
  for _ in $(seq 1200); do
    sleep 0.05
    if [[ $(sed -n 8p "$pgdata/postmaster.pid" 2>/dev/null) =~ ^(ready|standby) ]]; then
      sed -n 7p "$pgdata/postmaster.pid" >"$directory/shared_memory"
      return 0
    fi
    if ! kill -0 "$pid" 2>/dev/null; then
      echo "pgctl: the server did not start" >&2
      tail -n 5 "$pglog" >&2
      return 1
    fi
  done
  echo "pgctl: the server is not ready after a minute" >&2
  return 1
}
stop() {
  send CONT
  running && kill -INT "$(postmaster)"
  wait_for_end 300 && return 0
  kill_all
}
destroy() {
  send CONT
  running && kill -QUIT "$(postmaster)" 2>/dev/null && wait_for_end 20
  # initdb too, which works in the directory above
  find /proc/[0-9]* -maxdepth 1 -name cwd -lname "$directory" -printf '%h\n' 2>/dev/null | sed 's|/proc/||' |
    grep -vx -e $$ -e $BASHPID | while read -r pid; do
      [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == "$pgbin"/* ]] && kill -KILL "$pid"
    done
  kill_all
  # The System V segment that guards the data directory outlives a server that was killed.
  local key identifier
  read -r key identifier 2>/dev/null <"$directory/shared_memory" && ipcrm -m "$identifier" 2>/dev/null
  return 0
}
case ${1-} in
  start) start ;;
  stop) stop ;;
  restart) stop && start ;;
  kill) kill_all ;;
  pause) send STOP ;;
  continue) send CONT ;;
  pid) running && postmaster ;;
  destroy) destroy ;;
  *) echo "usage: pgctl start|stop|restart|kill|pause|continue|pid" >&2; exit 64 ;;
esac
PGCTL
} >"$directory/pgctl"
chmod 755 "$directory/pgctl"

# ---------------------------------------------------------------------------------------------------
# The cluster.
# A kept cluster is complete or not there: it gets its name when all is in it. Another version of the server,
# or of the options below, has another name.
initdb_options=(--username=postgres --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C
  --wal-segsize=1 --no-sync)
template=
if [[ -n ${LAZYWRITER_PG_TEMPLATE-} ]]; then
  template=$LAZYWRITER_PG_TEMPLATE/$({ "$pgbin/initdb" --version && echo "${initdb_options[*]}"; } | cksum | tr ' ' -)
fi
copy_cluster() {  # copy_cluster FROM TO: the data and its password; what is written soon anyway is not synced
  mkdir -p "$2" && cp -R "$1/data" "$1/password" "$2"
}
if [[ -n $template ]] && copy_cluster "$template" "$directory" 2>/dev/null; then
  [[ $server_user == "$(id -un)" ]] || chown -R "$server_user" "$directory"
else
  rm -rf "$pgdata"
  (umask 077 && od -An -N12 -tx1 /dev/urandom | tr -d ' \n' >"$directory/password")
  [[ $server_user == "$(id -un)" ]] || chown -R "$server_user" "$directory"
  as_server "$pgbin/initdb" --pgdata="$pgdata" --pwfile="$directory/password" "${initdb_options[@]}" \
    >"$directory/initdb.log" 2>&1 || {
    cat "$directory/initdb.log" >&2
    fail "initdb failed"
  }
  if [[ -n $template ]]; then
    # Of several that come at once the first one's stays.
    if ! { (umask 077 && copy_cluster "$directory" "$template.$$") && mv -T "$template.$$" "$template"; } 2>/dev/null; then
      rm -rf "$template.$$"
    fi
  fi
fi
password=$(<"$directory/password")
port=
for _ in 1 2 3 4 5 6 7 8; do
  port=$((RANDOM % 12000 + 20000))
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue; fi
  cat >"$directory/settings" <<SETTINGS
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$directory'
unix_socket_permissions = 0700
max_connections = 60
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
min_dynamic_shared_memory = 0
max_wal_size = 512MB
lc_messages = 'C'
log_min_messages = warning
log_line_prefix = '%m [%p] %q%a '
logging_collector = off
${LAZYWRITER_PG_SETTINGS-}
SETTINGS
  if [[ ${LAZYWRITER_PG_FAST-} == 1 ]]; then
    printf 'fsync = off\nfull_page_writes = off\n' >>"$directory/settings"
  fi
  chmod 644 "$directory/settings"
  as_server sh -c "grep -q '^include' data/postgresql.conf || echo \"include '../settings'\" >>data/postgresql.conf"
  if "$directory/pgctl" start 2>"$directory/start.log" 8<&- 9>&-; then break; fi
  if ! grep -q 'Address already in use' "$pglog"; then port= && break; fi
  port=
done
if [[ -z $port ]]; then
  cat "$directory/start.log" "$pglog" >&2
  fail "the server did not start"
fi

for name in "${!PG@}"; do  # PGHOST and its like
  if [[ $name =~ ^PG[A-Z]+$ ]]; then unset "$name"; fi
done
export DATABASE_URL="postgresql:///postgres?host=$directory&port=$port&user=postgres"
export DATABASE_URL_TCP="postgresql://postgres:$password@127.0.0.1:$port/postgres"
export LAZYWRITER_PGDATA=$pgdata LAZYWRITER_PGBIN=$pgbin LAZYWRITER_PGLOG=$pglog
export LAZYWRITER_PGCTL=$directory/pgctl

# A background job of a shell has SIGINT ignored and no standard input: give it both back.
env --default-signal=INT,QUIT -- "$@" <&0 8<&- 9>&- &
child=$!
wait "$child"
status=$?
if [[ -n $signal ]]; then
  # wait was interrupted. From here on nothing may take for ever.
  while alive "$child"; do
    if [[ -n $repeat_at && $SECONDS -ge $repeat_at ]]; then
      send "$signal"
      repeat_at= kill_at=$((SECONDS + 20))
    elif [[ -n $kill_at && $SECONDS -ge $kill_at ]]; then
      send KILL
    fi
    sleep 0.05
  done
  wait "$child"
  status=$?
fi
exit "$status"
