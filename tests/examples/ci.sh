#!/bin/sh
# A CI job in one line: a daemon around a script, and nothing left of it afterwards.
#
#   fake-dfdaemon run --keep-on-failure -- sh tests/examples/ci.sh
#
# dfcache finds its endpoint in the environment, and `fake-dfdaemon ctl` the control socket.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "some content" >"$work/file"

id=$(dfcache import "$work/file")
fake-dfdaemon ctl settle >/dev/null
dfcache export -O "$work/copy" "$id"
cmp "$work/file" "$work/copy"

# The next stat fails, and the one after it does not.
fake-dfdaemon ctl faults add 'stat@call=1:error=UNAVAILABLE' >/dev/null
if dfcache stat "$id" 2>/dev/null; then exit 1; fi
dfcache stat "$id" >/dev/null
