#!/usr/bin/env bash
# Builds both programs as they are released: static, optimised as a whole, the same bytes wherever the sources
# lie. There is one such build, and whatever is made of the programs takes it.
#
#   packaging/static.sh TARGET_DIRECTORY [BINARY...]
#
# prints the directory with the binaries, and puts them where cargo would put its own: TARGET_DIRECTORY/release.
# BINARY is one more to build, of dfcache-bench.
#
# With glibc's own static library, which Debian has in libc6-dev: neither program looks up a name of a
# host or a user, for which glibc would load libraries of the machine.
set -euo pipefail

target=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
host=$(rustc -vV | sed -n 's/^host: //p')

# Separated by the character that cargo expects there, since a path can have spaces.
flags=(
    -Ctarget-feature=+crt-static
    # Crate getrandom looks the system call up where libraries are loaded, and reads /dev/urandom otherwise,
    # which a bare root has not: have it link the call.
    '--cfg=getrandom_backend="linux_getrandom"'
    "--remap-path-prefix=$PWD=/dfcache"
    "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    "--remap-path-prefix=$target=/target"
)
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && printf '%s' "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS

binaries=(dfcache fake-dfdaemon "${@:2}")
echo "Compiling ${binaries[*]}, static and optimised as a whole: the first time 4 to 8 minutes on two cores." >&2
# With dfcache-bench also where none of it is built: what it asks of dependencies would have both programs built twice.
# Without what libraries trace, of which h2 has a lot: its descriptions are written at each start, to be relocated.
# Nothing of ours is logged at that level.
"$cargo" build --locked --quiet --release --target "$host" --target-dir "$target/static" \
    --features tracing/release_max_level_debug \
    -p dfcache -p fake-dfdaemon -p dfcache-bench "${binaries[@]/#/--bin=}" >&2
mkdir -p "$target/release"
for binary in "${binaries[@]}"; do
    ln -f "$target/static/$host/release/$binary" "$target/release/$binary"
done
echo "$target/static/$host/release"
