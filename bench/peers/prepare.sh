#!/usr/bin/env bash
# prepare.sh: installs the packages of package.json into this folder, and has Prisma make its client.
set -euo pipefail
cd "$(dirname "$0")"
. ../../tests/lib/packages.sh

command -v node >/dev/null && command -v npm >/dev/null || install_packages nodejs npm
if [ ! -e node_modules/.package-lock.json ] || [ package.json -nt node_modules/.package-lock.json ]; then
    say "installing npm packages"
    quietly node_modules.log "npm install" npm install --no-package-lock --no-audit --no-fund --ignore-scripts
fi
# Prisma would fetch a schema engine that it does not run here; any program will do in its place.
[ -e generated/prisma/client.js ] && [ generated/prisma/client.js -nt prisma/schema.prisma ] ||
    PRISMA_SCHEMA_ENGINE_BINARY=/bin/true quietly generated/prisma.log "prisma generate" node_modules/.bin/prisma generate
