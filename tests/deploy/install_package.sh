#!/usr/bin/env bash
# install_package.sh [--fresh]: the Debian package on a system that never saw it, from dpkg -i to purge.
#
# The system is this machine's own under an overlay: packages and libraries are there, whatever is
# written lies in memory and is gone at the end; processes live in a namespace of their own. With
# --fresh it is a debootstrap of this release, and apt brings what the package depends on (minutes,
# and a network). Needs root or sudo. Exits with 77 where the machine allows neither.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD

if [ "${1:-}" = --inside ]; then
    . tests/deploy/installed_package.sh
    exit
fi

skip() { echo "skipped: $1"; exit 77; }

if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || skip "a package is installed by root, and there is no sudo without a password"
    deploy/package.sh # by us, so that build/release stays ours
    exec sudo -n env PENSTOCK_PACKAGE=made "$here/tests/deploy/install_package.sh" "$@"
fi
[ -n "${PENSTOCK_PACKAGE:-}" ] || deploy/package.sh

place=$(mktemp -d /tmp/penstock-root.XXXXXX)
trap 'rm -rf --one-file-system "$place"' EXIT
mkdir "$place/layers" "$place/root"

overlay='mount -t tmpfs tmpfs layers && mkdir layers/up layers/work &&
    mount -t overlay overlay -o lowerdir=/,upperdir=layers/up,workdir=layers/work root'
enter='mount -t proc proc root/proc && mount --rbind /dev root/dev && mount -t tmpfs tmpfs root/run &&
    mkdir -p root/run/penstock-source && mount --rbind "$1" root/run/penstock-source &&
    exec chroot root /run/penstock-source/tests/deploy/install_package.sh --inside'
space=(unshare --mount --pid --fork --kill-child --propagation private)

cd "$place"
if [ "${1:-}" = --fresh ]; then
    . /etc/os-release
    debootstrap --variant=minbase "$VERSION_CODENAME" root >log 2>&1 || { tail log; exit 1; }
    cp -a /etc/apt/. root/etc/apt/ # the mirrors that this machine uses
    cp /etc/resolv.conf root/etc/
    "${space[@]}" sh -c "$enter" sh "$here"
else
    "${space[@]}" sh -c "$overlay" 2>/dev/null || skip "this machine does not allow overlay mounts"
    "${space[@]}" sh -c "$overlay && $enter" sh "$here"
fi
