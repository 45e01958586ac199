"""Holds a fake's control API against its own OpenAPI document, with schemathesis; and the document
against the rules of spectral, if that is named.

    api.py FAKE_DFDAEMON SCHEMATHESIS [SPECTRAL]
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

# They wait for what happens, and end when that does.
WAITING = ["/events", "/settle", "/journal/wait"]

# What goes together in a fault, and which hosts there are, no schema says: such a fault is refused as
# one that makes no sense.
CONFIGURATION = """
[[operations]]
include-name = "POST /faults"
checks.positive_data_acceptance.enabled = false
"""

fake, schemathesis, *spectral = sys.argv[1:]
options = ["--format=json", "--control-tcp=127.0.0.1:0", "--clock=manual"]
options += ["--preload", str(pathlib.Path(__file__).parent), "--fault=stat:delay=1ms"]
with (
    tempfile.TemporaryDirectory() as work,
    subprocess.Popen([fake, "serve", *options], stdout=subprocess.PIPE) as daemon,
):
    try:
        address = json.loads(daemon.stdout.readline())["control_tcp"]
        document = f"http://{address}/openapi.json"
        if spectral:
            kept = pathlib.Path(work, "openapi.json")
            with urllib.request.urlopen(document) as answer:
                kept.write_bytes(answer.read())
            rules = pathlib.Path(work, "rules.yaml")
            rules.write_text('extends: ["spectral:oas"]\n')
            lint = [*spectral, "lint", "--fail-severity=warn", f"--ruleset={rules}", str(kept)]
            subprocess.run(lint, check=True)
        pathlib.Path(work, "schemathesis.toml").write_text(CONFIGURATION)
        # The same requests each time.
        run = [schemathesis, "run", document, "--seed=1", "--max-examples=30", "--request-timeout=10"]
        for path in WAITING:
            run += ["--exclude-path", path]
        subprocess.run(run, check=True, cwd=work)
    finally:
        daemon.terminate()
