#!/usr/bin/env bash
# quickstart.sh [OPTION…]: from a fresh Debian 12 or 13 or Ubuntu 24.04 to a running Penstock.
#
#   1. installs what is missing (nothing the second time);
#   2. builds build/release/server/penstock;
#   3. becomes `penstock dev OPTION…`: a private PostgreSQL in a folder, the example tables, and the
#      server on http://localhost:8080/. Ctrl-C stops both; the data stay.
#
# As root or as a user with sudo; only step 1 uses sudo.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib/packages.sh

install_packages $BUILD_PACKAGES
check_build_folder build
check_build_folder build/release
[ -x build/release/server/penstock ] || say "building (a minute or two)"
quietly build/quickstart.log "configuring the build" cmake --preset release
quietly build/quickstart.log "building" cmake --build build/release --target penstock

# The server stays in the folder that this was called from: that is where its data are put.
binary=$PWD/build/release/server/penstock
cd "$OLDPWD"
exec "$binary" dev "$@"
