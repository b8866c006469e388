#!/bin/sh
# Builds the static binary and the image `roadstead`, FROM scratch: no base image is pulled.
#
#   scripts/image.sh                 release binary, build context, image `roadstead`
#   scripts/image.sh context         only the binary and the context in target/image
#   PROFILE=ci scripts/image.sh ...  a quicker, larger binary, for tests
#   TAG=NAME scripts/image.sh        another name for the image
set -eu
cd "$(dirname "$0")/.."

profile=${PROFILE:-release}
tag=${TAG:-roadstead}
context=target/image
. scripts/target.sh

build_binary() {
    # At a fixed address: relocations are half of the time that a short command takes (docs/image.md).
    cargo rustc --locked --profile "$profile" --bin roadstead -- -C relocation-model=static
    binary=${CARGO_TARGET_DIR:-target}/$CARGO_BUILD_TARGET/$profile/roadstead
    if readelf --program-headers "$binary" 2>/dev/null | grep -q 'interpreter'; then
        echo "image: $binary is not static; see docs/image.md" >&2
        exit 1
    fi
}

assemble_context() {
    root=$context/rootfs
    rm -rf "$context"
    mkdir -p "$root/etc/ssl/certs" "$root/etc/roadstead/jobs" "$root/jobs" "$root/tmp" \
        "$root/var/lib/roadstead" "$root/var/log/roadstead"
    chmod 1777 "$root/tmp"
    cp "$binary" "$root/roadstead"
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    if [ -d jobs ]; then cp -R jobs/. "$root/jobs/"; fi
    cp NOTICE LICENSE-APACHE LICENSE-MIT "$root/"
    cp Dockerfile "$context/"
}

build_image() {
    # Both builders of docker can do this; the older one is always there.
    if docker buildx version >/dev/null 2>&1; then buildkit=1; else buildkit=0; fi
    if ! DOCKER_BUILDKIT=$buildkit docker build --quiet --tag "$tag" "$context" \
        >"$context/id" 2>"$context/log"; then
        cat "$context/log" >&2
        echo "image: docker build failed; is the Docker Engine running? (scripts/engine.sh start)" >&2
        exit 1
    fi
    size=$(du --apparent-size -m "$context/rootfs/roadstead" | cut -f1)
    echo "image: $tag ($CARGO_BUILD_TARGET, $profile, binary $size MiB)"
}

build_binary
assemble_context
if [ "${1:-}" != context ]; then build_image; fi
