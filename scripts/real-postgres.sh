#!/usr/bin/env bash
# A real PostgreSQL on a loopback port, for tests. Durable as in production: fsync and synchronous_commit are on.
#
#   real-postgres.sh start DIR [PORT]   make a cluster in DIR if there is none, start it (no PORT or 0: a free one); print its URL
#   real-postgres.sh stop DIR           stop it cleanly
#   real-postgres.sh kill DIR           end it as a crash would (kill -9 of every process); `start` recovers from the log
#   real-postgres.sh remove DIR         stop it and delete its data
#   real-postgres.sh bin                print the folder of the PostgreSQL programs that would be used
#
# DIR holds data/, log, port, and socket/ (a link to a folder under /tmp where DIR is too long a name for a socket). The superuser is
# "postgres", without a password; nothing listens beyond 127.0.0.1. PostgreSQL refuses to run as root: as root, the script uses
# the user "postgres" or, where there is none, "nobody", and DIR then has to lie where that user may go (not under /root).
#
# Environment:
#   POSTGRES_BIN        folder of initdb, pg_ctl and postgres, if they are not to be looked for
#   POSTGRES_SETTINGS   further settings, separated by ';', e.g. "max_connections=20;log_min_duration_statement=100"
# shellcheck disable=SC2012 # The listed names are numbers and versions.
set -euo pipefail

# shellcheck source=scripts/packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

die() { echo "real-postgres: $*" >&2; exit 1; }
usage() { sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2; exit 2; }

# Debian keeps the server's programs out of PATH, in a folder per version; pg_config may be there without a server.
find_bin() {
  local folder
  for folder in "${POSTGRES_BIN:-}" "$(pg_config --bindir 2>/dev/null || true)" \
    $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -rn) \
    "$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/initdb)")" \
    $(ls -d /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin 2>/dev/null | sort -rn); do
    [ -n "$folder" ] && [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && { echo "$folder"; return; }
  done
  [ "${1:-}" != installed ] || die "found no PostgreSQL server, though it was installed: name its folder in POSTGRES_BIN"
  install_package "a PostgreSQL server" postgresql
  find_bin installed
}

as_owner() { # as_owner COMMAND…: as the user who owns the cluster.
  if [ "$(id -u)" -ne 0 ]; then (cd "$dir" && "$@"); else (cd "$dir" && runuser -u "$owner" -- "$@"); fi
}

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
  local tries port
  for ((tries = 0; tries < 100; tries++)); do
    port=$((20000 + RANDOM % 10000)) # Below the range that outgoing connections use.
    taken "$port" || { echo "$port"; return; }
  done
  die "found no free port"
}

running() { [ -e "$dir/data/postmaster.pid" ] && as_owner "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1; }

start() {
  if running; then die "$dir already runs on port $(cat "$dir/port"): stop it first"; fi
  [ "$port" -ne 0 ] || port=$(free_port)
  ! taken "$port" || die "port $port is taken"
  [ "$(id -u)" -ne 0 ] || chown "$owner" "$dir"
  as_owner test -w "$dir" || die "user $owner may not write $dir: choose a folder that it can reach"

  if [ ! -e "$dir/data/PG_VERSION" ]; then
    as_owner rm -rf "$dir/data"
    as_owner "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 ||
      { cat "$dir/log" >&2; die "initdb failed"; }
    [ "$(id -u)" -ne 0 ] || chown "$owner" "$dir/log"
  fi

  local socket=$dir/socket # A socket's whole path has to fit in 107 bytes.
  if [ "${#socket}" -gt 80 ]; then
    [ -d "$socket" ] || as_owner ln -sfn "$(as_owner mktemp -d /tmp/pg.XXXXXX)" "$socket"
    socket=$(readlink "$socket")
  fi
  as_owner mkdir -p "$socket"

  local settings="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$socket -c fsync=on -c synchronous_commit=on" one
  local -a more=()
  IFS=';' read -r -a more <<<"${POSTGRES_SETTINGS:-}"
  for one in ${more[@]+"${more[@]}"}; do settings+=" -c ${one// /}"; done
  as_owner "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 120 -o "$settings" start >/dev/null ||
    { tail -n 20 "$dir/log" >&2; die "PostgreSQL did not start; its log: $dir/log"; }
  echo "$port" >"$dir/port"
  echo "postgres://postgres@127.0.0.1:$port/postgres"
}

stop() {
  running || return 0
  # "fast" ends open sessions instead of waiting for them.
  as_owner "$bin/pg_ctl" -D "$dir/data" -w -t 60 -m fast stop >/dev/null
}

crash() {
  running || return 0
  local main
  main=$(head -1 "$dir/data/postmaster.pid")
  # Children first would make the main process recover by itself; with it gone they end on their own, but not at once.
  local children
  children=$(ps -o pid= --ppid "$main" || true)
  # shellcheck disable=SC2086 # One word per process.
  kill -9 "$main" $children 2>/dev/null || true
  while kill -0 "$main" 2>/dev/null; do sleep 0.05; done
}

[ $# -ge 1 ] || usage
verb=$1
if [ "$verb" = bin ]; then find_bin; exit; fi
[ $# -ge 2 ] || usage
bin=$(find_bin)
owner=$(id -un)
if [ "$(id -u)" -eq 0 ]; then
  owner=postgres
  id postgres >/dev/null 2>&1 || owner=nobody
fi
mkdir -p "$2"
dir=$(cd "$2" && pwd)
port=${3:-0}

case $verb in
  start) start ;;
  stop) stop ;;
  kill) crash ;;
  remove)
    stop
    [ ! -L "$dir/socket" ] || rm -rf "$(readlink "$dir/socket")"
    rm -rf "$dir/data" "$dir/socket" "$dir/log" "$dir/port"
    ;;
  *) usage ;;
esac
