#!/bin/sh
# Installs what building, testing and the demo need on Debian. Safe to run again and again.
#
#   scripts/setup.sh           install what is missing (root, or sudo without a password)
#   scripts/setup.sh --tests   fetch what the tests compare with, too, into target
#   scripts/setup.sh --list    only print the packages that are missing
#
# SETUP_NEEDS names more, in the form below.
set -eu

# program=package; a path stands for itself.
needs='
gcc=gcc make=make cmake=cmake pkg-config=pkg-config git=git curl=curl jq=jq
openssl=openssl ip=iproute2 setpriv=util-linux pgrep=procps ssh=openssh-client musl-gcc=musl-tools
dockerd=docker.io restic=restic age=age zstd=zstd /usr/sbin/sshd=openssh-server /usr/sbin/lighttpd=lighttpd
/usr/lib/postgresql=postgresql mariadbd=mariadb-server-core mariadb-dump=mariadb-client
redis-check-rdb=redis-tools sqlite3=sqlite3 /usr/bin/docker-registry=docker-registry /usr/lib/git-core/git-http-backend=git
/etc/ssl/certs/ca-certificates.crt=ca-certificates
'
needs="$needs ${SETUP_NEEDS:-}"
PATH=$PATH:/usr/sbin:/sbin

missing() {
    for need in $needs; do
        program=${need%%=*} package=${need#*=}
        case $program in
        /*) [ -e "$program" ] || echo "$package" ;;
        *) command -v "$program" >/dev/null 2>&1 || echo "$package" ;;
        esac
    done
    # From Debian 13 on the client is a package of its own.
    if ! command -v docker >/dev/null 2>&1 && [ -n "$(apt-cache show docker-cli 2>/dev/null)" ]; then
        echo docker-cli
    fi
    # perl-base, which is always there, lacks modules that OpenSSL's build uses.
    perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null || echo perl
    # The dynamic busybox of some images cannot run in an image made from scratch.
    busybox_is_static || echo busybox-static
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    dpkg-query -W -f '${Status}\n' libc6-dev 2>/dev/null | grep -q 'ok installed' || echo libc6-dev
}

busybox_is_static() {
    [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1
}

packages=$(missing | sort -u | tr '\n' ' ')
if [ "${1:-}" = --list ]; then
    echo "$packages"
    exit 0
fi

if [ -n "${packages% }" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "setup: this is not Debian; please install what provides: $packages" >&2
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root='sudo -n'
    else
        echo "setup: these packages are missing and installing them needs root:" >&2
        echo "    apt-get install --no-install-recommends $packages" >&2
        echo "Ask an administrator for them, or run this script as root." >&2
        echo "Without them you can still: cargo build; cargo test --lib" >&2
        exit 1
    fi
    echo "setup: installing $packages"
    # The packages bring services (dockerd, sshd, lighttpd, a registry) that we start ourselves, on
    # sockets and ports of our own; the machine's policy is put back afterwards.
    policy=/usr/sbin/policy-rc.d
    forbid='printf "#!/bin/sh\nexit 101\n" > '$policy' && chmod 755 '$policy
    if [ ! -e $policy ]; then
        $as_root sh -c "$forbid"
        trap '$as_root rm -f $policy' EXIT INT TERM
    fi
    log=$(mktemp)
    # shellcheck disable=SC2086 # words on purpose
    install_packages() {
        $as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get \
            -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends $packages
    }
    if ! install_packages >"$log" 2>&1 </dev/null; then
        $as_root apt-get -o DPkg::Lock::Timeout=300 update >>"$log" 2>&1 </dev/null || true
        if ! install_packages >>"$log" 2>&1 </dev/null; then
            tail -n 30 "$log" >&2
            echo "setup: apt-get failed; its last lines are above" >&2
            exit 1
        fi
    fi
    rm -f "$log"
fi

if ! command -v cargo >/dev/null && [ ! -x "$HOME/.cargo/bin/cargo" ]; then
    echo "setup: Rust is missing: install rustup, then \`rustup toolchain install stable\`" >&2
    exit 1
fi
PATH=$PATH:$HOME/.cargo/bin
# The static target; without rustup the image is built against glibc instead, see scripts/image.sh.
target=$(uname -m)-unknown-linux-musl
if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx "$target"; then
    echo "setup: adding the Rust target $target"
    rustup target add "$target" >/dev/null 2>&1 ||
        echo "setup: could not add it; the image will be built against glibc"
fi

# A server of OGC API Processes, for the same reason.
if [ "${1:-}" = --tests ] && ! "$(dirname "$0")/pygeoapi.sh" >/dev/null; then
    echo "setup: the tests beside pygeoapi will fail: see above" >&2
fi
# A server that speaks S3, too.
if [ "${1:-}" = --tests ] && ! "$(dirname "$0")/moto.sh" >/dev/null; then
    echo "setup: the tests of backups into a bucket will fail: see above" >&2
fi
# docker compose and a newer Engine, fetched now and not in the middle of a test. Without them the
# other tests are worth running, and those that need them say what is missing.
if [ "${1:-}" = --tests ] && ! "$(dirname "$0")/oracle.sh" engine >/dev/null; then
    echo "setup: the tests beside docker compose 2.40 and on Docker Engine 28 will fail: see above" >&2
fi
# A MySQL of a later suite, too.
if [ "${1:-}" = --tests ] && ! "$(dirname "$0")/mysql.sh" >/dev/null; then
    echo "setup: the tests of backups of MySQL will fail: see above" >&2
fi
