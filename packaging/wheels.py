"""Makes the wheels of both programs: a static binary, and what is typed around it. The same input gives the same bytes.

    wheels.py BINARIES VERSION OUTPUT

A wheel is a zip file with a list of its files: nothing is compiled here, and nothing is downloaded.
"""

import base64
import hashlib
import os
import platform
import stat
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "packaging" / "python"

DESCRIPTION = """\
{summary}.

The wheel brings the program itself, a static binary, which `pip install` puts beside Python. It is not the
reference client of Dragonfly, whose program `dfcache` has the same name.
"""

WHEELS = {
    "dfcache": {
        "summary": "The cache client of Dragonfly: imports files into the P2P cache, exports them, shows their state",
        "requires": [],
        "entry_points": "",
    },
    "fake-dfdaemon": {
        "summary": "A dfdaemon with its scheduler and its peers in one small hermetic process, for tests",
        # What imports a file for a test.
        "requires": ["dfcache=={version}", 'dragonfly-api>=2.3; extra == "grpc"'],
        "entry_points": "[pytest11]\nfake_dfdaemon = fake_dfdaemon.pytest_plugin\n",
    },
}


def metadata(name: str, version: str) -> str:
    wheel = WHEELS[name]
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        f"Summary: {wheel['summary']}",
        "Home-page: https://d7y.io",
        "License: Apache-2.0",
        "Requires-Python: >=3.8",
        "Classifier: Operating System :: POSIX :: Linux",
        "Classifier: Typing :: Typed",
    ]
    if name == "fake-dfdaemon":
        lines += ["Classifier: Framework :: Pytest", "Provides-Extra: grpc"]
    lines += [f"Requires-Dist: {requirement.format(version=version)}" for requirement in wheel["requires"]]
    description = DESCRIPTION.format(summary=wheel["summary"])
    return "\n".join([*lines, "Description-Content-Type: text/markdown", "", description])


def build(name: str, binary: Path, version: str, output: Path) -> Path:
    module = name.replace("-", "_")
    # Static, and so at home with every libc.
    machine = platform.machine()
    tags = [f"manylinux_2_17_{machine}", f"manylinux2014_{machine}", f"musllinux_1_1_{machine}"]
    info = f"{module}-{version}.dist-info"
    wheel = ["Wheel-Version: 1.0", "Generator: packaging/wheels.py", "Root-Is-Purelib: false"]
    wheel += [f"Tag: py3-none-{tag}" for tag in tags]
    files = {f"{module}/{path.name}": path.read_bytes() for path in sorted((PYTHON / module).iterdir()) if path.is_file()}
    files[f"{module}-{version}.data/scripts/{name}"] = binary.read_bytes()
    files[f"{info}/METADATA"] = metadata(name, version).encode()
    files[f"{info}/WHEEL"] = "\n".join([*wheel, ""]).encode()
    files[f"{info}/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    if WHEELS[name]["entry_points"]:
        files[f"{info}/entry_points.txt"] = str(WHEELS[name]["entry_points"]).encode()

    rows = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(content)}")
    record = f"{info}/RECORD"
    files[record] = "\n".join([*rows, f"{record},,", ""]).encode()

    # A zip file knows no time before 1980.
    made = time.gmtime(max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), 315532800))[:6]
    target = output / f"{module}-{version}-py3-none-{'.'.join(tags)}.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, made)
            entry.compress_type = zipfile.ZIP_DEFLATED
            mode = 0o755 if "/scripts/" in path else 0o644
            entry.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(entry, content)
    return target


def main() -> None:
    binaries, version, output = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    output.mkdir(parents=True, exist_ok=True)
    for name in WHEELS:
        print(build(name, binaries / name, version, output))


main()
