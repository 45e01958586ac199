#!/usr/bin/env bash
# Walks beside a real dfdaemon, in a virtual environment that is kept in the target directory.
#
#   tests/beside/run.sh SEED STEPS [WITHOUT…]
#
# DFDAEMON is the path of a dfdaemon 1.5.10, FAKE_DFDAEMON that of the fake (by default the debug build), PYTHON an
# interpreter with venv.
set -euo pipefail

seed=${1:?a seed} steps=${2:?a number of steps}
shift 2
here=$(dirname "$(realpath "$0")")
target=${TARGET_DIR:-${CARGO_TARGET_DIR:-$here/../../target}}
work=$target/beside
dfdaemon=${DFDAEMON:-$(command -v dfdaemon || true)}
if [ ! -x "$dfdaemon" ]; then
    echo 'DFDAEMON has to be the path of a dfdaemon 1.5.10: cargo install dragonfly-client --version 1.5.10 --root DIR' >&2
    exit 2
fi

if ! cmp -s "$here/requirements.txt" "$work/requirements.txt"; then
    rm -rf "$work"
    mkdir -p "$work"
    "${PYTHON:-python3}" -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    # Last: a broken installation is begun again.
    cp "$here/requirements.txt" "$work/"
fi
PYTHONDONTWRITEBYTECODE=1 exec "$work/venv/bin/python" "$here/walk.py" "$seed" "$steps" "$dfdaemon" \
    "${FAKE_DFDAEMON:-$target/debug/fake-dfdaemon}" "$@"
