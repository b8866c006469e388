#!/bin/sh
# Fetches Debian's docker-compose 2.40 (and, asked for, its Engine 28) beside the system's own.
#
#   scripts/oracle.sh            target/oracle/docker-compose; prints its path
#   scripts/oracle.sh engine     also dockerd, containerd, docker of a later suite in target/oracle
#
# They are the peers that benches and golden files measure against; nothing is installed. The
# packages come from the mirrors this machine already uses, asked for a later suite.
set -eu
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
case $target in
/*) oracle=$target/oracle ;;
*) oracle=$PWD/$target/oracle ;;
esac
suites=${ORACLE_SUITES:-sid forky}
wanted=2.40
wanted_engine=28

fail() {
    echo "oracle: $*" >&2
    exit 1
}

# The Debian mirrors among the machine's own sources, whichever of the two forms they have.
mirrors() {
    {
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep '^deb ' || true
        cat /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -i '^uris:' || true
    } | tr ' \t' '\n\n' | grep -E '^[a-z+]+:.*/debian/?$' | sort -u
}

sources_for() { # SUITE
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    option=
    if [ -e $keyring ]; then option="[signed-by=$keyring] "; fi
    for mirror in $(mirrors); do
        echo "deb $option$mirror $1 main"
    done
}

# apt with directories of its own: the system's lists and state stay as they are.
apt_in() { # SUITE COMMAND...
    suite=$1
    shift
    home=$oracle/apt-$suite
    apt-get -q \
        -o Dir::Etc::SourceList="$home/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$home/state" -o Dir::State::Lists="$home/lists" \
        -o Dir::State::Status="$home/status" -o Dir::Cache="$home/cache" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

prepare() { # SUITE: lists its packages, once a run
    home=$oracle/apt-$1
    if [ "$(cat "$home/prepared" 2>/dev/null)" = $$ ]; then return; fi
    mkdir -p "$home/lists/partial" "$home/state" "$home/cache/archives/partial"
    : >"$home/status"
    sources_for "$1" >"$home/sources.list"
    [ -s "$home/sources.list" ] || fail "no Debian mirror in the apt sources of this machine"
    apt_in "$1" update >"$home/log" 2>&1 || fail "apt-get update for $1: $(tail -n 3 "$home/log")"
    echo $$ >"$home/prepared"
}

fetch() { # SUITE PACKAGE...: unpacks packages below $oracle/SUITE
    suite=$1
    shift
    (cd "$oracle/apt-$suite/cache/archives" && apt_in "$suite" download "$@" >>"$oracle/apt-$suite/log" 2>&1) ||
        return 1
    for package in "$oracle/apt-$suite"/cache/archives/*.deb; do
        dpkg-deb --extract "$package" "$oracle/$suite"
        rm -f "$package"
    done
}

# Links are relative, so that the directory may be moved or shared.
link() { # SUITE PROGRAM PATTERN
    found=$(cd "$oracle" && find "$1" -path "$3" -type f -name "$2" -perm -u+x | head -n 1)
    [ -z "$found" ] || ln -sf "$found" "$oracle/$2"
}

compose_is_there() {
    [ -x "$oracle/docker-compose" ] &&
        "$oracle/docker-compose" version --short 2>/dev/null | grep -q "^v\{0,1\}$wanted"
}

# One at a time: several tests may ask for it at once.
mkdir -p "$oracle"
exec 9>"$oracle/lock"
flock 9

if ! compose_is_there; then
    command -v apt-get >/dev/null || fail "needs apt; or put docker-compose $wanted at $oracle/docker-compose"
    for suite in $suites; do
        (prepare "$suite" && fetch "$suite" docker-compose) || continue
        link "$suite" docker-compose '*'
        if compose_is_there; then break; fi
    done
    compose_is_there || fail "found no docker-compose $wanted in $suites"
fi

engine_is_there() {
    for program in dockerd docker containerd containerd-shim-runc-v2; do
        [ -x "$oracle/$program" ] || return 1
    done
    "$oracle/dockerd" --version 2>/dev/null | grep -q "version $wanted_engine\."
}

if [ "${1:-}" = engine ] && ! engine_is_there; then
    command -v apt-get >/dev/null || fail "needs apt; or put dockerd $wanted_engine and its programs into $oracle"
    for suite in $suites; do
        (prepare "$suite" && fetch "$suite" docker.io docker-cli containerd) || continue
        for program in dockerd docker containerd containerd-shim-runc-v2 docker-proxy; do
            link "$suite" "$program" '*bin/*'
        done
        if engine_is_there; then break; fi
    done
    engine_is_there || fail "found no docker.io $wanted_engine in $suites"
fi
rm -rf "$oracle"/apt-*/lists "$oracle"/apt-*/cache
echo "$oracle/docker-compose"
