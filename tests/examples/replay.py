"""A test against a cassette: no dfdaemon, no network, and a fault that no dfdaemon has on demand.

    python3 tests/examples/replay.py CASSETTE FILE TASK

It needs the two programs in the path, and nothing beside Python's own library.
"""

import json
import os
import subprocess
import sys
import tempfile


class Replay:
    """`fake-dfdaemon replay`, for as long as a `with` block."""

    def __init__(self, cassette, *options):
        self.command = ["fake-dfdaemon", "replay", "--order", "any", "--cassette", cassette, *options]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE)
        self.ready = json.loads(self.process.stdout.readline())  # it accepts now
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def dfcache(self, *arguments):
        environment = {**os.environ, "DFCACHE_ENDPOINT": self.ready["endpoint"]}
        return subprocess.run(["dfcache", *arguments], env=environment, capture_output=True, text=True)


cassette, file, task = sys.argv[1:]
with open(file, "rb") as opened:
    content = opened.read()

with tempfile.TemporaryDirectory() as directory:
    copy = os.path.join(directory, "copy")
    export = ["export", "--transfer-from-dfdaemon", "-O", copy, task]

    with Replay(cassette) as replay:
        assert replay.dfcache(*export).returncode == 0
        with open(copy, "rb") as opened:
            assert opened.read() == content
        os.remove(copy)

    with Replay(cassette, "--fault", "export:corrupt_piece") as replay:
        assert replay.dfcache(*export).returncode == 7
        assert not os.path.exists(copy)

print("well")
