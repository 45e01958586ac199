#!/usr/bin/env bash
# Runs interop.py in a virtual environment of its own, kept in the target directory.
#
#   tests/python/run.sh PYTHON TARGET_DIRECTORY
set -euo pipefail

python=$1
target=$2
cd "$(dirname "$0")"
work=$target/interop

if ! cmp -s requirements.txt "$work/requirements.txt"; then
    rm -rf "$work"
    mkdir -p "$work"
    "$python" -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
    # Last: a broken installation is begun again.
    cp requirements.txt "$work/"
fi

mkdir -p "$work/generated"
proto=../../proto
"$work/venv/bin/python" -m grpc_tools.protoc --proto_path="$proto" \
    --python_out="$work/generated" --grpc_python_out="$work/generated" "$proto"/*.proto
PYTHONDONTWRITEBYTECODE=1 "$work/venv/bin/python" interop.py "$target/debug/fake-dfdaemon" "$work/generated"
PYTHONDONTWRITEBYTECODE=1 "$work/venv/bin/python" official.py "$target/debug/fake-dfdaemon"
PYTHONDONTWRITEBYTECODE=1 "$work/venv/bin/python" metrics.py "$target/debug/fake-dfdaemon"

spectral=
if command -v npm >/dev/null; then
    npm install --silent --no-audit --no-fund --prefix "$work" \
        @stoplight/spectral-cli@6.16.3 @grpc/grpc-js@1.14.7 @grpc/proto-loader@0.8.1
    spectral=$work/node_modules/.bin/spectral
    ../javascript/run.sh "$target/debug/fake-dfdaemon" "$work"
else
    echo 'SKIPPED: there is no npm, so no grpc-js, and spectral does not look at the document'
fi
../go/run.sh "$target/debug/fake-dfdaemon" "$work/go"
PYTHONDONTWRITEBYTECODE=1 "$work/venv/bin/python" api.py "$target/debug/fake-dfdaemon" \
    "$work/venv/bin/schemathesis" ${spectral:+"$spectral"}

PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$work/generated" "$target/debug/fake-dfdaemon" run -- \
    "$work/venv/bin/python" ../examples/client.py requirements.txt
