#!/bin/sh
# `make demo`: from nothing to a deployed push, in front of your eyes; ends by itself.
#
# It uses the Docker Engine that runs, or else starts a private one (root). Everything it makes is
# called roadstead-demo and is removed at the end, also after Ctrl-C.
set -eu
cd "$(dirname "$0")/.."

name=roadstead-demo
engine=demo-$$
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin
if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') off=$(printf '\033[0m'); else bold= dim= off=; fi

step() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
say() { printf '  %s\n' "$*"; }
show() { # runs a command and shows both it and its output
    printf '  %s$ %s%s\n' "$dim" "$*" "$off"
    "$@" 2>&1 | sed 's/^/  /'
}
columns() { # lines with tabs as a table
    awk -F '\t' '
        { for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } }
        END {
            for (row = 1; row <= NR; row++) {
                line = "  "
                for (i = 1; i <= NF; i++) line = line sprintf("%-" width[i] + 2 "s", cell[row, i])
                sub(/ +$/, "", line)
                print line
            }
        }'
}
fail() {
    printf '\ndemo: %s\n' "$*" >&2
    [ -n "$work" ] || exit 1
    docker logs --tail 30 $name >&2 2>/dev/null || true
    tail -n 30 "$work"/log/*.log >&2 2>/dev/null || true
    exit 1
}

clean_up() {
    code=$?
    trap - EXIT INT TERM
    if [ -n "${ours:-}" ]; then
        scripts/engine.sh stop "$engine" || true
    elif [ -n "${work:-}" ]; then
        # Roadstead first: it would repair what is removed under its eyes.
        docker rm --force --volumes $name >/dev/null 2>&1 || true
        docker ps --all --quiet --filter label=com.docker.compose.project=$name |
            xargs -r docker rm --force --volumes >/dev/null 2>&1 || true
        docker network ls --quiet --filter label=com.docker.compose.project=$name |
            xargs -r docker network rm >/dev/null 2>&1 || true
        docker volume rm $name >/dev/null 2>&1 || true
        docker rmi $name-busybox $name >/dev/null 2>&1 || true
    fi
    [ -z "${work:-}" ] || rm -rf "$work"
    exit $code
}

choose_engine() { # a reachable local engine, else one of our own
    case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
    unix://*) socket=${DOCKER_HOST:-unix:///var/run/docker.sock} socket=${socket#unix://} ;;
    *) socket= ;;
    esac
    if [ -S "$socket" ] && DOCKER_HOST=unix://$socket docker version >/dev/null 2>&1; then
        export DOCKER_HOST=unix://$socket
        say "using the engine at $socket"
    else
        ours=yes
        eval "$(scripts/engine.sh start "$engine" --parent $$)"
        socket=${DOCKER_HOST#unix://}
        say "none runs, so here is a private one: $DOCKER_HOST"
    fi
}

git_as_ada() { # git away from your own configuration
    env GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.org \
        GIT_COMMITTER_NAME=Ada GIT_COMMITTER_EMAIL=ada@example.org git "$@"
}

make_repositories() { # a remote, Ada's clone, and the checkout on the host that Roadstead follows
    git_as_ada init --quiet --bare --initial-branch=main "$work/remote.git"
    git_as_ada clone --quiet "$work/remote.git" "$work/ada" 2>/dev/null
    git_as_ada -C "$work/ada" checkout --quiet -B main
    cp -R examples/hello/. "$work/ada/"
    git_as_ada -C "$work/ada" add --all
    git_as_ada -C "$work/ada" commit --quiet --message 'Say hello'
    git_as_ada -C "$work/ada" push --quiet origin main
    git_as_ada clone --quiet "$work/remote.git" "$work/stack"
    # As the container sees it: this is where it will fetch from.
    git_as_ada -C "$work/stack" remote set-url origin /srv/remote.git
}

make_busybox_image() { # a stand-in for an image of a registry, so that nothing is pulled
    mkdir "$work/busybox"
    cp /bin/busybox "$work/busybox/"
    cat >"$work/busybox/Dockerfile" <<'END'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
END
    if docker buildx version >/dev/null 2>&1; then buildkit=1; else buildkit=0; fi
    DOCKER_BUILDKIT=$buildkit docker build --quiet --tag $name-busybox "$work/busybox" >/dev/null 2>&1 ||
        fail "docker build of the example's image failed"
}

set_variable() { # NAME VALUE: as an editor would, in the line that is there for it
    if grep -Eq "^#? ?$1=" "$work/env.local"; then
        sed -E -i "0,/^#? ?$1=/s|^#? ?$1=.*|$1=\"$2\"|" "$work/env.local"
    else
        printf '%s="%s"\n' "$1" "$2" >>"$work/env.local"
    fi
}

free_port() {
    port=8080
    while ss -Hltn "sport = :$port" 2>/dev/null | grep -q .; do port=$((port + 1)); done
    echo $port
}

page() { curl --silent --noproxy "*" --max-time 2 "http://127.0.0.1:$port/" || true; }
container() { docker ps --quiet --filter "label=com.docker.compose.project=$name" \
    --filter "label=com.docker.compose.service=$1"; }

wait_for_page() { # TEXT SECONDS
    for _ in $(seq $(($2 * 5))); do
        if page | grep -q "$1"; then return; fi
        if [ "$(docker inspect --format '{{.RestartCount}}' $name)" != 0 ]; then
            fail 'roadstead ended; its last words are below'
        fi
        sleep 0.2
    done
    fail "\"$1\" did not arrive in $2 s"
}

work=
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step '1. What it needs'
scripts/setup.sh
work=$(mktemp -d /var/tmp/roadstead-demo.XXXXXX)
chmod 755 "$work"
choose_engine

step '2. The image: one static binary, FROM scratch'
say 'the first build takes some minutes'
PROFILE=${PROFILE:-release} TAG=$name scripts/image.sh 2>"$work/image.log" >"$work/image" ||
    { tail -n 30 "$work/image.log" >&2; fail 'the image could not be built'; }
say "$(tail -n 1 "$work/image" | sed 's/^image: //')"

step '3. A repository to follow, and env.local'
make_busybox_image
make_repositories
port=$(free_port)
cp env.local.example "$work/env.local"
set_variable AUTODEPLOY_EXTRA_REPOS /srv/stack
set_variable AUTODEPLOY_PLATFORM_FREQUENCY '*/5 * * * * *'
set_variable AUTODEPLOY_HEALTH_STABLE_FOR 2s
set_variable HELLO_PROJECT $name
set_variable HELLO_IMAGE $name-busybox
set_variable HELLO_PORT "$port"
say 'cp env.local.example env.local, then these lines:'
grep -E '^(AUTODEPLOY|HELLO)' "$work/env.local" | sed 's/^/    /'

step '4. Start'
mkdir "$work/log"
cat <<END
  ${dim}\$ docker run -d --name $name --restart unless-stopped \\
      -v $socket:/var/run/docker.sock \\
      -v \$PWD/env.local:/etc/roadstead/env.local:ro \\
      -v \$PWD/stack:/srv/stack -v \$PWD/remote.git:/srv/remote.git:ro \\
      -v $name:/var/lib/roadstead -v \$PWD/log:/var/log/roadstead \\
      $name${off}
END
docker run -d --name $name --restart unless-stopped \
    -v "$socket:/var/run/docker.sock" \
    -v "$work/env.local:/etc/roadstead/env.local:ro" \
    -v "$work/stack:/srv/stack" -v "$work/remote.git:/srv/remote.git:ro" \
    -v $name:/var/lib/roadstead -v "$work/log:/var/log/roadstead" \
    $name >/dev/null 2>"$work/run.log" || { cat "$work/run.log" >&2; fail 'docker run failed'; }
wait_for_page 'first commit' 60
say "http://127.0.0.1:$port/ says: $(page)"
web=$(container web)
neighbour=$(container neighbour)
for _ in $(seq 100); do # the first run ends after its verification
    if grep -q END_TIME "$work/log/autodeploy.log"; then break; fi
    sleep 0.2
done
lines=$(wc -l <"$work/log/autodeploy.log")

step '5. git push'
sed -i 's/GREETING: first/GREETING: second/' "$work/ada/compose.yml"
echo 'Hello from the second commit.' >"$work/ada/www/index.html"
git_as_ada -C "$work/ada" commit --quiet --all --message 'Greet a second time'
git_as_ada -C "$work/ada" push --quiet origin main
pushed=$(date +%s)
wait_for_page 'second commit' 60
# The page is a mounted file and may be there before the container is.
for _ in $(seq 300); do
    now=$(container web)
    if [ -n "$now" ] && [ "$now" != "$web" ] && [ "$(echo "$now" | wc -l)" = 1 ]; then break; fi
    sleep 0.2
done
if [ "$now" = "$web" ]; then fail 'the container of web was not replaced in 60 s'; fi
say "http://127.0.0.1:$port/ says: $(page)"
say "$(($(date +%s) - pushed)) s after the push; web has a new container,"
if [ "$(container neighbour)" = "$neighbour" ]; then
    say 'its neighbour was not touched'
else
    fail 'the neighbour was replaced, though nothing of it changed'
fi
# The run goes on until it has seen web healthy, and its old container removed.
# Its lines: from START_TIME to END_TIME of the first run since the push that speaks of web.
story() {
    tail -n "+$((lines + 1))" "$work/log/autodeploy.log" | awk '
        /^autodeploy START_TIME/ { block = "" }
        { block = block "    " $0 "\n" }
        /END_TIME/ && block ~ /web/ { printf "%s", block; exit }'
}
for _ in $(seq 150); do
    if [ -n "$(story)" ]; then break; fi
    sleep 0.2
done
[ -n "$(story)" ] || fail 'the run did not end in 30 s'
show docker ps --format 'table {{.Names}}\t{{.Status}}'

step '6. The story of that run'
printf '  %s$ tail -f log/autodeploy.log%s\n' "$dim" "$off"
story | head -n 40
printf '  %s$ docker exec %s /roadstead runs%s\n' "$dim" $name "$off"
docker exec $name /roadstead runs | columns

step 'Done. Everything is removed again.'
