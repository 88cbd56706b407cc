# packages.sh: which packages Penstock needs, and how to get them. Sourced by deploy/quickstart.sh,
# tests/run.sh and bench/run.sh. Debian 12 and 13, Ubuntu 24.04.
#
# In the lists, a|b is the first of these that there is (names differ between releases), and name? is
# welcome and not needed: it is installed where there is one, when something is installed anyway.

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libwebsockets-dev libwebsockets-evlib-ev
    libev-dev libssl-dev libpq-dev liburing-dev libconfuse-dev libmsgpack-c-dev|libmsgpack-dev
    librhonabwy-dev libgnutls28-dev libcurl4-gnutls-dev|libcurl4-openssl-dev
    postgresql pgvector?"
TEST_PACKAGES="libcmocka-dev openssl curl python3 python3-pytest python3-websockets python3-msgpack
    python3-psycopg2 python3-psycopg python3-jsonschema python3-yaml nodejs valgrind prometheus dpkg-dev
    zsh? pgbouncer?"
# The fuzzers: clang, and libFuzzer, which is a package of its own.
FUZZ_PACKAGES="clang libclang-rt-dev|libclang-rt-18-dev|libclang-rt-14-dev"
# What benchmarks stand beside.
BENCH_PACKAGES="python3 openssl libck-dev libjson-c-dev libjansson-dev"
RIVAL_PACKAGES="nginx libnginx-mod-nchan nats-server"
# The test in a browser. Ubuntu has no chromium package that runs without snap: it is skipped there.
BROWSER_PACKAGES="python3-selenium chromium chromium-driver"

say() { printf '%s: %s\n' "$(basename "$0")" "$1" >&2; }
die() { say "$1"; exit 1; }

system_id() { (. /etc/os-release 2>/dev/null && echo "${ID:-unknown} ${ID_LIKE:-}"); }

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Is there a version to install? ("Candidate: (none)" is how apt says no.)
is_available() { [[ "$(apt-cache policy "$1" 2>/dev/null)" =~ Candidate:\ [^\(] ]]; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# The pgvector of the PostgreSQL that is there, or that `postgresql` would bring.
pgvector_package() {
    local version
    version=$({ ls /usr/lib/postgresql 2>/dev/null || true; } | sort -n | tail -n 1)
    [ -n "$version" ] || version=$(apt-cache depends postgresql 2>/dev/null |
        sed -n '0,/Depends: postgresql-[0-9]/ s/.*Depends: postgresql-\([0-9]*\)$/\1/p')
    echo "postgresql-${version:-0}-pgvector"
}

# has_word WORD: is one of its alternatives installed?
has_word() {
    local name
    for name in ${1//|/ }; do is_installed "$name" && return; done
    return 1
}

# choose_word WORD: prints the package to install for it; nothing for a name? that there is none of.
choose_word() {
    local name word=${1%\?}
    [ "$word" = pgvector ] && word=$(pgvector_package)
    for name in ${word//|/ }; do is_available "$name" && { echo "$name"; return; }; done
    case "$1" in *\?) ;; *) echo "${word##*|}" ;; esac # let apt say why there is none
}

check_system() {
    case " $(system_id) " in
    *" debian "* | *" ubuntu "*) return ;;
    esac
    die "packages can be installed on Debian and Ubuntu only, and this system is $(system_id): install what README.md names, then run this again"
}

check_rights() {
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null ||
        die "packages are missing, and installing them needs root or sudo: $*"
    sudo -n true 2>/dev/null || [ -t 0 ] ||
        die "packages are missing, and sudo wants a password that nobody can type here: $*"
}

# Debian's package makes and starts a cluster on port 5432. We need the programs only: where there is
# no PostgreSQL yet, its package is kept from making one. Where there is, everything stays as it is.
spare_main_cluster() {
    local folder=/etc/postgresql-common/createcluster.d
    is_installed postgresql-common && return
    say "PostgreSQL comes without a cluster of the system's own (create_main_cluster in $folder/penstock.conf)"
    as_root mkdir -p "$folder"
    echo "create_main_cluster = false" | as_root tee "$folder/penstock.conf" >/dev/null
}

# spare_service NAME: Debian's packages start what they install (Prometheus on port 9090, nginx on 80).
# We need the programs only: where NAME is not there yet, its service is kept from starting.
spare_service() {
    local unit=/etc/systemd/system/$1.service
    { is_installed "$1" || [ -e "$unit" ] || [ -L "$unit" ]; } && return
    say "$1 comes without a service that runs (systemctl unmask $1 brings it back)"
    as_root mkdir -p "$(dirname "$unit")"
    as_root ln -s /dev/null "$unit"
}

# install_packages WORD…: what is missing. Needs neither network nor root when nothing is.
install_packages() {
    local word missing=() names=()
    for word; do
        case "$word" in *\?) ;; *) has_word "$word" || missing+=("$word") ;; esac
    done
    [ ${#missing[@]} -eq 0 ] && return
    check_system
    check_rights "${missing[@]}"
    for word; do case "$word" in *\?) missing+=("$word") ;; esac; done
    # The lists may be absent (in a container) or old. Failing here matters only if installing fails.
    as_root apt-get update -qq >/dev/null 2>&1 ||
        say "the package lists could not be refreshed; trying with what is there"
    mapfile -t names < <(for word in "${missing[@]}"; do choose_word "$word"; done)
    case " ${names[*]} " in *" postgresql "*) spare_main_cluster ;; esac
    case " ${names[*]} " in *" prometheus "*) spare_service prometheus ;; esac
    say "installing ${names[*]}"
    local log
    log=$(mktemp)
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${names[@]}" >"$log" 2>&1; then
        grep -E '^(E|W):|No space left|Could not resolve' "$log" | head -n 5 >&2
        rm -f "$log"
        die "installing packages failed: is there a network, room on the disk, and (on Ubuntu) the component universe? They are: ${names[*]}"
    fi
    rm -f "$log"
}

# quietly LOG SENTENCE COMMAND…: output goes to the log, whose end is shown when COMMAND fails.
quietly() {
    local log=$1 sentence=$2
    shift 2
    mkdir -p "$(dirname "$log")" 2>/dev/null || die "$(dirname "$log") cannot be made: does this folder belong to another user?"
    if ! "$@" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        grep -q 'No space left on device' "$log" && die "$sentence failed: the disk is full"
        die "$sentence failed; all of it is in $log"
    fi
}

# check_build_folder FOLDER: a build made by root cannot be continued by others.
check_build_folder() {
    [ ! -e "$1" ] || [ -w "$1" ] ||
        die "$1 belongs to $(stat -c %U "$1"): remove it, or run this as that user"
}
