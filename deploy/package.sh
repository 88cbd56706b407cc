#!/usr/bin/env bash
# package.sh: makes the Debian package of this tree: build/release/penstock_VERSION_ARCH.deb, for the
# release that it is made on (its libraries' versions stand in Depends).
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib/packages.sh

install_packages $BUILD_PACKAGES dpkg-dev file # cpack asks `file` what has libraries
check_build_folder build
check_build_folder build/release
quietly build/package.log "configuring the build" cmake --preset release
quietly build/package.log "building" cmake --build build/release --target penstock penstock_bench penstock_pages
(cd build/release && quietly package.log "making the package" cpack -G DEB)
ls build/release/penstock_*.deb
