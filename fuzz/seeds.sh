#!/bin/sh
# Makes the first corpus and the dictionary of each fuzz target, out of the cases of tests/compose.
set -eu
cd "$(dirname "$0")/.."

LC_ALL=C
export LC_ALL
corpus=$PWD/fuzz/corpus
targets='yaml repeated dotenv env_local interpolate ports volumes values'
for target in $targets; do mkdir -p "$corpus/$target"; done

cases() {
    find tests/compose -name '*.txt' ! -name '*.oracle.txt' ! -name '*.ours.txt' | sort |
        xargs cat
}

# Each line of the input is a text.
lines_for() { # TARGET
    sort -u | awk -v out="$corpus/$1" 'length {
        file = sprintf("%s/seed-%05d", out, NR); printf "%s", $0 > file; close(file) }'
}

# The words of the input: quoted texts as one.
words() {
    grep -oE "\"[^\"]+\"|'[^']+'|[^] ,\"'{}]+" | sed "s/^[\"']//; s/[\"']\$//; s/^\[\([^]]*\)\$/\1/"
}

cases | awk -v out="$corpus/yaml" '
    /^== .* ==$/ { if (file) close(file); file = out "/seed-" $2; printf "" > file; next }
    file { print > file }'
cases | awk -v out="$corpus/dotenv" '
    /^(==|--) .* (==|--)$/ { if (file) close(file); file = "" }
    /^-- .*(env|label).* --$/ && !/\.ya?ml/ { file = sprintf("%s/seed-%04d", out, ++count); next }
    file { print > file }'
cp "$corpus"/dotenv/seed-* "$corpus/env_local"
cp env.local.example "$corpus/env_local/seed-example"
cases | grep '\$' | grep -v '^\$ ' | sed 's/^ *//' | lines_for interpolate
cases | grep -E 'ports|expose|^ *- .*[0-9]:' | words | grep '[0-9]' | lines_for ports
cases | grep -E 'volumes|tmpfs|^ *- .*/' | words | grep '[/:~]' | lines_for volumes
cases | grep -v '^[=-]' | words | grep -E '^.{1,60}$' | lines_for values
grep -v '^;' fuzz/repeated.txt | while IFS= read -r line; do printf '%b\n' "$line"; done |
    awk -v out="$corpus/repeated" 'BEGIN { RS = "\1\n" } length {
        file = sprintf("%s/seed-%03d", out, NR); printf "%s", $0 > file; close(file) }'

# Words and runs of signs, the most frequent ones.
for target in $targets; do
    {
        awk 1 "$corpus/$target"/seed-* | grep -oE '[A-Za-z_][A-Za-z0-9_-]{1,30}' || true
        awk 1 "$corpus/$target"/seed-* | tr -d '"\\' | grep -oE '[!-/:-@[-`{-~]{1,4}' || true
        printf '\\"\n\\\\\n\\x0a\n\\x0d\\x0a\n\\x09\n\\xc3\\xa9\n'
    } | sort | uniq -c | sort -rn | head -n 1000 | sed 's/^ *[0-9]* \(.*\)$/"\1"/' >"$corpus/$target.dict"
done
