#!/bin/sh
# Puts moto, a server that speaks S3, into a Python environment of its own below target/.
#
#   scripts/moto.sh          target/moto; prints its directory
#
# Backups into a bucket are tested with it; nothing is installed outside.
set -eu
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
case $target in
/*) venv=$target/moto ;;
*) venv=$PWD/$target/moto ;;
esac
wanted=5.1.4

fail() {
    echo "moto: $*" >&2
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
"$venv/bin/pip" install --quiet --disable-pip-version-check "moto[s3,server]==$wanted" >>"$log" 2>&1 ||
    fail "pip could not install moto $wanted: $(tail -n 3 "$log")"
echo "$wanted" >"$venv/wanted"
echo "$venv"
