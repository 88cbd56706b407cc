#!/usr/bin/env bash
# screenshots.sh [BUILD FOLDER]: renews the pictures of README.md (deploy/screenshots) with the browser
# tests, against the build in build/asan or the one named.
set -euo pipefail
cd "$(dirname "$0")/../../.."
build=$(cd "${1:-build/asan}" && pwd)
PENSTOCK_BUILD_DIR=$build PENSTOCK_BINARY=$build/server/penstock \
    /usr/bin/python3 -B -m pytest -p no:cacheprovider -q tests/flow/browser/test_page.py -k "json or glance or phone"
mkdir -p deploy/screenshots
cp "$build/screenshots/many-json.png" deploy/screenshots/try-it.png
cp "$build/screenshots/server.png" deploy/screenshots/server.png
