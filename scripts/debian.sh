# shellcheck shell=sh
# For other scripts to read: unpacks packages of Debian's later suites beside the system's own.
#
#   place=...   the directory, which has the caller's lock
#
# Nothing is installed. The packages come from the mirrors this machine already uses, asked for a
# later suite. The reader has `fail`.
: "${place:?}"

# The Debian mirrors among the machine's own sources, whichever of the two forms they have.
mirrors() {
    {
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep '^deb ' || true
        cat /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -i '^uris:' || true
    } | tr ' \t' '\n' | grep -E '^[a-z+]+:.*/debian/?$' | sort -u
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
    home=$place/apt-$suite
    apt-get -q \
        -o Dir::Etc::SourceList="$home/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$home/state" -o Dir::State::Lists="$home/lists" \
        -o Dir::State::Status="$home/status" -o Dir::Cache="$home/cache" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

prepare() { # SUITE: lists its packages, once a run
    home=$place/apt-$1
    if [ "$(cat "$home/prepared" 2>/dev/null)" = $$ ]; then return; fi
    mkdir -p "$home/lists/partial" "$home/state" "$home/cache/archives/partial"
    : >"$home/status"
    sources_for "$1" >"$home/sources.list"
    [ -s "$home/sources.list" ] || fail "no Debian mirror in the apt sources of this machine"
    apt_in "$1" update >"$home/log" 2>&1 || fail "apt-get update for $1: $(tail -n 3 "$home/log")"
    echo $$ >"$home/prepared"
}

# Names packages and all that they need: the state of this apt says that nothing is installed.
with_needs() { # SUITE PACKAGE...
    suite=$1
    shift
    apt_in "$suite" install --simulate --no-install-recommends "$@" 2>>"$place/apt-$suite/log" |
        sed -n 's/^Inst \([^ ]*\) .*/\1/p'
}

fetch() { # SUITE INTO PACKAGE...: unpacks packages below $place/INTO
    suite=$1 into=$2
    shift 2
    (cd "$place/apt-$suite/cache/archives" && apt_in "$suite" download "$@" >>"$place/apt-$suite/log" 2>&1) ||
        return 1
    for package in "$place/apt-$suite"/cache/archives/*.deb; do
        dpkg-deb --extract "$package" "$place/$into"
        rm -f "$package"
    done
}

# One at a time: several tests may ask for it at once.
lock() {
    mkdir -p "$place"
    exec 9>"$place/lock"
    flock 9
}

# What is only of use while packages are fetched.
clear_lists() {
    rm -rf "$place"/apt-*/lists "$place"/apt-*/cache
}
