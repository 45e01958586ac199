#!/usr/bin/env bash
# Makes the images of both programs: TARGET_DIRECTORY/images/<program>, an OCI layout each.
#
#   packaging/images.sh PYTHON TARGET_DIRECTORY
set -euo pipefail

python=$1
target=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

binaries=${BINARIES:-$(packaging/static.sh "$target")}
version=$("$binaries/dfcache" --version | cut -d ' ' -f 2)
rm -rf "$target/images"
"$python" packaging/images.py "$binaries" "$version" "$target/images"
