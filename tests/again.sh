#!/usr/bin/env bash
# Runs all tests again and again while every core is kept busy, with one thread and with sixteen in
# turn. A run with a failure is the last; its log is kept and named.
#
#   tests/again.sh TIMES
set -euo pipefail

times=$1
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}

"$cargo" build --locked --workspace --bins
"$cargo" test --locked --workspace --no-run

load=()
trap 'kill "${load[@]}" 2>/dev/null || true' EXIT
for _ in $(seq "$(nproc)"); do
    (while :; do :; done) &
    load+=($!)
done

log=$(mktemp)
for ((run = 1; run <= times; run++)); do
    threads=$((run % 2 ? 1 : 16))
    start=$SECONDS
    if ! "$cargo" test --locked --workspace --no-fail-fast -- --test-threads "$threads" >"$log" 2>&1; then
        grep -E '^(test .*FAILED|failures:|error:|thread )' "$log" || true
        echo "run $run of $times failed, with --test-threads $threads: $log" >&2
        exit 1
    fi
    passed=$(sed -nE 's/^test result: ok\. ([0-9]+) passed.*/\1/p' "$log" | awk '{ sum += $1 } END { print sum }')
    echo "run $run of $times: $passed passed, --test-threads $threads, $((SECONDS - start)) s"
done
rm "$log"
