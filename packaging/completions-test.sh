#!/usr/bin/env bash
# Types command lines at real shells, presses the tab key, and reads what they complete.
#
#   packaging/completions-test.sh BINARIES      takes bash, zsh and fish
set -euo pipefail

binaries=$(cd "$1" && pwd)
work=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon"; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
for shell in bash zsh fish; do
    command -v "$shell" >/dev/null || fail "$shell is not installed"
    for program in dfcache fake-dfdaemon; do
        "$binaries/$program" completions "$shell" >"$work/$program.$shell"
    done
done
cp "$work/dfcache.zsh" "$work/_dfcache"
cp "$work/fake-dfdaemon.zsh" "$work/_fake-dfdaemon"
export PATH=$binaries:$PATH HOME=$work ZDOTDIR=$work XDG_CONFIG_HOME=$work TERM=dumb

# Ids are those of a daemon that runs.
mkfifo "$work/ready"
fake-dfdaemon serve --socket "$work/s.sock" --dfdaemon-version 0.2 >"$work/ready" & daemon=$!
read -r _ <"$work/ready"
export DFCACHE_ENDPOINT=$work/s.sock DFCACHE_LOG_DIR=$work/logs
echo content >"$work/file"
id=$(dfcache import "$work/file")

in_bash() { # what follows the words after one press of the key
    WORK=$work bash --norc -c '
        source "$WORK/${1%% *}.bash"
        [[ "$(complete -p "${1%% *}")" =~ -F\ ([^ ]+) ]] || exit 9
        read -ra COMP_WORDS <<<"$1"
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        "${BASH_REMATCH[1]}" "${COMP_WORDS[0]}" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        echo "${COMPREPLY[@]}"' bash "$1"
}

in_fish() {
    fish --no-config -c 'source $argv[1]; complete --do-complete $argv[2]' "$work/${1%% *}.fish" "$1" | cut -f 1 | xargs
}

# An interactive zsh on a terminal of its own: the line is what it shows once the key was pressed, and
# a widget writes it to a file.
in_zsh() {
    rm -f "$work/line"
    WORK=$work zsh --no-rcs -c '
        zmodload zsh/zpty
        zpty shell "zsh --no-rcs -i"
        zpty -w shell "PROMPT= fpath=(\$WORK \$fpath); autoload -U compinit; compinit -u -D"
        zpty -w shell "keep() { print -r -- \"\$BUFFER\" >\$WORK/line.new; mv \$WORK/line.new \$WORK/line; zle kill-whole-line }; zle -N keep; bindkey \"^X\" keep; : >\$WORK/up"
        for ((tries = 0; tries < 300; tries++)); do
            [[ ! -e $WORK/up ]] || break
            sleep 0.1
        done
        zpty -w -n shell "$1"$'"'\\t\\x18'"'
        for ((tries = 0; tries < 300; tries++)); do
            [[ ! -e $WORK/line ]] || break
            zpty -r -t shell said || true
            sleep 0.1
        done
        zpty -d shell' zsh "$1"
    local line
    line=$(<"$work/line")
    line=${line%"${line##*[![:space:]]}"}
    line=${line##* }
    # An option that takes a value is completed up to where it goes.
    echo "${line%=}"
}

while read -r expected words; do
    for shell in bash fish zsh; do
        completed=$("in_$shell" "$words")
        [[ $completed == "$expected" ]] || fail "$shell completes '$words' with '$completed', not '$expected'"
    done
    echo "$words -> $expected"
done <<END
$id dfcache stat ${id:0:3}
$id dfcache export -O x ${id:0:3}
$id dfcache verify --no-progress ${id:0:3}
$id dfcache -e $DFCACHE_ENDPOINT stat ${id:0:3}
export dfcache exp
--transfer-from-dfdaemon dfcache export --transfer
json dfcache stat --format js
serve fake-dfdaemon ser
snapshots fake-dfdaemon ctl sna
advance fake-dfdaemon ctl clock adv
--ready-file fake-dfdaemon serve --ready
END
