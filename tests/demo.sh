#!/usr/bin/env bash
# The main job, to look at: a fake with three hosts, a file that goes in on the first host and comes out on the second.
#
#   [FILE=PATH] tests/demo.sh BINARIES      the directory of dfcache and fake-dfdaemon; `make demo` builds them
#
# Without FILE it makes one. Everything happens in a temporary directory, which is removed at the end, however it ends.
set -euo pipefail

binaries=$(cd "$1" && pwd)
file=${FILE:-}
[[ -z $file ]] || file=$(realpath -- "$file")
export PATH="$binaries:$PATH"

directory=$(mktemp -d)
daemon=
clean_up() {
    [[ -z $daemon ]] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null || true
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$directory"
# Hermetic: nothing of the caller's own settings, and no log outside of the directory.
unset "${!DFCACHE_@}"
for command in IMPORT EXPORT STAT; do
    export "DFCACHE_${command}_LOG_DIR=$directory/logs"
done

# What is shown, also while the output of a command goes elsewhere.
exec {shown}>&1
say() { printf '\n# %s\n' "$*" >&"$shown"; }
run() {
    printf '$ %s\n' "$*" >&"$shown"
    "$@"
}

if [[ -z $file ]]; then
    say 'A file of 10 MiB that no compression makes smaller: three pieces of 4 MiB, the last one shorter.'
    file=$directory/file.bin
    run head -c 10485760 /dev/urandom >"$file"
else
    say "The file to take round: $file, $(wc -c <"$file") bytes."
fi

say 'A fake dfdaemon with three hosts, one socket each. It makes further replicas a second after an import.'
# Its standard output is the ready line: whoever has read it may connect.
serve=(fake-dfdaemon serve --hosts 3 --state-dir state --replication-delay 1s)
printf '$ %s\n' "${serve[*]}"
exec {ready}< <(exec "${serve[@]}")
daemon=$!
read -r line <&"$ready" || { echo 'the fake did not start' >&2; exit 1; }
echo "$line"

say 'Import on the first host. The answer is the id of the task.'
id=$(run dfcache import --endpoint state/host-0.sock "$file")
echo "$id"

say 'The importing host holds the first of the two persistent replicas that were asked for.'
run dfcache stat --endpoint state/host-0.sock "$id"

say 'The scheduler makes the second one on another host; stat waits for it.'
run dfcache stat --endpoint state/host-0.sock --wait-for-replicas 2 --timeout 10m "$id"

say 'Export on the second host, by path: dfdaemon makes the file, a hard link to its cache or a copy.'
run dfcache export --endpoint state/host-1.sock -O by-path.bin "$id"

say 'Export on the second host, over the socket: dfdaemon sends the pieces, dfcache verifies and writes them.'
run dfcache export --endpoint state/host-1.sock --transfer-from-dfdaemon -O transferred.bin "$id"

say 'All the same bytes?'
run cmp "$file" by-path.bin
run cmp "$file" transferred.bin
echo "yes: $(wc -c <"$file") bytes went in on host-0 and came out on host-1, twice"
