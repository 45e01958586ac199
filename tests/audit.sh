#!/usr/bin/env bash
# Holds the dependencies to deny.toml: licences, sources, duplicates, and advisories where their
# database can be had. cargo-deny is installed by cargo, once, into TARGET_DIRECTORY/tools.
#
#   tests/audit.sh TARGET_DIRECTORY
set -euo pipefail

target=$1
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
export PATH=$target/tools/bin:$PATH

# A reason beside each dependency that the workspace chose.
awk '/^\[/ { within = $0 == "[workspace.dependencies]" }
     within && /^[a-z]/ && !/# ./ { print "Cargo.toml: no reason beside: " $0; failed = 1 }
     within && /^[a-z]/ { count++ }
     END { if (!count) { print "Cargo.toml: no dependencies found"; exit 1 }
           if (failed) exit 1; print count " dependencies, each with its reason" }' Cargo.toml

# Fixed version: what was tried is what is used.
command -v cargo-deny >/dev/null ||
    CARGO_TARGET_DIR=$target/tools/build "$cargo" install --quiet --locked --root "$target/tools" cargo-deny@0.20.2

"$cargo" deny --locked check licenses bans sources
# What compiles .proto files ships nowhere: its crates may have two versions.
"$cargo" deny --locked --manifest-path proto/generate/Cargo.toml check --allow duplicate licenses bans sources

# Vulnerabilities are found in a database that lies on the network.
if "$cargo" deny --locked fetch db >/dev/null 2>&1; then
    "$cargo" deny --locked check advisories
else
    echo "advisories: NOT CHECKED, the database could not be reached"
fi
