#!/usr/bin/env bash
# Makes a tarball of each program that runs on any Linux of this architecture: TARGET_DIRECTORY/dist.
# The same commit gives the same bytes, in whichever directory it is built.
#
#   packaging/dist.sh TARGET_DIRECTORY
set -euo pipefail

target=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
export PATH=$target/tools/bin:$PATH

# When the commit was made is when everything in the tarball was.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

# A list of what is in the binaries; its tool is installed by cargo, once.
command -v cargo-cyclonedx >/dev/null ||
    CARGO_TARGET_DIR=$target/tools/build "$cargo" install --quiet --debug --locked --root "$target/tools" cargo-cyclonedx@0.5.9

binaries=${BINARIES:-$(packaging/static.sh "$target")}
version=$("$binaries/dfcache" --version | cut -d ' ' -f 2)
architecture=$(uname -m)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packaging/documents.sh "$binaries" "$work/documents"

# The tool writes beside each Cargo.toml and names where that lies: a copy of the manifests is enough for it.
mkdir "$work/sources"
git ls-files -z '*Cargo.toml' '*Cargo.lock' '*.rs' | xargs -0 cp --parents -t "$work/sources"
# Of the programs alone: what tests ask of dependencies would be in the list too.
for manifest in {,proto/,fake-dfdaemon/}Cargo.toml; do
    awk '/^\[/ { of_tests = $0 == "[dev-dependencies]" } !of_tests' "$manifest" >"$work/sources/$manifest"
done
sed -i 's|^members = .*|members = [".", "proto", "fake-dfdaemon"]|' "$work/sources/Cargo.toml"
(cd "$work/sources" && "$cargo" cyclonedx --quiet --format json --target "$(rustc -vV | sed -n 's/^host: //p')")

rm -rf "$target/dist"
mkdir -p "$target/dist"
for name in dfcache fake-dfdaemon; do
    root=$name-$version-linux-$architecture
    packaging/tree.sh "$name" "$binaries" "$work/documents" "$work/$root"
    sed "s|$work/sources|/dfcache|g" "$(find "$work/sources" -name "$name.cdx.json")" \
        >"$work/$root/share/doc/$name/$name.cdx.json"
    (cd "$work/$root" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >SHA256SUMS)
    tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=u+w,go-w,a+rX \
        --mtime="@$SOURCE_DATE_EPOCH" --format=gnu "$root" | gzip -9n >"$target/dist/$root.tar.gz"
done
(cd "$target/dist" && sha256sum -- *.tar.gz >SHA256SUMS)
ls -l "$target/dist"
