#!/usr/bin/env bash
# Installs the packages into a scratch root, runs the programs from there, and holds them to what they say.
#
#   packaging/test.sh PACKAGES      the directory with the packages; `make packages-test` builds them first
set -euo pipefail

packages=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
there() { [[ -s $root/$1 ]] || fail "$1 is missing or empty"; }

# A package database of its own: what the machine has installed is not asked, nor changed.
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers"
touch "$root/var/lib/dpkg/status" "$root/var/lib/dpkg/available"
dpkg --root="$root" --force-not-root --log="$root/dpkg.log" \
    --install "$packages"/*.deb >"$root/dpkg.out" 2>&1 || { cat "$root/dpkg.out" >&2; fail 'dpkg --install'; }

for program in dfcache fake-dfdaemon; do
    binary=$root/usr/bin/$program
    "$binary" --version | grep -qx "$program [0-9.]*" || fail "$program --version"
    there "usr/share/man/man1/$program.1.gz"
    there "usr/share/bash-completion/completions/$program"
    there "usr/share/zsh/vendor-completions/_$program"
    there "usr/share/fish/vendor_completions.d/$program.fish"
    for file in copyright README.md CHANGELOG.md proto/dfdaemon.proto examples/ci.sh; do
        there "usr/share/doc/$program/$file"
    done
    for page in docs/*.md; do
        there "usr/share/doc/$program/$page"
    done
    dpkg --root="$root" --status "$program" | grep -q '^Homepage: https://' || fail "$program has no homepage"
    bash -n "$root/usr/share/bash-completion/completions/$program"

    file --brief "$binary" | grep -Eq 'static(ally|-pie) linked' || fail "$program is not static"
    ! dpkg --root="$root" --status "$program" | grep '^Depends:' || fail "$program is static and depends on that"
done
for page in dfcache-import dfcache-export dfcache-stat fake-dfdaemon-run fake-dfdaemon-ctl-clock-advance; do
    there "usr/share/man/man1/$page.1.gz"
done
dpkg --root="$root" --status dfcache | grep -q 'not the reference client' || fail 'dfcache does not say what it is not'

# The main job, with what was installed and nothing else.
cd "$root"
PATH=$root/usr/bin:/usr/bin:/bin HOME=$root "$root/usr/bin/fake-dfdaemon" run -- sh -euc '
    export DFCACHE_IMPORT_LOG_DIR=$HOME/log DFCACHE_EXPORT_LOG_DIR=$HOME/log
    echo content >file
    dfcache export --transfer-from-dfdaemon -O copy "$(dfcache import file)" >/dev/null
    cmp file copy'
echo 'the .deb packages install, and what is in them works'

# rpm is seldom there on Debian; what can be said without it is that the files are packages.
for package in "$packages"/*.rpm; do
    [[ $(head -c 4 "$package" | od -An -tx1 | tr -d ' ') == edabeedb ]] || fail "$package is no rpm"
    if command -v rpm >/dev/null; then
        ! rpm -qp --requires "$package" | grep -v '^rpmlib(' || fail "$package depends on that"
        files=$(rpm -qpl "$package")
        for part in /usr/bin/ /usr/share/man/man1/ /usr/share/bash-completion/ /usr/share/licenses/; do
            [[ $files == *"$part"* ]] || fail "$package has nothing in $part"
        done
    else
        echo "SKIPPED: a look into $(basename "$package"): rpm is not installed"
    fi
done
