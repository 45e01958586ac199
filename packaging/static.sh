#!/usr/bin/env bash
# Builds both programs as static binaries, the same bytes wherever the sources lie.
#
#   packaging/static.sh TARGET_DIRECTORY      prints the directory with the binaries
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

echo 'Compiling dfcache and fake-dfdaemon, static and optimised as a whole: the first time 4 to 8 minutes on two cores.' >&2
"$cargo" build --locked --quiet --release --target "$host" --target-dir "$target/static" -p dfcache -p fake-dfdaemon --bins >&2
echo "$target/static/$host/release"
