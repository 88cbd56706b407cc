#!/usr/bin/env bash
# with_postgres.sh COMMAND [ARGUMENT…]
# Runs COMMAND with a PostgreSQL of its own: a fresh cluster in a temporary folder, on a unix socket
# only, stopped and removed afterwards. COMMAND finds DATABASE_URL, PGHOST, PGUSER, PGDATABASE, and
# PGDATA (to stop and start the server with pg_ctl itself; PG_BIN has the programs). Exits with COMMAND's exit code.
set -euo pipefail

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb || true)")
if [ ! -x "$bin/initdb" ]; then
    echo "with_postgres.sh: initdb is missing: install the package postgresql" >&2
    exit 1
fi

folder=$(mktemp -d /tmp/penstock-pg.XXXXXX)
as_owner=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
    chown postgres: "$folder"
    as_owner=(runuser -u postgres --)
fi
export PGDATA=$folder/data PG_BIN=$bin

stop() {
    cd /
    "${as_owner[@]}" "$bin/pg_ctl" -D "$PGDATA" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

# Not named penstock: the search path begins with a schema of the role's own name.
cd /
"${as_owner[@]}" "$bin/initdb" -D "$PGDATA" -U tester -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
    >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 1; }
"${as_owner[@]}" "$bin/pg_ctl" -D "$PGDATA" -w -t 60 -l "$folder/log" \
    -o "-c listen_addresses='' -c unix_socket_directories=$folder -c max_connections=100 ${POSTGRES_OPTIONS:-}" \
    start >/dev/null || { cat "$folder/log" >&2; exit 1; }
cd - >/dev/null

export PGHOST=$folder PGUSER=tester PGDATABASE=postgres
export DATABASE_URL="postgresql:///postgres?host=$folder&user=tester"
"$@"
