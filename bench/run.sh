#!/usr/bin/env bash
# bench/run.sh [ingest|latency|fanout|peers|connections|outbox] [--quick]
# Builds a release binary, starts a PostgreSQL of its own, measures, prints a table, and writes
# bench/results/. Every figure is a ratio against a floor measured in the same run.
set -euo pipefail
cd "$(dirname "$0")/.."

what=ingest
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
    what=$1
    shift
fi
if [ ! -f "bench/flow/$what.py" ] || [ "$what" = measure ]; then
    echo "bench/run.sh: there is no benchmark \"$what\"; there are: $(cd bench/flow && ls ./*.py | sed 's/^..//; s/\.py$//; /^measure$/d' | xargs)" >&2
    exit 2
fi

. tests/lib/packages.sh
install_packages $BUILD_PACKAGES $BENCH_PACKAGES
cmake --preset release >/dev/null
cmake --build --preset release --target penstock penstock_load penstock_latency penstock_fanout copy_floor >&2
[ "$what" != peers ] || bench/peers/prepare.sh
export PENSTOCK_BUILD=$PWD/build/release
exec tests/lib/with_postgres.sh python3 "bench/flow/$what.py" "$@"
