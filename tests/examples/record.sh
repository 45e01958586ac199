#!/bin/sh
# A dfdaemon recorded, replayed without it, and broken on purpose.
#
#   fake-dfdaemon run -- sh tests/examples/record.sh
#
# A fake stands for the dfdaemon here. On a node, DFCACHE_ENDPOINT is the socket of the real one.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
upstream=$DFCACHE_ENDPOINT
echo "some content" >"$work/file"

# Recorded: DFCACHE_ENDPOINT of the command is the recorder's.
fake-dfdaemon record --upstream "$upstream" --cassette "$work/seen" -- \
    sh -c 'id=$(dfcache import "$0/file") && dfcache export --transfer-from-dfdaemon -O "$0/copy" "$id"' "$work"

# Replayed on another machine, where the file is elsewhere, and no daemon is.
mkdir "$work/elsewhere"
cp "$work/file" "$work/elsewhere"
fake-dfdaemon replay --cassette "$work/seen" --path "$work=$work/elsewhere" -- \
    sh -c 'id=$(dfcache import "$0/file") && dfcache export --transfer-from-dfdaemon -O "$0/copy" "$id"' "$work/elsewhere"
cmp "$work/copy" "$work/elsewhere/copy"

# Broken on purpose: one export in front of the daemon gets a piece with a flipped bit, which dfcache finds.
fake-dfdaemon record --upstream "$upstream" --control "$work/control" --fault 'export@call=1:corrupt_piece' -- sh -c '
    id=$(dfcache ls --format json | sed "s/.*\"task_id\":\"\([0-9a-f]*\)\".*/\1/")
    dfcache export --transfer-from-dfdaemon -O "$0/bad" "$id" 2>"$0/error" && exit 1
    test ! -e "$0/bad"
    dfcache export --transfer-from-dfdaemon -O "$0/good" "$id"
    fake-dfdaemon ctl journal --rpc export >&2' "$work"
cmp "$work/file" "$work/good"
