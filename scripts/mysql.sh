#!/bin/sh
# Fetches Debian's MySQL server and client with all their libraries, which Debian 12 does not have.
#
#   scripts/mysql.sh            target/mysql/root, a tree for an image; prints its path
#
# Backups are tested with it; nothing is installed. The programs need the libc of their own suite:
# they run in an image of this tree, or through its `ld-linux`.
set -eu
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
case $target in
/*) place=$target/mysql ;;
*) place=$PWD/$target/mysql ;;
esac
suites=${MYSQL_SUITES:-sid}

fail() {
    echo "mysql: $*" >&2
    exit 1
}

# shellcheck source=scripts/debian.sh
. scripts/debian.sh
lock

if [ ! -x "$place/root/usr/sbin/mysqld" ]; then
    command -v apt-get >/dev/null || fail "needs apt; or put a tree with MySQL and its libraries at $place/root"
    # What a run that was cut has left may be older.
    clear_lists
    for suite in $suites; do
        rm -rf "$place/new"
        # What is written in perl is not called by the tests.
        # shellcheck disable=SC2046 # words on purpose
        (prepare "$suite" &&
            fetch "$suite" new $(with_needs "$suite" mysql-server-core mysql-client-core |
                grep -v -E '^(lib)?perl|^libgdbm|^libdb5|-gconv-')) || continue
        [ -x "$place/new/usr/sbin/mysqld" ] || continue
        # Links of a system whose directories are merged, and nothing that the server does well without.
        mkdir -p "$place/new/usr/lib64"
        ln -s usr/lib "$place/new/lib"
        ln -s usr/lib64 "$place/new/lib64"
        rm -rf "$place/new/usr/share/doc" "$place/new/usr/share/man" "$place/new/usr/share/locale" \
            "$place/new/usr/lib/mysql/plugin"
        rm -rf "$place/root"
        # Last, so that what is cut is never taken for whole.
        mv "$place/new" "$place/root"
        break
    done
    clear_lists
    [ -x "$place/root/usr/sbin/mysqld" ] || fail "found no mysql-server-core in $suites"
fi
echo "$place/root"
