"""The gateway, with the providers of the run and an app that tells what it was told."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from processes import certificate, free_port, running

APPS = Path(__file__).resolve().parent.parent / "apps"
SECRET = "a secret of the checks, long enough"
# The shortest that is allowed.
RECHECK = 60


class Gateway:
    """A doorward in its own folder."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.port, self.app_port = free_port(), free_port()
        self.base = f"https://localhost:{self.port}"
        self.ca = certificate(folder)
        self.tables = []

    def address(self, provider, step):
        """An address to register at a provider."""
        return f"{self.base}/auth/providers/{provider}/{step}"

    def add(self, table):
        """Adds a `[[providers]]` table."""
        self.tables.append(table)

    def configure(self):
        providers = "\n".join(self.tables)
        (self.folder / "gateway.toml").write_text(f"""
[server]
listen = ["127.0.0.1:{self.port}"]
public_urls = ["{self.base}"]
[server.tls]
certificates = [{{ cert_file = "localhost.crt", key_file = "localhost.key" }}]
[admin]
listen = []
[tokens]
issuer = "{self.base}"
access_ttl = "10s"
{providers}
[log]
access = "none"
[upstreams.app]
servers = ["http://127.0.0.1:{self.app_port}"]
identity = "x-forwarded"
[upstreams.app.request_headers]
set = {{ "X-Session" = "${{session.id}}", "X-Name" = "${{user.name}}" }}
[[routes]]
name = "app"
path = "/"
access = "signed-in"
upstream = "app"
[[routes]]
name = "admin"
path = "/admin"
access = {{ roles = ["admin"] }}
upstream = "app"
""")

    @contextlib.contextmanager
    def running(self):
        command = [sys.executable, "-m", "uvicorn", "--log-level", "warning", "--port", str(self.app_port)]
        app = running("the app", [*command, "identity_asgi:app"], self.app_port, self.folder / "app.log", cwd=APPS)
        serve = [self.binary, "--config", self.folder / "gateway.toml", "serve"]
        with app, running("doorward", serve, self.port, self.folder / "doorward.log"):
            yield

    def command(self, *arguments):
        """Runs a command of doorward. Returns its status, output and errors."""
        command = [self.binary, "--config", self.folder / "gateway.toml", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout, done.stderr

    def user(self, login):
        """A user as the vault has it, or None."""
        status, out, _ = self.command("user", "show", login, "--json")
        return json.loads(out) if status == 0 else None

    def logged(self, reason):
        """Lines of the log with a reason."""
        lines = (self.folder / "doorward.log").read_text(errors="replace").splitlines()
        return [line for line in lines if reason in line]
