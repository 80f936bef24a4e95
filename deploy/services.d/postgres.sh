# PostgreSQL, as its own cluster: an owner who migrates, and the application's role, which may not.

readonly POSTGRES_PORT=54320

postgres_bin() { # the folder of its programs
  local path
  for path in "${POSTGRES_HOME:-/usr/lib/postgresql}"/*/bin; do
    [[ -x $path/postgres ]] && echo "$path" && return
  done
  path=$(command -v postgres) && path=$(readlink -f "$path") && echo "${path%/*}"
}

# It refuses to run as root: there it runs as the user of its package, or as nobody.
postgres_as() {
  if [[ $(id -u) -ne 0 ]]; then
    "$@"
  else
    (cd / && setpriv --reuid "$postgres_user" --regid "$(id -g "$postgres_user")" --clear-groups "$@")
  fi
}

postgres_start() {
  local bin state=$STATE/postgres data port owner application
  # A package that starts a cluster of its own on the usual port is none of ours.
  postgres_bin >/dev/null || install postgresql || true
  if ! bin=$(postgres_bin); then
    lacking postgres "the books on PostgreSQL (tests/contracts/test_books.py, test_postgres.py)"
    return
  fi
  postgres_user=$(id -un postgres 2>/dev/null || echo nobody)
  if [[ ! -r $state/address ]] || ! postgres_answers; then
    mkdir -p "$state"
    if [[ ! -r $state/where ]]; then
      owner=$(secret) application=$(secret)
      data=$state/data
      rm -rf "$data" # of a first start that was cut short
      mkdir -p "$data"
      if [[ $(id -u) -eq 0 ]]; then
        chown "$postgres_user" "$data"
        # A clone in a folder others cannot enter: the data goes where they can.
        if ! postgres_as test -w "$data"; then
          data=$(mktemp -d)
          chown "$postgres_user" "$data"
        fi
      fi
      (umask 077 && echo "$owner" >"$state/owner" && echo "$application" >"$state/application")
      (umask 077 && echo "$owner" >"$data.once")
      [[ $(id -u) -ne 0 ]] || chown "$postgres_user" "$data.once"
      postgres_as "$bin/initdb" -D "$data" -U hub_owner --auth=scram-sha-256 -E UTF8 \
        --locale=C.UTF-8 --no-sync --pwfile="$data.once" >"$state/initdb.log" 2>&1 \
        || { lacking postgres "the books on PostgreSQL (see $state/initdb.log)"; return; }
      rm -f "$data.once"
      echo "$data" >"$state/where"
    fi
    data=$(<"$state/where") owner=$(<"$state/owner") application=$(<"$state/application")
    port=$(free_port "$POSTGRES_PORT")
    # No fsync: tests kill the process, not the machine.
    postgres_as "$bin/pg_ctl" -D "$data" -w -l "$data/log" start -o "-c port=$port \
      -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
      -c max_connections=200 -c shared_buffers=64MB -c timezone=UTC" >"$state/start.log" 2>&1 \
      || { lacking postgres "the books on PostgreSQL (see $state/start.log)"; return; }
    PGPASSWORD=$owner "$bin/psql" -q -h 127.0.0.1 -p "$port" -U hub_owner postgres >/dev/null <<SQL
SELECT 'CREATE ROLE hub_app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_app') \gexec
ALTER ROLE hub_app LOGIN PASSWORD '$application' NOSUPERUSER NOCREATEDB NOCREATEROLE;
SQL
    address postgres <<ADDRESS
HUB_TEST_POSTGRES=127.0.0.1:$port
HUB_TEST_POSTGRES_OWNER=$owner
HUB_TEST_POSTGRES_APPLICATION=$application
HUB_TEST_POSTGRES_DATA=$data
HUB_TEST_POSTGRES_BIN=$bin
ADDRESS
  fi
  found postgres "$(told postgres HUB_TEST_POSTGRES) ($("$bin/postgres" --version))"
}

postgres_answers() {
  local address
  address=$(told postgres HUB_TEST_POSTGRES)
  "$bin/pg_isready" -q -h 127.0.0.1 -p "${address#*:}"
}

postgres_stop() {
  local bin
  if [[ -r $STATE/postgres/where ]] && bin=$(postgres_bin); then
    postgres_user=$(id -un postgres 2>/dev/null || echo nobody)
    if postgres_as "$bin/pg_ctl" -D "$(<"$STATE/postgres/where")" -m fast stop >/dev/null 2>&1; then
      found postgres stopped
    fi
    rm -f "$STATE/postgres/address"
    [[ ${1:-} != reset ]] || rm -rf "$(<"$STATE/postgres/where")"
  fi
}
