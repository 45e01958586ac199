#!/usr/bin/env bash
# Has both programs write their manual pages and completions: DIRECTORY/<program>/.
#
#   packaging/documents.sh BINARIES DIRECTORY
set -euo pipefail

binaries=$(cd "$1" && pwd)
directory=$2
# What a person has set is no part of a page.
unset "${!DFCACHE_@}" "${!FAKE_DFDAEMON_@}"
for name in dfcache fake-dfdaemon; do
    program=$binaries/$name
    mkdir -p "$directory/$name"
    (
        cd "$directory/$name"
        "$program" man --directory .
        "$program" completions bash >"$name"
        "$program" completions zsh >"_$name"
        "$program" completions fish >"$name.fish"
    )
done
