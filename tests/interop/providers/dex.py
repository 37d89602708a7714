"""Dex, unmodified: built from the Go module registry, with a password database and SQLite."""

import contextlib
import json
import uuid
from pathlib import Path

from processes import await_listening, free_port, spawned

from .gateway import SECRET

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PROGRAM = ROOT / ".venv/dex/dex"
PASSWORD = "violet kettle harbour lantern"
# Of PASSWORD, by bcrypt with cost 10, the least that Dex takes.
DIGEST = "$2b$10$Tl9hqJPuTNaFvVIUj643DenLdZ6Bcyd5pWmLSMulAxV1V2HSoGT.K"


def left_out():
    """Why Dex cannot take part, or None."""
    return None if PROGRAM.exists() else "it is not built: with `go`, .ci/setup interop does it"


class Dex:
    """A Dex with a configuration of its own."""

    def __init__(self, gateway, folder, people):
        self.gateway, self.folder = gateway, folder
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}/dex"
        self.process, self.starts = contextlib.ExitStack(), 0
        self.people = {
            name: {"email": f"{name}@example.com", "hash": DIGEST, "username": name, "userID": str(uuid.uuid4())}
            for name in people
        }

    def table(self):
        return f"""
[[providers]]
id = "dex"
preset = "oidc"
issuer = "{self.issuer}"
client_id = "doorward"
client_secret = "{SECRET}"
label = "Dex"
create_users = "always"
username = "name"
logout = true
recheck = "1m"
"""

    def configure(self):
        # JSON is YAML.
        (self.folder / "dex.json").write_text(
            json.dumps(
                {
                    "issuer": self.issuer,
                    "storage": {"type": "sqlite3", "config": {"file": str(self.folder / "dex.db")}},
                    "web": {"http": f"127.0.0.1:{self.port}"},
                    "enablePasswordDB": True,
                    "staticPasswords": list(self.people.values()),
                    "staticClients": [
                        {
                            "id": "doorward",
                            "name": "doorward",
                            "secret": SECRET,
                            "redirectURIs": [self.gateway.address("dex", "callback")],
                        }
                    ],
                }
            )
        )

    def start(self):
        self.configure()
        log = self.folder / f"dex-{self.starts}.log"
        self.starts += 1
        process = self.process.enter_context(spawned([PROGRAM, "serve", self.folder / "dex.json"], log))
        await_listening("dex", process, self.port, log)

    def stop(self):
        self.process.close()

    @contextlib.contextmanager
    def running(self):
        with self.process:
            self.start()
            yield
