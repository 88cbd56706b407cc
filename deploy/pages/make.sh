#!/bin/sh
# make.sh PENSTOCK FOLDER [PENSTOCK-BENCH]: manual pages and shell completions, from what the binaries say of
# themselves.
#
#   penstock.1            `penstock --help` and the --help of each command
#   penstock-bench.1      its --help
#   penstock.conf.5       `penstock reference --man`, which is the table of settings
#   penstock.bash, _penstock   completion: commands, actions, flags, and the words a flag takes
#
# A new command or flag is in all of them as soon as its --help names it:
#   "  name   text"    a command of `penstock --help`, or an action of a command
#   "  --flag VALUE"   a flag; "a, b or c; default" in the lines below it are the words it takes
set -eu

penstock=$1 folder=$2
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$penstock" --help >"$work/help"
awk '/^  [a-z]/ { print $1 }' "$work/help" >"$work/commands"
commands=$(cat "$work/commands")
for command in $commands; do
    "$penstock" "$command" --help >"$work/$command"
done

# Text between .nf and .fi, as roff takes it (groff_char(7)).
verbatim() { sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\([.']\)/\\\\\&\1/"; }

# A command's help without the settings, which are the other page: they begin with a line
# "Network:" in front of a flag.
without_settings() {
    awk 'held != "" { if ($0 ~ /^  --/) exit; print held; held = "" }
         /^[A-Z][^.]*:$/ { held = $0; next } { print } END { if (held != "" && $0 !~ /^  --/) print held }' "$1"
}

manual() {
    version=$("$penstock" version | awk '{ print $2 }')
    printf '.TH PENSTOCK 1 "" "Penstock %s" "Penstock"\n' "$version"
    echo '.SH NAME'
    head -n 1 "$work/help" | sed 's/^penstock - /penstock \\- /'
    printf '.SH SYNOPSIS\n.B penstock\n.I COMMAND\n[\\-\\-help] [\\fIOPTION\\fR...]\n.SH COMMANDS\n'
    sed -n 's/^  \([a-z][a-z-]*\)  *\(.*\)/.TP\n.B \1\n\2/p' "$work/help"
    for command in $commands; do
        grep -q '^usage:' "$work/$command" || continue
        printf '.SS "penstock %s"\n.nf\n' "$command"
        without_settings "$work/$command" | verbatim
        printf '.fi\n'
    done
    cat <<'END'
.SH ENVIRONMENT
.TP
.B DATABASE_URL
The database, as libpq takes it.
.TP
.B PENSTOCK_CONFIG
The configuration file, unless \-\-config names one.
.TP
.BI PENSTOCK_ KEY
Every setting, by its name in capitals; see penstock.conf(5).
.TP
.B NOTIFY_SOCKET
Where a service manager is told of start, reload and stop; see sd_notify(3).
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
The server drains: clients are sent away, what was accepted is committed, and it exits with 0.
A second one ends it at once; the next start replays the journal.
.TP
.B SIGHUP
The configuration file is read again, and the tables are looked at.
.SH EXIT STATUS
0 done; 1 it failed, or something is to be mended; 2 wrong usage or configuration; 3 an audit that
could not be done, or not all of it.
.SH FILES
.TP
.I /etc/penstock/penstock.conf
What the service reads.
.TP
.I /etc/penstock/environment
DATABASE_URL of the service; not readable by others.
.TP
.I /var/lib/penstock
The service's journal.
.SH SEE ALSO
.BR penstock.conf (5)
END
}

# The load generator's page: the first line of its help is the name, the next block the usage, then text.
manual_of_bench() {
    printf '.TH PENSTOCK\\-BENCH 1 "" "Penstock %s" "Penstock"\n' "$("$1" --version | awk '{ print $2 }')"
    echo '.SH NAME'
    head -n 1 "$work/bench" | sed 's/^penstock-bench - /penstock\\-bench \\- /'
    printf '.SH SYNOPSIS\n.B penstock\\-bench\n[\\fIOPTION\\fR...] [\\fIURL\\fR]\n.SH DESCRIPTION\n.nf\n'
    sed '1,/^usage:/d' "$work/bench" | sed '1{/^$/d}' | verbatim
    cat <<'END'
.fi
.SH ENVIRONMENT
.TP
.B PENSTOCK_TOKEN
The token to show, unless \-\-token\-file names one.
.SH EXAMPLES
.TP
.B penstock\-bench \-\-file events.ndjson
As fast as the server commits: 8 connections, 16 messages of 100 events unanswered on each.
.TP
.B penstock\-bench \-\-file events.ndjson \-\-batch 1 \-\-rate 1000 \-\-seconds 30
1,000 messages a second for half a minute, however slow the answers are.
.TP
.B penstock\-bench \-\-open\-only \-\-connections 10000 wss://events.example.org/v1/ws
How long it takes to open 10,000 connections.
.SH EXIT STATUS
0 everything was accepted; 1 something was refused, or it failed; 2 wrong usage.
.SH SEE ALSO
.BR penstock (1)
END
}

# The flags of a command's help, each once; those of its first line, too ("--key" stands for any).
flags_of() {
    {
        sed -n 's/^  *\(--[a-z][a-z-]*\).*/\1/p' "$1"
        sed -n '/^usage:/p' "$1" | tr -c 'a-z-' '\n' | grep '^--[a-z]' | grep -vx -- '--key' || true
    } | sort -u
}

# "flag word word…", for flags whose help lists the words they take.
words_of() {
    cat "$@" | awk '
        /^  --/ { flag = $1 }
        /^        .*; default / && flag != "" {
            sub(/;.*/, ""); if ($0 !~ /^ *[a-z]+(, [a-z]+)* or [a-z]+$/) next
            gsub(/,| or /, " "); print flag, $0; flag = ""
        }' | awk '{ $1 = $1 } !seen[$1]++'
}

# What a command takes as its first word: "  list  …" in its help.
actions_of() { sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p; s/^  \([a-z][a-z-]*\) [A-Z].*/\1/p' "$1" | sort -u; }

for command in $commands; do
    flags_of "$work/$command" >"$work/$command.flags"
    : >"$work/$command.actions"
    if grep -q '^usage: penstock [a-z-]* ACTION' "$work/$command"; then
        actions_of "$work/$command" >"$work/$command.actions"
    fi
done
all_help() { for command in $commands; do cat "$work/$command"; done; }
all_help >"$work/all"
words_of "$work/all" >"$work/words"
on_line() { tr '\n' ' ' <"$1" | sed 's/ $//'; }

bash_completion() {
    echo '# penstock(1): completion for bash; made by deploy/pages/make.sh'
    cat <<'END'
_penstock() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} flags='' actions=''
    COMPREPLY=()
    if [ "$COMP_CWORD" -gt 2 ] && [ "$word" = '=' ]; then
        word=''
    elif [ "$COMP_CWORD" -gt 3 ] && [ "$before" = '=' ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [ "$COMP_CWORD" -eq 1 ]; then
END
    printf "        COMPREPLY=(\$(compgen -W '%s' -- \"\$word\"))\n        return\n    fi\n" \
        "$(on_line "$work/commands")"
    printf '    case $before in\n'
    while read -r flag words; do
        printf "    %s) COMPREPLY=(\$(compgen -W '%s' -- \"\$word\")); return ;;\n" "$flag" "$words"
    done <"$work/words"
    printf '    esac\n    case ${COMP_WORDS[1]} in\n'
    for command in $commands; do
        printf "    %s) actions='%s' flags='--help %s' ;;\n" "$command" \
            "$(on_line "$work/$command.actions")" "$(on_line "$work/$command.flags")"
    done
    cat <<'END'
    esac
    [ "$COMP_CWORD" -eq 2 ] && flags="$actions $flags"
    case $word in
    -* | '') COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) [ "$COMP_CWORD" -eq 2 ] && COMPREPLY=($(compgen -W "$actions" -- "$word")) ;;
    esac
}
complete -o default -F _penstock penstock
END
}

zsh_completion() {
    echo '#compdef penstock'
    echo '# penstock(1): completion for zsh; made by deploy/pages/make.sh'
    printf 'local -a commands\ncommands=(\n'
    sed -n "s/'/'\\\\''/g; s/^  \([a-z][a-z-]*\)  *\(.*\)/    '\1:\2'/p" "$work/help"
    printf ')\nif (( CURRENT == 2 )); then\n    _describe command commands\n    return\nfi\n'
    printf 'case ${words[CURRENT-1]} in\n'
    while read -r flag words; do
        printf '%s) compadd %s; return ;;\n' "$flag" "$words"
    done <"$work/words"
    printf 'esac\ncase ${words[2]} in\n'
    for command in $commands; do
        printf '%s)\n' "$command"
        actions=$(on_line "$work/$command.actions")
        [ -z "$actions" ] || printf '    (( CURRENT == 3 )) && compadd %s\n' "$actions"
        printf '    compadd -- --help %s ;;\n' "$(on_line "$work/$command.flags")"
    done
    printf 'esac\n_files\n'
}

manual >"$folder/penstock.1"
"$penstock" reference --man >"$folder/penstock.conf.5"
bash_completion >"$folder/penstock.bash"
zsh_completion >"$folder/_penstock"
if [ -n "${3:-}" ]; then
    "$3" --help >"$work/bench"
    manual_of_bench "$3" >"$folder/penstock-bench.1"
fi
