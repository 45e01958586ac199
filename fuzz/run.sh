#!/usr/bin/env bash
# Feeds the fuzz targets from libFuzzer, each for a while; `make fuzz` calls it.
#
#   fuzz/run.sh TARGET_DIRECTORY SECONDS [TARGET...]
#
# It starts from what is kept in fixtures/fuzz and from what earlier runs left in
# TARGET_DIRECTORY/fuzz/corpus. An input that fails is named at the end: once it is fixed, it belongs
# into fixtures/fuzz/<target>/, where `make test` tries it for ever.
#
# cargo-fuzz is installed by cargo, once, into TARGET_DIRECTORY/tools. SANITIZER=address adds a
# sanitizer; there is hardly any unsafe code here for it to watch, so none is the default.
set -euo pipefail

target=$(mkdir -p "$1" && cd "$1" && pwd)
time=$2
shift 2
cd "$(dirname "$0")/.."
export PATH=$target/tools/bin:$PATH
cargo=${CARGO:-cargo}

command -v cargo-fuzz >/dev/null || CARGO_TARGET_DIR=$target/tools/build \
    "$cargo" install --quiet --locked --root "$target/tools" cargo-fuzz@0.13.2

# Instrumentation is not stable: a nightly compiler has it, a stable one if it is told to.
if rustup run nightly rustc --version >/dev/null 2>&1; then
    export RUSTUP_TOOLCHAIN=nightly
else
    export RUSTC_BOOTSTRAP=1
fi

if [ $# -eq 0 ]; then
    set -- $(cd fuzz/fuzz_targets && ls | sed 's/\.rs$//')
fi
fuzz=("$cargo" fuzz)
options=(--fuzz-dir fuzz --target-dir "$target/fuzz" --sanitizer "${SANITIZER:-none}")
"${fuzz[@]}" build "${options[@]}"
for name; do
    echo "== $name"
    corpus=$target/fuzz/corpus/$name
    mkdir -p "$corpus"
    "${fuzz[@]}" run "${options[@]}" "$name" "$corpus" "fixtures/fuzz/$name" -- \
        -max_total_time="$time" -timeout=30 -len_control=0 -print_final_stats=1 -print_funcs=0
done
