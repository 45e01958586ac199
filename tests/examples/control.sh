#!/bin/sh
# The control API with curl alone: any language that speaks HTTP over a Unix socket can do the same.
#
#   fake-dfdaemon run --clock manual -- sh tests/examples/control.sh
set -eu

ask() { curl --silent --show-error --fail --unix-socket "$FAKE_DFDAEMON_CONTROL" "$@"; }

ask http://localhost/health
echo
ask http://localhost/clock -d '{"advance":"2h"}'
echo
ask http://localhost/faults -d '{"on":"stat","call":1,"do":{"error":"UNAVAILABLE"}}'
echo
ask http://localhost/hosts/host-1/stop -X POST
echo
ask http://localhost/settle -X POST >/dev/null
ask 'http://localhost/journal?rpc=stat'
echo
