#!/usr/bin/env bash
# Lays out what belongs to a program below a prefix: the binary, manual pages, completions, licence, docs,
# the .proto files, examples. `make dist` packs it.
#
#   packaging/tree.sh PROGRAM BINARIES DOCUMENTS PREFIX
set -euo pipefail

name=$1 binaries=$2 documents=$3 prefix=$4
cd "$(dirname "$0")/.."
doc=$prefix/share/doc/$name

install -D -m 755 "$binaries/$name" "$prefix/bin/$name"
for page in "$documents/$name"/*.1; do
    install -D -m 644 "$page" "$prefix/share/man/man1/${page##*/}"
done
gzip -9n "$prefix"/share/man/man1/*.1
install -D -m 644 "$documents/$name/$name" "$prefix/share/bash-completion/completions/$name"
install -D -m 644 "$documents/$name/_$name" "$prefix/share/zsh/site-functions/_$name"
install -D -m 644 "$documents/$name/$name.fish" "$prefix/share/fish/vendor_completions.d/$name.fish"

for file in LICENSE README.md CHANGELOG.md docs/*.md proto/*.proto; do
    install -D -m 644 "$file" "$doc/$file"
done
for file in packaging/*.json; do
    install -D -m 644 "$file" "$doc/${file##*/}"
done
for file in packaging/pod.yaml tests/examples/*; do
    install -D -m 644 "$file" "$doc/examples/${file##*/}"
done
