#!/usr/bin/env bash
# Unpacks each tarball of `make dist` and runs the programs in a root that has nothing else in it.
#
#   packaging/dist-test.sh DIST      the directory with the tarballs; `make dist-test` makes them first
set -euo pipefail

dist=$(cd "$1" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

(cd "$dist" && sha256sum --check --quiet SHA256SUMS)
mkdir "$root/unpacked" "$root/bare" "$root/bare/tmp"
for name in dfcache fake-dfdaemon; do
    tar --extract --gzip --file "$dist/$name"-*.tar.gz --directory "$root/unpacked"
    tree=$(echo "$root/unpacked/$name"-*)
    (cd "$tree" && sha256sum --check --quiet SHA256SUMS)
    for file in "bin/$name" "share/man/man1/$name.1.gz" "share/bash-completion/completions/$name" \
        "share/zsh/site-functions/_$name" "share/fish/vendor_completions.d/$name.fish" \
        "share/doc/$name/LICENSE" "share/doc/$name/README.md" "share/doc/$name/docs/$name.md" \
        "share/doc/$name/proto/dfdaemon.proto" "share/doc/$name/$name.cdx.json"; do
        [[ -s $tree/$file ]] || fail "$name: $file is missing or empty"
    done
    components=$(sed -n 's/^ *"name": "\(.*\)",$/\1/p' "$tree/share/doc/$name/$name.cdx.json")
    grep -qx tokio <<<"$components" && ! grep -qxE 'proptest|testkit' <<<"$components" || fail "$name: its list is not of what is in it"
    [[ $name != dfcache ]] || ! grep -qx axum <<<"$components" || fail "$name: the tests' servers are in its list"
    file --brief "$tree/bin/$name" | grep -Eq 'static(ally|-pie) linked' || fail "$name is not static"
    ! grep -aqE "$PWD|$HOME" "$tree/bin/$name" || fail "$name names where it was built"
    cp "$tree/bin/$name" "$root/bare/"
done

# Nothing in there but the two programs and an empty /tmp: no shell, no library, no /proc, no /etc.
enter=("$(PATH=$PATH:/usr/sbin command -v chroot)")
[[ $(id -u) == 0 ]] || enter=("$(command -v unshare)" --user --map-root-user "${enter[@]}")
bare() { env -i "${enter[@]}" "$root/bare" "$@"; }
[[ $(find "$root/bare" -type f | wc -l) == 2 ]]
for name in dfcache fake-dfdaemon; do
    bare "/$name" --version | grep -qx "$name [0-9.]*" || fail "/$name --version in a bare root"
    bare "/$name" man | grep -q '^\.SH "EXIT STATUS"' || fail "/$name man in a bare root"
done

head -c 10000000 /dev/urandom >"$root/bare/tmp/file"
log=(--log-dir /tmp/log)
fake() { bare /fake-dfdaemon run -- "$@"; }
id=$(fake /dfcache import "${log[@]}" /tmp/file)
[[ $id =~ ^[0-9]+$ ]] || fail "import said: $id"

# More than one command on one fake takes one outside of the run.
# Not by the function: the process to end is the fake itself.
: >"$root/ready"
env -i "${enter[@]}" "$root/bare" /fake-dfdaemon serve --state-dir /tmp/state >"$root/ready" &
daemon=$!
for ((tries = 0; tries < 300; tries++)); do
    ! grep -q '"event":"ready"' "$root/ready" || break
    sleep 0.1
done
client() { bare /dfcache "$1" --endpoint /tmp/state/host-"$2".sock "${log[@]}" "${@:3}"; }
id=$(client import 0 /tmp/file)
client stat 1 --wait-for-replicas 2 "$id" | grep -q Succeeded || fail stat
client export 1 --transfer-from-dfdaemon -O /tmp/transferred "$id" >/dev/null
client export 0 -O /tmp/by-path "$id" >/dev/null
client export 2 -O - "$id" | cmp - "$root/bare/tmp/file"
for output in transferred by-path; do
    cmp "$root/bare/tmp/$output" "$root/bare/tmp/file"
done
bare /fake-dfdaemon ctl --control /tmp/state/control.sock tasks | grep -q "$id" || fail ctl
kill -TERM "$daemon"
wait "$daemon" || fail "the fake ended with $?"
echo 'both programs run in a root with nothing else in it: serve, run, ctl, import, stat, export three ways'
