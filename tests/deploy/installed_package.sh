# installed_package.sh: what install_package.sh runs inside the system; sourced, in the source tree.
# No systemd runs here: the server is started by hand, with the unit's user, folder and environment.

package=$(ls -t "$PWD"/build/release/penstock_*.deb | head -n 1)
port=$((20000 + RANDOM % 10000))
export DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

step() { echo "ok: $1"; }
fail() { echo "FAILED: $1" >&2; tail -n 20 /tmp/log >&2 || true; exit 1; }
expect() { # expect SENTENCE COMMAND…
    local sentence=$1
    shift
    "$@" >/tmp/log 2>&1 || fail "$sentence"
    step "$sentence"
}

umask 022
install_it() {
    if command -v psql >/dev/null; then # the overlay: dpkg refuses when a dependency is missing
        dpkg --force-confold -i "$package"
    else
        apt-get update -qq && apt-get install -y --no-install-recommends "$package" postgresql
    fi
}

# ---- installing ----
expect "the package installs, its dependencies are there" install_it
expect "the user penstock is there, a system user without a login" \
    sh -c 'getent passwd penstock | grep -E "/(nologin|false)$"'
[ "$(stat -c '%U %a' /var/lib/penstock)" = "penstock 700" ] || fail "/var/lib/penstock is $(stat -c '%U %a' /var/lib/penstock)"
[ "$(stat -c '%U %G %a' /etc/penstock/environment)" = "root penstock 640" ] || fail "environment is $(stat -c '%U %G %a' /etc/penstock/environment)"
step "the journal's folder is penstock's alone; the environment is not for others"
expect "manual pages are there" sh -c 'test -s /usr/share/man/man1/penstock.1 && test -s /usr/share/man/man1/penstock-bench.1 && test -s /usr/share/man/man5/penstock.conf.5'
if command -v systemd-analyze >/dev/null; then
    expect "systemd accepts the installed units" systemd-analyze verify --man=no \
        /usr/lib/systemd/system/penstock.service /usr/lib/systemd/system/penstock-audit.{service,timer}
fi

# ---- a database, as an administrator makes it ----
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
install -d -o postgres /tmp/pg /run/postgresql
as_postgres() { (cd /tmp && runuser -u postgres -- "$@"); }
start_postgres() {
    as_postgres "$bin/initdb" -D /tmp/pg/data -A peer --no-sync
    as_postgres "$bin/pg_ctl" -w -D /tmp/pg/data -l /tmp/pg/log \
        -o "-c listen_addresses='' -c unix_socket_directories=/run/postgresql" start
    as_postgres psql -h /run/postgresql -X -q postgres -c 'CREATE ROLE penstock LOGIN' -c 'CREATE DATABASE app OWNER penstock'
}
expect "PostgreSQL starts" start_postgres

become_service() { # COMMAND…: with user, folder and environment of the unit, in the place of this shell
    cd /var/lib/penstock && exec setpriv --reuid penstock --regid penstock --init-groups \
        env -i PATH="$PATH" $(grep -v '^#' /etc/penstock/environment) "$@"
}
as_service() { (become_service "$@"); }
example_tables() { as_service psql -X -q -v ON_ERROR_STOP=1 -h /run/postgresql app -f /usr/share/doc/penstock/examples/examples.sql; }
expect "the example tables are made" example_tables
sed -i "s/127.0.0.1:8080/127.0.0.1:$port/" /etc/penstock/penstock.conf
cat >>/etc/penstock/penstock.conf <<'END'
stream "behavior" {
    table = "BehaviorLog"
    channels = {"user:{userId}"}
}
stream "optimization" {
    table = "OptimizationLog"
}
END
expect "penstock migrate makes the schema" as_service penstock migrate --config /etc/penstock/penstock.conf
expect "penstock check finds nothing to mend" as_service penstock check --config /etc/penstock/penstock.conf

# ---- running, as the unit does ----
answers_200() {
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    read -r -t 5 line <&3
    exec 3>&-
    [[ "$line" == *" 200 "* ]]
} 2>/dev/null
command_line=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/penstock.service)
become_service $command_line >/tmp/server.log 2>&1 &
server=$!
end=$((SECONDS + 60))
until answers_200; do
    kill -0 $server 2>/dev/null && [ $SECONDS -lt $end ] || { cat /tmp/server.log >&2; fail "the server is not ready"; }
    sleep 0.2
done
step "the service starts as the unit's command line says"
send_one() {
    echo '{"userId":"00000000-0000-4000-8000-000000000001","eventType":"packaged"}' |
        penstock send behavior --ack committed --url "ws://127.0.0.1:$port/v1/ws"
}
expect "an event is committed" send_one
[ "$(as_service psql -X -A -t -h /run/postgresql app -c "SELECT count(*) FROM \"BehaviorLog\" WHERE \"eventType\" = 'packaged'")" = 1 ] || fail "the row is not there"
expect "penstock-bench puts a load on it" penstock-bench --events 100 --batch 10 \
    --event '{"userId":"00000000-0000-4000-8000-000000000001","eventType":"load"}' "ws://127.0.0.1:$port/v1/ws"
kill -TERM $server
code=0
wait $server || code=$?
[ $code = 0 ] || { cat /tmp/server.log >&2; fail "SIGTERM: exit code $code"; }
step "SIGTERM drains it, exit code 0"

# ---- the weekly audit, as its unit does it ----
audit_it() {
    (become_service $(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/penstock-audit.service))
}
expect "the audit runs, and finds nothing in the example tables" audit_it

# ---- again, and away ----
expect "installing again changes nothing that an administrator wrote" install_it
grep -q "BehaviorLog" /etc/penstock/penstock.conf || fail "the configuration was overwritten"
[ "$(stat -c '%U %G %a' /etc/penstock/environment)" = "root penstock 640" ] || fail "the second install changed the environment's owner"
chmod 0600 /etc/penstock/environment
expect "it installs over a mode that an administrator chose" install_it
[ "$(stat -c %a /etc/penstock/environment)" = 600 ] || fail "the second install changed the environment's mode"
rm /etc/penstock/environment
expect "it installs without the environment, which the unit does not need" install_it
expect "and is configured then" sh -c 'dpkg -s penstock | grep -qx "Status: install ok installed"'
expect "the package is removed" dpkg -r penstock
[ -e /etc/penstock/penstock.conf ] && [ ! -e /usr/bin/penstock ] || fail "remove took the configuration, or left the binary"
expect "the package is purged" dpkg -P penstock
[ ! -e /etc/penstock/penstock.conf ] || fail "purge left the configuration"
[ -n "$(ls -A /var/lib/penstock)" ] || fail "purge took the journal"
step "purge takes the configuration and leaves the journal"
