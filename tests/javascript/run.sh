#!/usr/bin/env bash
# Runs client.js at fakes of both releases, through a recorder, and at the replay of what was recorded.
#
#   tests/javascript/run.sh FAKE_DFDAEMON DIRECTORY_OF_NODE_MODULES
set -euo pipefail

fake=$1
export NODE_PATH=$2/node_modules
client=$(cd "$(dirname "$0")" && pwd)/client.js
proto=${client%/tests/*}/proto
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for release in 0.2 1.5; do
    "$fake" run --dfdaemon-version "$release" -- node "$client" "$proto"
done

# A replay knows the source by its path and content.
mkdir "$work/files"
export fake client proto work
# shellcheck disable=SC2016
"$fake" run --dfdaemon-version 1.5 -- sh -c \
    '"$fake" record --upstream "$DFCACHE_ENDPOINT" --cassette "$work/cassette" -- node "$client" "$proto" "$work/files"'
rm "$work/files/output"
"$fake" replay --cassette "$work/cassette" -- node "$client" "$proto" "$work/files"
