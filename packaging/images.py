"""Makes an OCI image layout of each program, of its Containerfile, without a container daemon.

    images.py BINARIES VERSION OUTPUT

OUTPUT/<program> is the layout (skopeo's `oci:OUTPUT/<program>:VERSION`), with the root.tar that the Containerfile
adds. The same input gives the same bytes.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import re
import shlex
import sys
import tarfile
import time
from pathlib import Path

PACKAGING = Path(__file__).resolve().parent
USER = 65532
SECOND = 1_000_000_000

PASSWD = f"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/tmp:/sbin/nologin\n"
GROUP = f"root:x:0:\nnonroot:x:{USER}:\n"

# Path, mode, owner; a directory where the content is None.
DIRECTORIES = {
    "dfcache": [("var/log/dragonfly/dfcache", 0o755, USER)],
    "fake-dfdaemon": [("var/run/dragonfly", 0o755, USER)],
}


def root(name, binary, when):
    """The tar file of all that is in the image."""
    entries = {"etc/passwd": (0o644, 0, PASSWD.encode()), "etc/group": (0o644, 0, GROUP.encode())}
    entries[f"usr/bin/{name}"] = (0o755, 0, binary.read_bytes())
    entries["tmp"] = (0o1777, 0, None)
    for path, mode, owner in DIRECTORIES[name]:
        entries[path] = (mode, owner, None)
    for path in list(entries):
        for parent in Path(path).parents:
            if str(parent) != ".":
                entries.setdefault(str(parent), (0o755, 0, None))

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, (mode, owner, content) in sorted(entries.items()):
            entry = tarfile.TarInfo(path)
            entry.mode, entry.uid, entry.gid, entry.mtime = mode, owner, owner, when
            entry.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            entry.size = len(content or b"")
            archive.addfile(entry, io.BytesIO(content or b""))
    return buffer.getvalue()


def duration(text):
    return int(text[:-1]) * SECOND


def instructions(name):
    """The Containerfile, as the configuration that it stands for. What it does not know is an error."""
    config = {"Env": [], "Labels": {}}
    for line in (PACKAGING / f"{name}.Containerfile").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        word, rest = line.split(" ", 1)
        if (word, rest) in [("FROM", "scratch"), ("ADD", "root.tar /")]:
            continue
        if word == "LABEL":
            config["Labels"].update(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "ENV":
            config["Env"] += shlex.split(rest)
        elif word == "USER":
            config["User"] = rest
        elif word == "WORKDIR":
            config["WorkingDir"] = rest
        elif word in ("ENTRYPOINT", "CMD"):
            config[word.capitalize()] = json.loads(rest)
        elif word == "HEALTHCHECK":
            # Of Docker's format, and read from OCI images by those who know it.
            options = dict(re.findall(r"--([a-z-]+)=(\w+)", rest.split(" CMD ")[0]))
            config["Healthcheck"] = {
                "Test": ["CMD", *json.loads(rest.split(" CMD ")[1])],
                "Interval": duration(options["interval"]),
                "Timeout": duration(options["timeout"]),
                "StartPeriod": duration(options["start-period"]),
            }
        else:
            raise SystemExit(f"{name}.Containerfile: {line}")
    return config


def layout(name, binary, version, output):
    when = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    blobs = output / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content, media_type):
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def document(value, media_type):
        return blob(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), media_type)

    tar = root(name, binary, when)
    (output / "root.tar").write_bytes(tar)
    layer = blob(gzip.compress(tar, 9, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = instructions(name)
    config["Labels"]["org.opencontainers.image.version"] = version
    image = {
        "created": created,
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
        "history": [{"created": created, "created_by": f"packaging/{name}.Containerfile"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": document(image, "application/vnd.oci.image.config.v1+json"),
        "layers": [layer],
    }
    described = document(manifest, "application/vnd.oci.image.manifest.v1+json")
    described["annotations"] = {"org.opencontainers.image.ref.name": version}
    described["platform"] = {"architecture": architecture, "os": "linux"}
    (output / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    (output / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def main():
    binaries, version, output = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    for name in DIRECTORIES:
        layout(name, binaries / name, version, output / name)
        print(f"oci:{output / name}:{version}")


main()
