"""Keycloak, unmodified: its distribution from the Maven registry, with a realm of its own and a database in memory."""

import contextlib
import json
import os
import shutil
import time
from pathlib import Path

import httpx

from processes import await_listening, found, free_port, spawned

from .gateway import SECRET

ROOT = Path(__file__).resolve().parent.parent.parent.parent
HOME = ROOT / ".venv/keycloak"
REALM = "main"
ADMIN, ADMIN_PASSWORD = "operator", "granite lantern willow"
PASSWORD = "violet kettle harbour lantern"
# Bound that only ends a hang: it starts in 30 s on a busy machine.
START = 240


def left_out():
    """Why Keycloak cannot take part, or None."""
    if not found("java"):
        return "`java` is not installed"
    if not (HOME / "bin/kc.sh").exists():
        return "it is not installed: with Java 17 or newer and `mvn`, .ci/setup interop does it"
    return None


class Keycloak:
    """A running Keycloak, and its administration by REST."""

    def __init__(self, gateway, folder, people):
        self.gateway, self.folder, self.people = gateway, folder, people
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.issuer = f"{self.base}/realms/{REALM}"
        self.client = httpx.Client(base_url=self.base, timeout=60)
        self.token, self.token_until = None, 0

    def table(self):
        return f"""
[[providers]]
id = "keycloak"
preset = "keycloak"
issuer = "{self.issuer}"
client_id = "doorward"
client_secret = "{SECRET}"
create_users = "always"
logout = true
recheck = "1m"
roles = [
    {{ claim = "groups", value = "/platform", role = "admin" }},
    {{ claim = "realm_access.roles", value = "auditor", role = "auditor" }},
]
"""

    def realm(self):
        """The realm file: one confidential client, people, groups and roles."""
        address = lambda step: self.gateway.address("keycloak", step)
        in_tokens = {"id.token.claim": "true", "access.token.claim": "true", "userinfo.token.claim": "true"}
        client = {
            "clientId": "doorward",
            "secret": SECRET,
            "publicClient": False,
            "standardFlowEnabled": True,
            "directAccessGrantsEnabled": False,
            "frontchannelLogout": False,
            "redirectUris": [address("callback")],
            "attributes": {
                "post.logout.redirect.uris": address("signed-out"),
                "backchannel.logout.url": address("backchannel-logout"),
                "backchannel.logout.session.required": "true",
                "pkce.code.challenge.method": "S256",
            },
            "protocolMappers": [
                {
                    "name": "groups",
                    "protocol": "openid-connect",
                    "protocolMapper": "oidc-group-membership-mapper",
                    "config": {"claim.name": "groups", "full.path": "true", **in_tokens},
                },
                {
                    "name": "realm roles",
                    "protocol": "openid-connect",
                    "protocolMapper": "oidc-usermodel-realm-role-mapper",
                    "config": {
                        "claim.name": "realm_access.roles",
                        "multivalued": "true",
                        "jsonType.label": "String",
                        **in_tokens,
                    },
                },
            ],
        }
        users = [
            {
                "username": name,
                "enabled": True,
                "email": f"{name}@example.com",
                "emailVerified": True,
                "firstName": name.capitalize(),
                "lastName": "Example",
                "credentials": [{"type": "password", "value": PASSWORD, "temporary": False}],
                "groups": person.get("groups", []),
                "realmRoles": ["default-roles-main", *person.get("roles", [])],
            }
            for name, person in self.people.items()
        ]
        return {
            "realm": REALM,
            "enabled": True,
            "sslRequired": "none",
            # Each refresh token is used once.
            "revokeRefreshToken": True,
            "refreshTokenMaxReuse": 0,
            "eventsEnabled": True,
            # Without a list, refreshes are not stored.
            "enabledEventTypes": ["LOGIN", "LOGIN_ERROR", "LOGOUT", "REFRESH_TOKEN", "REFRESH_TOKEN_ERROR"],
            "groups": [{"name": "platform"}, {"name": "staff"}],
            "roles": {"realm": [{"name": "auditor"}]},
            "clients": [client],
            "users": users,
        }

    @contextlib.contextmanager
    def starting(self):
        """Starts the server, in a home of its own that shares the programs."""
        home = self.folder / "keycloak"
        (home / "data/import").mkdir(parents=True)
        # Not a link: the script takes the folder that it lies in as its home.
        shutil.copytree(HOME / "bin", home / "bin")
        for shared in ("lib", "providers", "themes", "conf", "version.txt"):
            (home / shared).symlink_to(HOME / shared)
        (home / f"data/import/{REALM}-realm.json").write_text(json.dumps(self.realm()))
        environment = {
            **os.environ,
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN_PASSWORD,
            # Compiles quickly rather than well: it runs for two minutes.
            "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
        }
        command = [home / "bin/kc.sh", "start", "--optimized", "--import-realm", f"--hostname={self.base}"]
        command += ["--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={self.port}"]
        # The back-channel logout goes to the gateway's own certificate.
        command += [f"--truststore-paths={self.gateway.ca}"]
        self.log = self.folder / "keycloak.log"
        with spawned(command, self.log, env=environment) as process:
            self.process = process
            yield

    def await_ready(self):
        await_listening("keycloak", self.process, self.port, self.log, START)
        # Its first answer takes long on a busy machine, and doorward waits ten seconds.
        self.client.get(f"/realms/{REALM}/.well-known/openid-configuration").raise_for_status()

    def admin(self, method, path, body=None, realm=REALM):
        """Calls the admin REST API. Returns what it responds."""
        if time.monotonic() > self.token_until:
            form = {"grant_type": "password", "client_id": "admin-cli", "username": ADMIN, "password": ADMIN_PASSWORD}
            response = self.client.post("/realms/master/protocol/openid-connect/token", data=form)
            response.raise_for_status()
            self.token = response.json()["access_token"]
            # Half of what Keycloak gives by default.
            self.token_until = time.monotonic() + 30
        url = f"/admin/realms/{realm}{path}"
        response = self.client.request(method, url, json=body, headers={"Authorization": f"Bearer {self.token}"})
        response.raise_for_status()
        return response.json() if response.content else None

    def id_of(self, name):
        return self.admin("GET", f"/users?username={name}&exact=true")[0]["id"]

    def leave_group(self, name, group):
        groups = self.admin("GET", f"/users/{self.id_of(name)}/groups")
        found = next(one for one in groups if one["name"] == group)
        self.admin("DELETE", f"/users/{self.id_of(name)}/groups/{found['id']}")

    def disable(self, name):
        person = self.admin("GET", f"/users/{self.id_of(name)}")
        self.admin("PUT", f"/users/{person['id']}", {**person, "enabled": False})

    def sessions(self, name):
        return self.admin("GET", f"/users/{self.id_of(name)}/sessions")

    def events(self, kind, name):
        """Events about a person, newest first."""
        return self.admin("GET", f"/events?type={kind}&user={self.id_of(name)}")

    def rotate_key(self):
        """Adds a key that signs from now on. Returns its `kid`."""
        parent = self.admin("GET", "")["id"]
        component = {
            "name": "newer",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "parentId": parent,
            "config": {
                "priority": ["200"],
                "enabled": ["true"],
                "active": ["true"],
                "keySize": ["2048"],
                "algorithm": ["RS256"],
            },
        }
        self.admin("POST", "/components", component)
        return self.admin("GET", "/keys")["active"]["RS256"]
