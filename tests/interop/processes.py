"""Processes of `make interop`: ports, programs and the certificate of the gateway."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# Bound that only ends a hang.
START = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def found(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def spawned(command, log, **kwargs):
    """Starts a program, and ends it with all its children."""
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **kwargs)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def await_listening(name, process, port, log, patience=START):
    """Waits until a program listens."""
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"interop: {name} did not start:\n{Path(log).read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


@contextlib.contextmanager
def running(name, command, port, log, **kwargs):
    """Runs a program: waits until it listens, and ends it with all its children."""
    with spawned(command, log, **kwargs) as process:
        await_listening(name, process, port, log)
        yield process


def certificate(folder):
    """A self-signed certificate for localhost."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        + ["-addext", "extendedKeyUsage=serverAuth"]
        + ["-keyout", folder / "localhost.key", "-out", folder / "localhost.crt"],
        check=True,
        capture_output=True,
    )
    return folder / "localhost.crt"
