#!/usr/bin/env bash
# Makes the wheels, installs them into a fresh virtual environment, and runs the examples from there.
#
#   packaging/wheels.sh PYTHON TARGET_DIRECTORY      the wheels land in TARGET_DIRECTORY/wheels
#
# The environment gets pytest and what the examples use from the package index, in fixed versions.
set -euo pipefail

python=$1
target=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH PYTHONDONTWRITEBYTECODE=1
fail() { echo "FAILED: $*" >&2; exit 1; }

binaries=${BINARIES:-$(packaging/static.sh "$target")}
version=$("$binaries/dfcache" --version | cut -d ' ' -f 2)
rm -rf "$target/wheels"
"$python" packaging/wheels.py "$binaries" "$version" "$target/wheels"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" --quiet --disable-pip-version-check "$@"; }
pip install --requirement packaging/python/requirements.txt
# By name, and from nowhere else: the index may have packages of these names that are not ours.
pip install --no-index --no-deps --find-links "$target/wheels" "fake-dfdaemon==$version" "dfcache==$version"
pip check

cp -r packaging/python/examples "$work/examples"
# The first example of the page, as it stands there.
{ echo 'import subprocess' && sed -n '/^```python$/,/^```$/p' docs/python.md | sed -n '2,/^```$/{/^```$/!p}'; } >"$work/examples/test_page.py"
grep -q '^def test_' "$work/examples/test_page.py"
cd "$work/examples"
# Only what the environment has, and nothing of what a person has set.
unset "${!DFCACHE_@}" "${!FAKE_DFDAEMON_@}"
export PATH=/usr/bin:/bin TMPDIR="$work"
pytest() { "$work/venv/bin/python" -m pytest -p no:cacheprovider -q "$@"; }

"$work/venv/bin/dfcache" --version
"$work/venv/bin/python" -m dfcache --version
pytest .
pytest -n 4 .
pytest -o dfdaemon_scope=session ../examples/test_examples.py::test_reset
[[ -z $(find "$work" -maxdepth 1 -name 'dfd-*') ]] || fail 'a state directory was left'

# A test that fails leaves its state, and says where.
cat >"$work/test_fails.py" <<'END'
def test_that_fails(dfdaemon, tmp_path):
    (tmp_path / "file").write_text("content")
    dfdaemon.import_file(tmp_path / "file")
    assert dfdaemon.journal() == []
END
for workers in 0 2; do
    said=$(pytest -n "$workers" "$work/test_fails.py") && fail 'a test that fails passed'
    journal=$(sed -n 's/^the journal is //p' <<<"$said")
    grep -q '"import"' "$journal" || fail "no journal was kept: $said"
done

"$work/venv/bin/mypy" --strict --cache-dir "$work/mypy" test_examples.py
"$work/venv/bin/mypy" --strict --cache-dir "$work/mypy" -p fake_dfdaemon -p dfcache
echo "the wheels install and their examples pass: $target/wheels"
