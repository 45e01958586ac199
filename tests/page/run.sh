#!/usr/bin/env bash
# Usage: run.sh [--gate] <target directory> [PART...]
# What a person does on the fake's page, in a headless Chromium. Screenshots are left in
# <target directory>/page. axe-core comes from npm, once. With --gate, missing programs are installed with
# apt-get; where they cannot be had, it says so and passes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
gate=
if [ "$1" = --gate ]; then gate=yes; shift; fi
target=$1
shift
out=$target/page
mkdir -p "$out"

# What is needed cannot be had.
without() {
    echo "page-test: $1" >&2
    [ -n "$gate" ] || exit 1
    echo "page-test: left out, the page was not tried" >&2
    exit 0
}

find_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

missing=()
find_chromium >/dev/null || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
axe=$out/axe/node_modules/axe-core/axe.min.js
[ -e "$axe" ] || command -v npm >/dev/null || missing+=(npm)
if [ ${#missing[@]} -gt 0 ]; then
    [ -n "$gate" ] || without "not installed: ${missing[*]}; try: apt-get install ${missing[*]}"
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || without "not installed, and apt-get cannot be run here: ${missing[*]}"
    echo "page-test: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    timeout 120 apt-get -qq update >/dev/null || true
    timeout 600 apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null || without "apt-get cannot install ${missing[*]}"
fi
if [ ! -e "$axe" ]; then
    mkdir -p "$out/axe"
    (cd "$out/axe" && timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts axe-core@4.10.3) ||
        without "npm cannot install axe-core"
fi
begun=$SECONDS
AXE=$axe CHROMIUM=$(find_chromium) OUT=$out BIN=$target/debug timeout --foreground 900 node "$here/drive.mjs" "$@"
echo "page-test: took $((SECONDS - begun)) s"
