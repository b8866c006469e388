#!/bin/sh
# Puts a Python program into an environment of its own below target/; nothing is installed outside.
#
#   scripts/venv.sh NAME VERSION [PACKAGE]    target/NAME; prints its directory
set -eu
cd "$(dirname "$0")/.."

name=$1 wanted=$2 package=${3:-$1}

target=${CARGO_TARGET_DIR:-target}
case $target in
/*) venv=$target/$name ;;
*) venv=$PWD/$target/$name ;;
esac

fail() {
    echo "$name: $*" >&2
    exit 1
}

mkdir -p "$(dirname "$venv")"
# Of two that need it at once, one makes it.
exec 9>"$venv.lock"
flock 9
if [ "$(cat "$venv/wanted" 2>/dev/null)" = "$wanted" ]; then
    echo "$venv"
    exit 0
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || fail "Python 3 with venv is missing: run scripts/setup.sh"
log=$venv.log
# `wanted` is written last: one that broke off is never taken for a whole one.
rm -rf "$venv"
python3 -m venv "$venv" >"$log" 2>&1 || fail "no environment could be made: $(tail -n 3 "$log")"
"$venv/bin/pip" install --quiet --disable-pip-version-check "$package==$wanted" >>"$log" 2>&1 ||
    fail "pip could not install $package $wanted: $(tail -n 3 "$log")"
echo "$wanted" >"$venv/wanted"
echo "$venv"
