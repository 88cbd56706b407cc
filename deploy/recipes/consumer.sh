#!/usr/bin/env bash
# consumer.sh NAME - a consumer of the log in psql that misses nothing and takes nothing twice.
#
#   1. LISTEN, before anything is read: whatever commits from now on will be heard of;
#   2. read on, step by step (step.sql), until the head;
#   3. wait for a notification, and go back to 2. What it says does not matter: the log has it all.
#
# Killed at any moment, it goes on where it stopped: a step stores what it made of the events and how
# far it has read in one transaction. A lost connection begins anew with 1.
#
# psql shows notifications only behind the answer to a command, so an empty one asks for them twice a
# second. DATABASE_URL names the database; tables.sql makes the tables.
set -u
name=${1:?usage: consumer.sh NAME}
step=$(cd "$(dirname "$0")" && pwd)/step.sql

# ask SQL: sends it, and reads what comes up to its end. Sets `said`, and `heard` when a notification
# came along; false when the session is gone.
ask() {
    local line
    printf '%s\n\\echo end of the answer\n' "$1" 2>/dev/null >&"$to" || return 1
    while read -r line <&"$from"; do
        case $line in
        "end of the answer") return 0 ;;
        "Asynchronous notification "*) heard=yes ;;
        *) said=$line ;;
        esac
    done 2>/dev/null
    echo "consumer.sh: ${said:-psql has ended}" >&2
    return 1
}

follow() {
    ask "LISTEN penstock;" || return
    while :; do
        heard=
        said=more
        while [ "$said" = more ]; do
            ask "\\i '$step'" || return
        done
        while [ -z "$heard" ]; do
            sleep 0.5
            ask "SELECT;" || return
        done
    done
}

trap 'exit 0' INT TERM
trap '' PIPE # a psql that has ended is an answer, too
while :; do
    said=
    coproc psql { exec psql -XqAt -v consumer="$name" -v ON_ERROR_STOP=1 "$DATABASE_URL" 2>&1; }
    from=${psql[0]:-} to=${psql[1]:-} pid=${psql_PID:-}
    follow
    [ -z "$pid" ] || { kill "$pid"; wait "$pid"; } 2>/dev/null
    sleep "0.$((RANDOM % 9 + 1))" # not all consumers at once
done
