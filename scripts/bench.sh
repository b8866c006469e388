#!/bin/sh
# `make bench`: the figures, on a private engine, beside docker compose 2.40 in the same run.
#
#   BENCH=engine scripts/bench.sh    only that one of benches/
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:$HOME/.cargo/bin
engine=bench-$$
trap 'code=$?; trap - EXIT; scripts/engine.sh stop "$engine" || true; exit $code' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

scripts/image.sh context
ROADSTEAD_BIN=$PWD/target/image/rootfs/roadstead
ORACLE=${ORACLE:-$(scripts/oracle.sh)}
eval "$(scripts/engine.sh start "$engine" --parent $$)"
export ROADSTEAD_BIN ORACLE

for file in benches/*.rs; do
    bench=$(basename "$file" .rs)
    if [ -n "${BENCH:-}" ] && [ "$BENCH" != "$bench" ]; then continue; fi
    cargo bench --locked --bench "$bench"
done
