#!/usr/bin/env bash
# Runs a command against a fake of its own, for any CI: `fake-dfdaemon run`, and what a CI keeps of it.
#
#   packaging/ci/run.sh [--options 'OPTIONS'] [--artifacts DIR] [--junit FILE] -- CMD...
#
#   --options    options of fake-dfdaemon run, as in a shell
#   --artifacts  after a failure, the state directory is copied to DIR/state, with the journal of all calls
#   --junit      one test case about the command is written to FILE, in the XML that CIs read
#
# It exits as CMD did. fake-dfdaemon and dfcache are found on the PATH.
set -euo pipefail

options=() artifacts='' junit=''
while [[ $# -gt 0 && $1 != -- ]]; do
    [[ $# -ge 2 ]] || { echo "run.sh: $1 takes a value" >&2; exit 2; }
    case $1 in
    --options) eval "options=($2)" ;;
    --artifacts) artifacts=$2 ;;
    --junit) junit=$2 ;;
    *) echo "run.sh: there is no option $1" >&2; exit 2 ;;
    esac
    shift 2
done
[[ $# -ge 2 ]] || { echo 'run.sh: -- and a command are missing' >&2; exit 2; }
shift

# Short: a socket's path has at most 107 bytes, which a CI's work directory may exceed.
work=$(mktemp -d /tmp/dfd-XXXXXX)
trap 'rm -rf "$work"' EXIT

started=$(date +%s)
status=0
if [[ -n $junit ]]; then
    fake-dfdaemon run --state-dir "$work/state" ${options+"${options[@]}"} -- "$@" 2>&1 | tee "$work/output" || status=${PIPESTATUS[0]}
else
    fake-dfdaemon run --state-dir "$work/state" ${options+"${options[@]}"} -- "$@" || status=$?
fi
seconds=$(($(date +%s) - started))

if [[ $status != 0 && -n $artifacts && -d $work/state ]]; then
    mkdir -p "$artifacts"
    # What lies there already is not ours to remove.
    kept=$artifacts/state
    mkdir "$kept" 2>/dev/null || kept=$(mktemp -d "$artifacts/state.XXXXXX")
    cp -r "$work/state/." "$kept"
    echo "fake-dfdaemon: the state is kept in $kept, the journal is $kept/journal.jsonl" >&2
fi

# What XML can hold: no control characters, and none of its own.
text() { LC_ALL=C tr -d '\000-\010\013\014\016-\037' | iconv -c -f UTF-8 -t UTF-8 | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g'; }
if [[ -n $junit ]]; then
    mkdir -p "$(dirname "$junit")"
    {
        name=$(printf '%s' "$*" | tr '\n' ' ' | text)
        echo '<?xml version="1.0" encoding="UTF-8"?>'
        echo "<testsuites><testsuite name=\"fake-dfdaemon\" tests=\"1\" failures=\"$((status != 0))\" errors=\"0\" time=\"$seconds\">"
        echo "<testcase classname=\"fake-dfdaemon\" name=\"$name\" time=\"$seconds\">"
        [[ $status == 0 ]] || echo "<failure message=\"exit $status\"/>"
        # The end of it is what tells why.
        echo "<system-out>$(tail -c 100000 "$work/output" | text)</system-out>"
        echo '</testcase></testsuite></testsuites>'
    } >"$junit"
fi
exit "$status"
