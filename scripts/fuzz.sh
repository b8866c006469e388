#!/bin/bash
# Feeds each reader of foreign text with hostile input, all at once, then compares random texts with
# docker compose. Ends with one line for each; fails where something was found.
#
#   FUZZ_SECONDS=60     how long the targets of fuzz/ run, all at the same time
#   FUZZ_TARGETS=       which of them; unless said, all
#   FUZZ_ROUNDS=3       rounds of the comparison; 0 for none
#
# cargo-fuzz is fetched into target/fuzz where it is missing. Stable Rust is enough: all of it is safe
# code, so that what counts are panics, time and memory, and these need no sanitizer.
set -eu
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
rounds=${FUZZ_ROUNDS:-3}
cargo_fuzz=cargo-fuzz@0.13.2
work=$PWD/target/fuzz
mkdir -p "$work"
PATH=$PATH:$HOME/.cargo/bin

SETUP_NEEDS='c++=g++' scripts/setup.sh
if ! command -v cargo-fuzz >/dev/null; then
    if [ ! -x "$work/bin/cargo-fuzz" ]; then
        echo "fuzz: installing $cargo_fuzz into target/fuzz"
        cargo install --quiet --locked --root "$work" $cargo_fuzz
    fi
    PATH=$work/bin:$PATH
fi
echo "fuzz: building the targets"
cargo fuzz build --sanitizer none >"$work/build.log" 2>&1 || {
    tail -n 30 "$work/build.log" >&2
    exit 1
}
fuzz/seeds.sh

programs=fuzz/target/$(rustc -vV | sed -n 's/^host: //p')/release
read -r -a targets <<<"${FUZZ_TARGETS:-$(cargo fuzz list | tr '\n' ' ')}"

# What one target does, until the time is over or something is found.
run() { # TARGET
    mkdir -p "fuzz/artifacts/$1"
    "$programs/$1" -max_total_time="$seconds" -rss_limit_mb=512 -timeout=5 -max_len=16384 \
        -print_final_stats=1 -dict="fuzz/corpus/$1.dict" -artifact_prefix="fuzz/artifacts/$1/" \
        "fuzz/corpus/$1" >"$work/$1.log" 2>&1 &
    running+=($!)
}

# One line: executions, seconds, coverage, what was found.
report() { # TARGET STATUS
    local log=$work/$1.log executions coverage found
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    found=$(sed -n 's/.*Test unit written to //p' "$log" | tr '\n' ' ')
    printf 'fuzz: %-12s %10s executions, coverage %6s, %s\n' "$1" "${executions:-?}" "${coverage:-?}" \
        "${found:-$([ "$2" = 0 ] && echo 'nothing found' || echo "stopped, see $log")}"
}

echo "fuzz: ${#targets[@]} targets for $seconds s"
running=()
trap 'kill "${running[@]}" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
for target in "${targets[@]}"; do run "$target"; done
lines=() failed=0
for index in "${!targets[@]}"; do
    status=0
    wait "${running[$index]}" || status=$?
    [ "$status" = 0 ] || failed=1
    lines+=("$(report "${targets[$index]}" "$status")")
done
running=()

if [ "$rounds" != 0 ]; then
    status=0
    FUZZ_ROUNDS=$rounds cargo test --quiet --locked --test compose_fuzz -- --ignored --nocapture \
        >"$work/compare.log" 2>&1 || status=1
    if [ "$status" != 0 ]; then
        failed=1
        cat "$work/compare.log"
    fi
    lines+=("$(sed -n 's/^compared: /fuzz: docker compose: /p' "$work/compare.log")")
fi
printf '%s\n' "${lines[@]}"
exit $failed
