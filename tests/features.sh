#!/usr/bin/env bash
# Whether crates that are tested without default features share their dependencies with the workspace: what
# has other features is compiled once more. testkit/features/Cargo.toml is where a missing one goes.
set -euo pipefail
cd "$(dirname "$0")/.."

features() {
    "${CARGO:-cargo}" tree --locked --edges normal,build,dev --prefix none --format '{p} [{f}]' "$@" |
        sed 's/ (\*)$//' | grep -vE '^(dfcache|fake-dfdaemon) ' | LC_ALL=C sort -u
}

workspace=$(mktemp)
trap 'rm -f "$workspace"' EXIT
features --workspace >"$workspace"
for crate in dfcache fake-dfdaemon; do
    others=$(features -p "$crate" -p testkit-features --no-default-features | LC_ALL=C comm -13 "$workspace" -)
    [ -z "$others" ] || { echo "with $crate, other features than in the workspace:"; echo "$others"; exit 1; }
done
