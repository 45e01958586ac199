#!/usr/bin/env bash
# Holds the images to what tools of that ecosystem say, unpacks them, and runs them as a container would.
#
#   packaging/images-test.sh IMAGES      the directory with the layouts; `make images-test` makes them first
#
# Takes skopeo, umoci and jq (Debian has them) and root, for a namespace of processes and a change of user.
set -euo pipefail

images=$(cd "$1" && pwd)
work=$(mktemp -d)
daemon=
trap '[[ -z $daemon ]] || kill "$daemon" 2>/dev/null || true; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
for tool in skopeo umoci jq; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done
chmod 755 "$work"

for name in dfcache fake-dfdaemon; do
    version=$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' "$images/$name/index.json")
    image=oci:$images/$name:$version
    skopeo inspect --config "$image" | jq -e '.config.User == "65532:65532" and .config.Entrypoint == ["/usr/bin/'"$name"'"]' >/dev/null ||
        fail "skopeo reads another configuration of $name"
    # Every digest and size is checked on the way.
    skopeo --insecure-policy copy --quiet "$image" "oci-archive:$work/$name.tar:$version"
    umoci unpack --image "$images/$name:$version" "$work/$name"
    [[ $(find "$work/$name/rootfs" -type f -printf '%P\n' | sort | xargs) == "etc/group etc/passwd usr/bin/$name" ]] ||
        fail "$name has other files"
    jq -e '.process.user.uid == 65532 and .process.cwd == "/tmp"' "$work/$name/config.json" >/dev/null || fail "$name runs as another user"
done

# What a runtime makes of the configuration: its user, its variables, its words as process 1 of a namespace.
container() { # NAME DIRECTORY_OF_SOCKETS [WORDS...]
    local name=$1 sockets=$2 root=$work/$1/rootfs variables words
    shift 2
    mapfile -t variables < <(jq -r '.process.env[]' "$work/$name/config.json")
    mapfile -t words < <(jq -r '.process.args[]' "$work/$name/config.json")
    [[ $# == 0 ]] || words=("${words[0]}" "$@")
    mkdir -p "$root/var/run/dragonfly" "$root/proc"
    # env, which sets the variables, is outside of the root: there is nothing in there but the program.
    exec unshare --mount --pid --fork sh -euc '
        mount --bind "$1" "$2/var/run/dragonfly"
        mount --bind "$3" "$2/tmp"
        mount -t proc proc "$2/proc"
        root=$2
        shift 3
        exec env -i "$@"' sh "$sockets" "$root" "$work/tmp" \
        "${variables[@]}" "$(command -v chroot)" --userspec=65532:65532 "$root" "${words[@]}"
}
# A file of the image's user, seen by both containers under one path; as two with one volume would.
mkdir "$work/sockets" "$work/tmp"
head -c 10000000 /dev/urandom >"$work/tmp/file"
chown -R 65532:65532 "$work/sockets" "$work/tmp"

mkfifo "$work/started"
(container fake-dfdaemon "$work/sockets") >"$work/started" 2>"$work/said" &
daemon=$!
read -r ready <"$work/started" || fail "the fake did not start: $(cat "$work/said")"
[[ $ready == *'"pid":1,'* ]] || fail "it is not process 1: $ready"
[[ $(cat "$work/sockets/ready.json") == "$ready" ]] || fail 'the ready file says something else'

mapfile -t check < <(skopeo inspect --config --raw "oci:$images/fake-dfdaemon" | jq -r '.config.Healthcheck.Test[2:][]')
(container fake-dfdaemon "$work/sockets" "${check[@]}") >/dev/null || fail 'the health check fails'

id=$(container dfcache "$work/sockets" import /tmp/file)
(container dfcache "$work/sockets" stat --wait-for-replicas 2 "$id") | grep -q Succeeded || fail stat
(container dfcache "$work/sockets" export --transfer-from-dfdaemon -O /tmp/copy "$id") >/dev/null
cmp "$work/tmp/file" "$work/tmp/copy"
[[ $(stat -c %u "$work/tmp/copy") == 65532 ]] || fail 'the copy is of another user'

# As `stop` of a runtime does: SIGTERM to process 1.
# The newest of its children: what read the configuration may not have been reaped.
kill -TERM "$(pgrep -n -P "$daemon")"
wait "$daemon" || fail "the fake ended with $?"
daemon=
[[ -z $(find "$work/sockets" -name '*.sock') ]] || fail 'sockets were left'
(container fake-dfdaemon "$work/sockets" "${check[@]}") >/dev/null 2>&1 && fail 'the health check succeeds without a fake'
echo 'both images are what skopeo and umoci expect, and run as process 1, as user 65532'
