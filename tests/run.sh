#!/usr/bin/env bash
# run.sh [ctest OPTION…]: installs what tests need, builds with sanitizers, runs every test, and ends
# with ctest's summary line and exit code. Examples: tests/run.sh -R wire; tests/run.sh -L flow
#
# build/asan has everything, with address and undefined behaviour sanitizers; build/tsan has the tests
# of threads (tests/race) with the thread sanitizer; build/release what is counted in instructions
# (bench/instructions) and given to others (tests/deploy); build/fuzz the fuzzers, which search for
# PENSTOCK_FUZZ_SECONDS each. One ctest runs all four.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib/packages.sh

browser=
case " $(system_id) " in *" debian "*) browser=$BROWSER_PACKAGES ;; esac
install_packages $BUILD_PACKAGES $TEST_PACKAGES $FUZZ_PACKAGES $browser
check_build_folder build

say "building with sanitizers into build/asan, build/tsan and build/fuzz"
for preset in asan tsan release fuzz; do
    check_build_folder build/$preset
    quietly build/$preset.log "configuring $preset" cmake --preset $preset \
        -DPENSTOCK_FUZZ_SECONDS="${PENSTOCK_FUZZ_SECONDS:-60}"
done
quietly build/asan.log "building asan" cmake --build build/asan
quietly build/tsan.log "building tsan" cmake --build build/tsan --target tests/race/all
quietly build/release.log "building release" cmake --build build/release \
    --target penstock penstock_pages bench/instructions/all encode_bench
quietly build/fuzz.log "building fuzz" cmake --build build/fuzz --target tests/fuzz/all

mkdir -p build/tests
printf 'subdirs("%s" "%s" "%s" "%s")\n' "$PWD/build/asan" "$PWD/build/tsan/tests/race" \
    "$PWD/build/release/bench/instructions" "$PWD/build/fuzz/tests/fuzz" >build/tests/CTestTestfile.cmake

# The thread sanitizer of gcc 12 does not know the address layout of newer kernels; without
# randomisation it does. A container may forbid that.
fixed_layout=()
setarch "$(uname -m)" -R true 2>/dev/null && fixed_layout=(setarch "$(uname -m)" -R)

# More at a time than there are processors: many wait (for PostgreSQL, for disks, for time to pass), and
# the fuzzers take a place, but little time.
jobs=$((2 * $(nproc)))
[ "$jobs" -le 8 ] || jobs=8
exec "${fixed_layout[@]}" ctest --test-dir build/tests --output-on-failure --no-tests=error -j "$jobs" "$@" </dev/null
