#!/usr/bin/env bash
# search.sh FUZZER SMOKE CORPUS SECONDS: a libFuzzer searches that long, from the inputs that are
# kept, behind whatever else runs: beside busy tests it gets a tenth of what each of them gets (not
# idle scheduling, with which it may not even begin). Findings stay in the build, beside the program.
set -euo pipefail
fuzzer=$1 smoke=$2 corpus=$3 seconds=$4

work=$fuzzer.work
rm -rf "$work"
mkdir -p "$work/corpus"
"$smoke" --unpack "$corpus" "$work/corpus"

# Its own exit code, 77, is what ctest takes for skipped.
if ! nice -n 10 "$fuzzer" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=110 \
    -error_exitcode=1 -print_final_stats=1 -verbosity=0 -artifact_prefix="$work/" "$work/corpus"; then
    echo "A finding: run $fuzzer with the file that is named above; tests/fuzz/README.md goes on from there."
    exit 1
fi
