# shellcheck shell=sh
# For other scripts and the Makefile to read: lets cargo build for the target that ships. All of `make
# lint`, `make test` and the image share what is built so, in one profile and for one target.
#
#   TARGET=...   another target than the one chosen here

# musl is what we ship: one libc inside the binary, no name service plugins. glibc is the way out
# where the target cannot be added; Debian's links statically well enough for an image.
if [ -n "${TARGET:-}" ]; then
    CARGO_BUILD_TARGET=$TARGET
else
    CARGO_BUILD_TARGET=$(uname -m)-unknown-linux-musl
    libdir=$(rustc --print target-libdir --target "$CARGO_BUILD_TARGET" 2>/dev/null || true)
    if [ ! -d "$libdir" ] || ! command -v musl-gcc >/dev/null; then
        CARGO_BUILD_TARGET=$(uname -m)-unknown-linux-gnu
    fi
fi
export CARGO_BUILD_TARGET
variable=$(echo "$CARGO_BUILD_TARGET" | tr - _)
case $CARGO_BUILD_TARGET in
*-musl) export "CC_$variable=musl-gcc" ;;
*) export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" ;;
esac
# The allocator would hand back page after page at the end of each command, just before the kernel
# takes them all.
export "CFLAGS_$variable=-DMI_SKIP_COLLECT_ON_EXIT=1"
# Else a zlib of the machine is linked dynamically, and the binary does not start.
export LIBZ_SYS_STATIC=1
