#!/bin/sh
# Feeds each parser with hostile input. With cargo-fuzz it is coverage-guided (fuzz/); without, the
# property tests run with many more cases, which needs nothing but cargo.
set -eu
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
if [ -d fuzz ] && command -v cargo-fuzz >/dev/null; then
    for target in $(cargo fuzz list); do
        cargo +nightly fuzz run "$target" -- -max_total_time="$seconds"
    done
else
    echo "fuzz: cargo-fuzz or fuzz/ is missing; property tests with ${PROPTEST_CASES:-20000} cases"
    PROPTEST_CASES=${PROPTEST_CASES:-20000} cargo test --locked --lib
fi

# What docker compose makes of random texts, for FUZZ_ROUNDS rounds.
cargo test --locked --test compose_fuzz -- --ignored
