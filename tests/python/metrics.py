"""Reads a fake's metrics with the Prometheus client library, and holds the names to its conventions.

    metrics.py FAKE_DFDAEMON
"""

import http.client
import json
import shutil
import socket
import subprocess
import sys

from prometheus_client.parser import text_string_to_metric_families


class Control(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


with subprocess.Popen([sys.argv[1], "serve", "--format=json", "--capacity=1gib"], stdout=subprocess.PIPE) as daemon:
    try:
        control = Control(json.loads(daemon.stdout.readline())["control"])
        control.request("GET", "/metrics")
        text = control.getresponse().read().decode()
    finally:
        daemon.terminate()

families = {family.name: family for family in text_string_to_metric_families(text)}
units = {"call_duration_seconds": "histogram", "sent_bytes": "counter", "host_capacity_bytes": "gauge"}
for name, kind in units.items():
    assert families[f"fake_dfdaemon_{name}"].type == kind, name
for family in families.values():
    assert family.documentation.endswith("."), family.name
    assert family.type in ("counter", "gauge", "histogram"), family
hosts = {sample.labels["host"] for sample in families["fake_dfdaemon_host_up"].samples}
assert hosts == {"host-0", "host-1", "host-2"}, hosts
print(f"{len(families)} metrics are read")
if shutil.which("promtool"):
    lint = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), capture_output=True)
    assert lint.returncode == 0 and not lint.stderr, lint.stderr.decode()
    print("promtool finds nothing")
