#!/usr/bin/env bash
# bench/run.sh [PART…] [--quick]
#
# Installs what is missing, builds a release, starts a PostgreSQL of its own, measures, prints tables, and writes
# bench/results/: a JSON file for each part, plots, and report.md, made from whatever results are there.
#
# Without a PART all of them run, in less than 30 minutes: generator ring encode journal ingest latency
# fanout connections outbox log peers reads. Two more take 24 GB and some twenty minutes, and run only when they
# are named:
#   grow    ingest from an empty table to 10 million rows (--quick: 20,000)
#   floor   what could make COPY itself quicker, on an empty table and on 10 million rows
# BENCH_ROWS=1000000 in front: of another size. BENCH_PATIENCE=5: all limits five times as long, for a machine that
# others use at the same time.
# --quick: less than 3 minutes, into bench/results/quick; it shows that everything works, and no figure to rely on.
# --readme: measures nothing; writes the table of numbers into README.md from the results that are there.
#
# A part that fails says why, the rest goes on, and the exit code is 1. Ctrl-C stops all that was started.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib/packages.sh

case " $* " in *" --help "* | *" -h "*)
    sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//p}' "$0"
    exit
    ;;
esac
if [ "${1:-}" = --readme ]; then
    exec python3 -B bench/lib/readme.py
fi
wants() { # is this part among those that run?
    local word
    for word in "${parts[@]:-}"; do [ -z "$word" ] || [ "$word" = "$1" ] && return; done
    return 1
}
parts=()
for word; do [ "$word" = --quick ] || parts+=("$word"); done

check_build_folder build
install_packages $BUILD_PACKAGES $BENCH_PACKAGES
if wants peers || wants reads || wants fanout || wants connections; then
    bench/peers/prepare.sh || say "what stands beside Penstock in Node cannot be installed: those parts will say so"
fi
if wants fanout; then
    spare_service nginx
    spare_service nats-server
    (install_packages $RIVAL_PACKAGES) || say "nginx with Nchan and NATS cannot be installed: fan-out goes on without them"
fi
BENCH_COMMIT=$(PYTHONPATH=bench/lib python3 -B -c "import results; print(results.commit_name())")
export BENCH_COMMIT # what is built, whatever is checked out when a part ends
quietly build/release.log "configuring the build" cmake --preset release
quietly build/release.log "building" cmake --build --preset release --target penstock bench/all
export PENSTOCK_BUILD=$PWD/build/release
export BENCH_PREPARED_SECONDS=$SECONDS
exec python3 -B bench/lib/run.py "$@"
