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

place=$oracle
# shellcheck source=scripts/debian.sh
. scripts/debian.sh

# Links are relative, so that the directory may be moved or shared.
link() { # SUITE PROGRAM PATTERN
    found=$(cd "$oracle" && find "$1" -path "$3" -type f -name "$2" -perm -u+x | head -n 1)
    [ -z "$found" ] || ln -sf "$found" "$oracle/$2"
}

compose_is_there() {
    [ -x "$oracle/docker-compose" ] &&
        "$oracle/docker-compose" version --short 2>/dev/null | grep -q "^v\{0,1\}$wanted"
}

lock

if ! compose_is_there; then
    command -v apt-get >/dev/null || fail "needs apt; or put docker-compose $wanted at $oracle/docker-compose"
    for suite in $suites; do
        (prepare "$suite" && fetch "$suite" "$suite" docker-compose) || continue
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
        (prepare "$suite" && fetch "$suite" "$suite" docker.io docker-cli containerd) || continue
        for program in dockerd docker containerd containerd-shim-runc-v2 docker-proxy; do
            link "$suite" "$program" '*bin/*'
        done
        if engine_is_there; then break; fi
    done
    engine_is_there || fail "found no docker.io $wanted_engine in $suites"
fi
clear_lists
echo "$oracle/docker-compose"
