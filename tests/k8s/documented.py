"""The secrets of docs/kubernetes.md: its commands run with the real kubectl, and the objects they would create are checked."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache

from installation import KUBECTL, ROOT

PAGE = ROOT / "docs/kubernetes.md"

# Each command prints the object instead of creating it in a cluster.
DRY = f"""
set -euo pipefail
kubectl() {{
    case "$*" in
        *" create secret "*) '{KUBECTL}' "$@" --dry-run=client -o json | tr -d '\\n' && echo ;;
    esac
}}
"""


def blocks(text):
    """The shell blocks that create secrets."""
    return [
        block for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if "create secret" in block
    ]


@cache
def secrets(text):
    """Name to keys and values, of all that the page of this text makes."""
    made = {}
    folder = tempfile.mkdtemp()
    try:
        certificate = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=app.example.com",
            "-keyout",
            "tls.key",
            "-out",
            "tls.crt",
        ]
        subprocess.run(certificate, cwd=folder, capture_output=True, check=True)
        for block in blocks(text):
            done = subprocess.run(
                ["bash", "-c", DRY + block],
                capture_output=True,
                text=True,
                cwd=folder,
                env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            )
            if done.returncode != 0:
                raise AssertionError(f"docs/kubernetes.md: the commands do not work:\n{block}\n{done.stderr}")
            for line in done.stdout.splitlines():
                item = json.loads(line)
                values = {key: base64.b64decode(value) for key, value in item.get("data", {}).items()}
                made[item["metadata"]["name"]] = {"namespace": item["metadata"].get("namespace"), "values": values}
    finally:
        shutil.rmtree(folder)
    return made
