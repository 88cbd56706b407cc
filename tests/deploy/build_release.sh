#!/usr/bin/env bash
# build_release.sh: build/release as deploy/quickstart.sh makes it; nothing to do when it just did.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lib/packages.sh
check_build_folder build
check_build_folder build/release
quietly build/release.log "configuring the release build" cmake --preset release
quietly build/release.log "building the release" cmake --build build/release --target penstock penstock_bench penstock_pages
