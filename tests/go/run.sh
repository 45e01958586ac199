#!/usr/bin/env bash
# Builds client.go and runs it at fakes of both releases, through a recorder, and at the replay of
# what was recorded. grpc-go comes from Debian's packages: nothing is downloaded.
#
#   tests/go/run.sh FAKE_DFDAEMON DIRECTORY_TO_BUILD_IN
set -euo pipefail

fake=$1
build=$(mkdir -p "$2" && cd "$2" && pwd)
cd "$(dirname "$0")"
gocode=/usr/share/gocode
has_all=yes
[ -d $gocode/src/google.golang.org/grpc ] || has_all=
for tool in go protoc protoc-gen-go protoc-gen-go-grpc; do
    command -v $tool >/dev/null || has_all=
done
if [ -z "$has_all" ]; then
    echo 'SKIPPED: there is no grpc-go; apt-get install golang-go golang-google-grpc-dev protobuf-compiler protoc-gen-go-1-5 protoc-gen-go-grpc has it'
    exit
fi

mkdir -p "$build/src"
packages=Mdfdaemon.proto=dfcache.test/dfdaemon,Mcommon.proto=dfcache.test/common
protoc --proto_path=../../proto --go_out="$packages:$build/src" --go-grpc_out="$packages:$build/src" \
    common.proto dfdaemon.proto
GO111MODULE=off GOPATH=$build:$gocode GOCACHE=$build/cache go build -o "$build/client" client.go

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for release in 0.2 1.5; do
    "$fake" run --dfdaemon-version "$release" -- "$build/client"
done

# A replay knows the source by its path and content.
mkdir "$work/files"
export fake build work
# shellcheck disable=SC2016
"$fake" run --dfdaemon-version 1.5 -- sh -c \
    '"$fake" record --upstream "$DFCACHE_ENDPOINT" --cassette "$work/cassette" -- "$build/client" "$work/files"'
rm "$work/files/output"
"$fake" replay --cassette "$work/cassette" -- "$build/client" "$work/files"
