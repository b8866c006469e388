#!/bin/sh
# `make bench`: the figures, beside docker compose 2.40 in the same run. The bench of the engine
# starts a private one, as the tests do.
#
#   BENCH=engine scripts/bench.sh    only that one of benches/
#   BENCH_PART=cold ...              only that part of it: config, unchanged, changed, cold, idle,
#                                    output (a GiB thrice: minutes), many (100,000 jobs: minutes)
#   BENCH=backup BENCH_FILES=10000 BENCH_BIG_MB=500 ...   a smaller tree than a million files and 5 GB
#   BENCH=backup BENCH_COLD=1 ...    with nothing in memory when either begins; as root
#   BENCH_ROUNDS=30 ...              more rounds than 15; what takes seconds has a third of them
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:$HOME/.cargo/bin

scripts/image.sh context
ROADSTEAD_BIN=$PWD/target/image/rootfs/roadstead
ORACLE=${ORACLE:-$(scripts/oracle.sh)}
export ROADSTEAD_BIN ORACLE

status=0
for path in benches/*.rs benches/*/main.rs; do
    bench=$(echo "$path" | sed 's|^benches/||; s|/main\.rs$||; s|\.rs$||')
    if [ ! -e "$path" ] || [ -n "${BENCH:-}" ] && [ "$BENCH" != "$bench" ]; then continue; fi
    cargo bench --quiet --locked --bench "$bench" || status=1
done
exit $status
