#!/bin/sh
# Puts pygeoapi, a server of OGC API Processes, into a Python environment of its own below target/.
#
#   scripts/pygeoapi.sh          target/pygeoapi; prints its directory
#
# It is the peer that jobs of the kind `ogc_process` are tested with; nothing is installed outside.
set -eu
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
case $target in
/*) venv=$target/pygeoapi ;;
*) venv=$PWD/$target/pygeoapi ;;
esac
wanted=0.21.0

fail() {
    echo "pygeoapi: $*" >&2
    exit 1
}

if [ "$(cat "$venv/wanted" 2>/dev/null)" = "$wanted" ]; then
    echo "$venv"
    exit 0
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || fail "Python 3 with venv is missing: run scripts/setup.sh"
mkdir -p "$(dirname "$venv")"
log=$venv.log
# Beside where it ends up, so that one which broke off is never taken for a whole one.
rm -rf "$venv"
python3 -m venv "$venv" >"$log" 2>&1 || fail "no environment could be made: $(tail -n 3 "$log")"
"$venv/bin/pip" install --quiet --disable-pip-version-check "pygeoapi==$wanted" >>"$log" 2>&1 ||
    fail "pip could not install pygeoapi $wanted: $(tail -n 3 "$log")"
echo "$wanted" >"$venv/wanted"
echo "$venv"
