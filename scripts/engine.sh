#!/bin/sh
# A private Docker Engine for the demo, the benches and the tests.
#
#   scripts/engine.sh start [NAME] [--parent PID]   start it; print the export line for DOCKER_HOST
#   scripts/engine.sh env   [NAME]                  print that line again; exit 1 if it does not run
#   scripts/engine.sh halt  [NAME]                  stop only the daemon (containers stop with it)
#   scripts/engine.sh resume [NAME]                 start the daemon again after `halt`
#   scripts/engine.sh stop  [NAME]                  remove containers, networks, data, everything
#
# It has its own socket, data root, exec root, pid file, bridge and address range, and it touches
# neither iptables nor any sysctl, so it disturbs no other engine and leaves nothing behind:
# ports are published by the userland proxy, and containers of one network see each other over
# their bridge. What it lacks is a way from a container to the outside world, which nothing here
# needs. ROADSTEAD_ENGINE_BIN names a directory whose dockerd is taken before the machine's, such
# as target/oracle after `scripts/oracle.sh engine`, and ROADSTEAD_ENGINE_CONFIG is the text of its
# daemon.json. With `--parent` it ends by itself when that process is gone, even after `kill -9`.
set -eu

run_root=${ROADSTEAD_ENGINE_RUN:-/run/roadstead-engine}
data_parent=${ROADSTEAD_ENGINE_DATA:-/var/tmp}

fail() {
    echo "engine.sh: $*" >&2
    exit 1
}

alive() { # PID: true while the process exists and is not a zombie
    [ -n "$1" ] && [ -r "/proc/$1/stat" ] && ! grep -q '^[0-9]* (.*) Z' "/proc/$1/stat"
}

read_file() { # FILE: its text, or nothing
    if [ -f "$1" ]; then cat "$1"; fi
}

answers() { # true when the engine in $dir answers
    curl --silent --fail --noproxy "*" --max-time 2 --unix-socket "$dir/docker.sock" http://engine/_ping \
        >/dev/null 2>&1
}

client() { # the docker CLI against the engine in $dir
    env -u DOCKER_CONTEXT -u DOCKER_TLS_VERIFY DOCKER_HOST="unix://$dir/docker.sock" docker "$@"
}

claim_bridge() { # make a bridge nobody has; sets $bridge and $octet
    for octet in $(seq 200 239); do
        bridge=rsb-$octet
        if ip route show | grep -q "10\.$octet\."; then continue; fi
        # Adding a link is atomic: of two engines starting at once, one gets the name.
        if ip link add "$bridge" type bridge 2>/dev/null; then
            ip address add "10.$octet.0.1/24" dev "$bridge"
            ip link set "$bridge" up
            return
        fi
    done
    fail "no free bridge rsb-200 to rsb-239: stop other engines with \`scripts/engine.sh stop NAME\`"
}

run_daemon() { # start dockerd in $dir and remember its pid
    rm -f "$dir/docker.pid" "$dir/exec/containerd/containerd.pid" "$dir/docker.sock"
    octet=$(cat "$dir/octet")
    # A containerd of the machine, if one runs, is used under names of our own.
    dockerd --host "unix://$dir/docker.sock" --data-root "$(cat "$dir/data")" \
        --exec-root "$dir/exec" --pidfile "$dir/docker.pid" --config-file "$dir/daemon.json" \
        --bridge "$(cat "$dir/bridge")" \
        --default-address-pool "base=10.$octet.128.0/17,size=24" \
        --containerd-namespace "rs-$octet" --containerd-plugins-namespace "rs-$octet-plugins" \
        --iptables=false --ip-forward=false --ip-masq=false \
        --insecure-registry 127.0.0.0/8 --max-concurrent-downloads 8 \
        --group root --shutdown-timeout 5 >>"$dir/dockerd.log" 2>&1 &
    daemon=$!
    echo "$daemon" >"$dir/daemon.pid"
}

end_daemon() { # stop $daemon, by force when it does not listen
    alive "$daemon" || return 0
    kill -TERM "$daemon" 2>/dev/null || true
    for _ in $(seq 100); do
        alive "$daemon" || return 0
        sleep 0.1
    done
    kill -KILL "$daemon" 2>/dev/null || true
}

remove_links() { # links of networks in our address range, and the bridge itself
    octet=$(read_file "$dir/octet")
    [ -n "$octet" ] || return 0
    for link in $(ip -o -4 address show | awk -v range="10.$octet." \
        'index($4, range) == 1 { print $2 }'); do
        ip link delete "$link" 2>/dev/null || true
    done
    ip link delete "rsb-$octet" 2>/dev/null || true
}

remove_all() { # everything an engine in $dir may have left, whatever state it is in
    data=$(read_file "$dir/data")
    if answers; then
        containers=$(client ps --all --quiet 2>/dev/null || true)
        # shellcheck disable=SC2086 # one word per container
        [ -z "$containers" ] || client rm --force --volumes $containers >/dev/null 2>&1 || true
        client network prune --force >/dev/null 2>&1 || true
    fi
    daemon=$(read_file "$dir/daemon.pid")
    end_daemon
    # What a killed daemon leaves: its containerd and the shims, which carry our paths as arguments.
    for process in $(pgrep -f "$dir/exec" || true); do
        case $(cat "/proc/$process/comm" 2>/dev/null) in
        containerd* | dockerd | docker-proxy) kill -KILL "$process" 2>/dev/null || true ;;
        esac
    done
    remove_links
    for mount in $(awk -v run="$dir" -v data="${data:-/nonexistent}" \
        'index($5, run "/") == 1 || index($5, data) == 1 { print $5 }' /proc/self/mountinfo |
        sort -r); do
        umount --lazy "$mount" 2>/dev/null || true
    done
    case $data in
    "$data_parent"/roadstead-engine.*) rm -rf -- "$data" ;;
    esac
    rm -rf -- "$dir"
}

reap_dead_engines() { # engines whose supervisor was killed
    for dir in "$run_root"/*/; do
        dir=${dir%/}
        [ -f "$dir/supervisor.pid" ] || continue
        alive "$(cat "$dir/supervisor.pid")" || remove_all
    done
}

# Runs in the background until it is asked to stop or the parent is gone; then cleans up.
supervise() { # PARENT
    parent=$1
    trap 'touch "$dir/stop"' TERM INT HUP
    run_daemon
    while [ ! -e "$dir/stop" ]; do
        if [ -n "$parent" ] && ! alive "$parent"; then break; fi
        if [ -e "$dir/hold" ]; then
            end_daemon
            touch "$dir/held"
        elif ! alive "$daemon"; then
            rm -f "$dir/held"
            run_daemon
        fi
        sleep 0.2
    done
    remove_all
}

wait_for_answer() {
    for _ in $(seq 300); do
        if answers; then return; fi
        alive "$(read_file "$dir/supervisor.pid")" || break
        sleep 0.1
    done
    tail -n 20 "$dir/dockerd.log" >&2 || true
    touch "$dir/stop"
    fail "the engine does not answer; the log above is from dockerd"
}

start() {
    parent=
    if [ "${1:-}" = --parent ]; then parent=${2:?--parent needs a process id}; fi
    if [ -f "$dir/supervisor.pid" ] && alive "$(cat "$dir/supervisor.pid")"; then
        wait_for_answer
        print_env
        return
    fi
    [ "$(id -u)" = 0 ] || fail "starting an engine needs root; set DOCKER_HOST to use a running one"
    for program in dockerd docker ip curl; do
        command -v "$program" >/dev/null || fail "\`$program\` is missing: run scripts/setup.sh"
    done
    wanted=$dir
    reap_dead_engines
    dir=$wanted
    mkdir -p "$dir"
    chmod 711 "$run_root" "$dir"
    claim_bridge
    echo "$bridge" >"$dir/bridge"
    echo "$octet" >"$dir/octet"
    mktemp -d "$data_parent/roadstead-engine.XXXXXX" >"$dir/data"
    echo "${ROADSTEAD_ENGINE_CONFIG:-{\}}" >"$dir/daemon.json"
    setsid "$0" supervise "$name" "$parent" </dev/null >"$dir/supervisor.log" 2>&1 &
    echo $! >"$dir/supervisor.pid"
    wait_for_answer
    print_env
}

print_env() {
    echo "export DOCKER_HOST=unix://$dir/docker.sock"
}

stop() {
    [ -d "$dir" ] || return 0
    if alive "$(read_file "$dir/supervisor.pid")"; then
        touch "$dir/stop"
        for _ in $(seq 300); do
            [ -d "$dir" ] || return 0
            sleep 0.1
        done
    fi
    remove_all
}

halt() {
    touch "$dir/hold"
    for _ in $(seq 200); do
        if [ -e "$dir/held" ]; then return; fi
        sleep 0.1
    done
    fail "the engine \`$name\` did not stop"
}

resume() {
    rm -f "$dir/hold" "$dir/held"
    wait_for_answer
}

verb=${1:-help}
[ $# -eq 0 ] || shift
name=default
case ${1:-} in
'' | --*) ;;
*)
    name=$1
    shift
    ;;
esac
dir=$run_root/$name
PATH=${ROADSTEAD_ENGINE_BIN:+$ROADSTEAD_ENGINE_BIN:}$PATH:/usr/sbin:/sbin

case $verb in
start) start "$@" ;;
stop) stop ;;
halt) halt ;;
resume) resume ;;
env) answers || fail "engine \`$name\` does not run"; print_env ;;
supervise) supervise "${1:-}" ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" ;;
esac
