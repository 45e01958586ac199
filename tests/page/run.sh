#!/usr/bin/env bash
# Usage: run.sh <target directory>   What a person does on the fake's page, in a headless Chromium.
# Screenshots are left in <target directory>/page. axe-core comes from npm, once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$1
out=$target/page
mkdir -p "$out"
command -v node >/dev/null || { echo "node is not installed" >&2; exit 1; }
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    { echo "chromium is not installed: apt-get install chromium" >&2; exit 1; }
if [ ! -e "$out/axe/node_modules/axe-core/axe.min.js" ]; then
    mkdir -p "$out/axe"
    (cd "$out/axe" && npm install --silent --no-audit --no-fund --ignore-scripts axe-core@4.10.3)
fi
AXE=$out/axe/node_modules/axe-core/axe.min.js CHROMIUM=$chromium OUT=$out BIN=$target/debug \
    exec node "$here/drive.mjs" "${@:2}"
