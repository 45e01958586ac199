#!/usr/bin/env bash
# Makes a .deb and an .rpm of dfcache and of fake-dfdaemon; `make packages` builds the binaries first, static.
#
#   packaging/build.sh TARGET_DIRECTORY      the packages land in TARGET_DIRECTORY/packages
#
# The tools that put packages together are installed by cargo, once, into TARGET_DIRECTORY/tools.
set -euo pipefail

target=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=$target PATH=$target/tools/bin:$PATH
cargo=${CARGO:-cargo}

# Fixed versions: what was tried is what is used. They are built beside the workspace's own artifacts,
# lest one build waits for the other, and hardly optimised: each runs for a second or two.
install() {
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_TARGET_DIR=$target/tools/build "$cargo" install --quiet --locked --root "$target/tools" "$@"
}
command -v cargo-deb >/dev/null || install --no-default-features --features lzma cargo-deb@3.8.0
command -v cargo-generate-rpm >/dev/null || install cargo-generate-rpm@0.21.1

# Manual pages and completions, made by the programs themselves: below target/release, since both
# tools find that directory wherever cargo puts it.
documents=$target/release/documents
rm -rf "$documents"
packaging/documents.sh "$target/release" "$documents"

gzip -9n "$documents"/*/*.1

packages=$target/packages
rm -rf "$packages"
mkdir -p "$packages"
for package in dfcache fake-dfdaemon; do
    # The binaries are built and stripped already.
    "$cargo" deb --quiet --no-build --no-strip -p "$package" --output "$packages/"
done
# There are no dependencies to find: the binaries are static.
"$cargo" generate-rpm --auto-req disabled --target-dir "$target" --output "$packages/"
"$cargo" generate-rpm --auto-req disabled --target-dir "$target" --output "$packages/" -p fake-dfdaemon
ls -l "$packages"
