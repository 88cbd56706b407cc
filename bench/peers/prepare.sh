#!/usr/bin/env bash
# prepare.sh: installs what package-lock.json says into this folder, from npm's cache where it has it, and has Prisma
# make its client. Nothing to do, and no network, when that was done for this lock file.
set -euo pipefail
cd "$(dirname "$0")"
. ../../tests/lib/packages.sh

command -v node >/dev/null && command -v npm >/dev/null || install_packages nodejs npm
if ! cmp -s package-lock.json node_modules/.installed; then
    say "installing npm packages"
    quietly node_modules.log "npm ci" npm ci --prefer-offline --no-audit --no-fund --ignore-scripts
    cp package-lock.json node_modules/.installed
fi
# Prisma would fetch a schema engine that it does not run here; any program will do in its place.
[ -e generated/prisma/client.js ] && [ generated/prisma/client.js -nt prisma/schema.prisma ] ||
    PRISMA_SCHEMA_ENGINE_BINARY=/bin/true quietly generated/prisma.log "prisma generate" node_modules/.bin/prisma generate
