#!/usr/bin/env bash
# Runs all tests again and again, several runs at once so that each is under the load of the others,
# with one thread and with sixteen in turn. After a failure no run begins; its log is kept and named.
#
#   tests/again.sh TIMES [AT_ONCE]
set -euo pipefail

times=$1
at_once=${2:-$(($(nproc) + 1))}
cd "$(dirname "$0")/.."
export cargo=${CARGO:-cargo} times

"$cargo" build --locked --workspace --bins
"$cargo" test --locked --workspace --no-run

# What the runs leave idle of a core is used up.
load=()
trap 'kill "${load[@]}" 2>/dev/null || true' EXIT
for _ in $(seq "$(nproc)"); do
    nice -n 19 bash -c 'while :; do :; done' &
    load+=($!)
done

run() {
    local run=$1 threads=$(($1 % 2 ? 1 : 16)) start=$SECONDS log passed
    log=$(mktemp)
    if ! "$cargo" test --locked --workspace --no-fail-fast -- --test-threads "$threads" >"$log" 2>&1; then
        grep -E '^(test .*FAILED|failures:|error:|thread )' "$log" || true
        echo "run $run of $times failed, with --test-threads $threads: $log" >&2
        return 255 # with which xargs starts nothing more
    fi
    passed=$(sed -nE 's/^test result: ok\. ([0-9]+) passed.*/\1/p' "$log" | awk '{ sum += $1 } END { print sum }')
    rm "$log"
    echo "run $run of $times: $passed passed, --test-threads $threads, $((SECONDS - start)) s"
}
export -f run

seq "$times" | xargs -n 1 -P "$at_once" bash -c 'run "$1"' run
