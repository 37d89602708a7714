"""Checks of sign-in with Keycloak: the way in, the way out at both ends, rechecks, and another key."""

import time

from .browser import Browser, Forms, Stream, Watch
from .checks import Checks, eventually
from .gateway import RECHECK
from .keycloak import PASSWORD

# Signed out at Keycloak by its administrator, one after the other.
REMOVED = ["dan", "deb", "dee", "dot", "dov"]
PEOPLE = {name: {"groups": ["/platform"]} for name in ["bob", "cyn", "eve", "fay", "gus", "hal", "ivy", *REMOVED]}
PEOPLE["ada"] = {"groups": ["/platform", "/staff"], "roles": ["auditor"]}
PEOPLE["bea"] = {"groups": ["/platform", "/staff"]}
# A recheck is due within this time after the sign-in; the rest is for a busy machine.
DUE = RECHECK + 60


class KeycloakChecks(Checks):
    def __init__(self, gateway, keycloak):
        super().__init__("keycloak")
        self.gateway, self.keycloak = gateway, keycloak
        self.browsers = {}
        self.at_keycloak = f"{keycloak.issuer}/"

    def browser(self):
        return Browser(self.gateway)

    def sign_in(self, name, path="/"):
        """Signs a person in with Keycloak, in a new browser."""
        browser = self.browser()
        page = browser.submit(browser.choose("keycloak", path), {"username": name, "password": PASSWORD}, "password")
        self.browsers[name] = browser
        self.check(
            f"{name} signs in",
            (page.status_code, browser.url) == (200, self.gateway.base + path),
            (page.status_code, browser.place),
        )
        return page

    def refreshes(self, name):
        return self.keycloak.events("REFRESH_TOKEN", name)

    def command(self):
        """`doorward provider test` connects, and prints what to register."""
        status, out, errors = self.gateway.command("provider", "test", "keycloak")
        self.equal("provider test ends with 0", status, 0)
        issuer = self.keycloak.issuer
        for line in [
            self.gateway.address("keycloak", "callback"),
            self.gateway.address("keycloak", "signed-out"),
            self.gateway.address("keycloak", "backchannel-logout"),
            f"{issuer}/protocol/openid-connect/auth",
            f"{issuer}/protocol/openid-connect/token",
            f"{issuer}/protocol/openid-connect/userinfo",
            f"{issuer}/protocol/openid-connect/certs (1 usable)",
            f"{issuer}/protocol/openid-connect/logout",
        ]:
            self.check(
                f"provider test prints {line.removeprefix(self.gateway.base).removeprefix(issuer)}", line in out, out + errors
            )
        self.check("provider test warns of nothing", "warning" not in out, out)

    def first_sign_in(self):
        """A wrong password stays at Keycloak; the right one makes the user, with all that its claims say."""
        browser = self.browser()
        form = browser.choose("keycloak", "/reports?page=2")
        self.check("the button leads to Keycloak's page", browser.url.startswith(self.at_keycloak), browser.place)
        wrong = browser.submit(form, {"username": "ada", "password": "not this"}, "password")
        self.check(
            "a wrong password shows Keycloak's own page",
            browser.url.startswith(self.at_keycloak) and "Invalid username or password" in wrong.text,
            browser.place,
        )
        self.equal("a wrong password makes no user", self.gateway.user("ada"), None)
        page = browser.submit(wrong, {"username": "ada", "password": PASSWORD}, "password")
        self.equal("the right one comes back to the page", browser.url, f"{self.gateway.base}/reports?page=2")
        told = page.json()
        expected = {
            "x-forwarded-user": "ada",
            "x-forwarded-email": "ada@example.com",
            "x-forwarded-groups": "admin,auditor",
            "x-name": "Ada Example",
        }
        for name, value in expected.items():
            self.equal(f"the app gets {name}", told.get(name), value)
        user = self.gateway.user("ada") or {}
        self.equal("the user has both roles", user.get("roles"), ["admin", "auditor"])
        self.equal("the user has the address", user.get("email"), "ada@example.com")
        self.check("the address is verified", "email_verified_at" in user, user)
        self.equal("the user has the name", user.get("display_name"), "Ada Example")
        self.browsers["ada"] = browser
        # The session at Keycloak stays: no form is shown.
        browser.cookies.forget("localhost")
        again = browser.choose("keycloak", "/again")
        self.equal(
            "a person who is signed in there sees no form",
            (browser.url, again.status_code),
            (f"{self.gateway.base}/again", 200),
        )

    def others(self):
        """Those who wait for a recheck sign in, and open streams."""
        for name in ["bob", "bea", "cyn", "ivy"]:
            self.sign_in(name, "/admin")
        self.streams = {name: Stream(self.browsers[name], "/admin/stream") for name in ["bob", "bea", "cyn", "ada"]}
        for name, stream in self.streams.items():
            self.check(f"{name} has an open stream", stream.opened.wait(20), stream.status)

    def sign_out_here(self):
        self.sign_in("fay")
        browser = self.browsers["fay"]
        page = browser.sign_out()
        there = [url for url in browser.trail if "/openid-connect/logout?" in url]
        self.check(
            "a sign-out here goes to Keycloak's",
            there and "id_token_hint=" in there[0],
            [url.split("?")[0] for url in browser.trail],
        )
        self.equal("Keycloak sends the browser back", browser.place, self.gateway.address("keycloak", "signed-out"))
        self.check("our page says signed out", page.status_code == 200 and "You are signed out" in page.text, page.text[:300])
        self.equal("the session at Keycloak is over", self.keycloak.sessions("fay"), [])
        self.equal("the session here is over", browser.status(), 401)
        form = browser.choose("keycloak")
        self.check(
            "the next sign-in asks for the password", any("password" in form.fields for form in Forms.of(form)), browser.place
        )

    def sign_out_there(self):
        self.sign_in("hal")
        browser = self.browsers["hal"]
        watch = Watch(browser)
        self.check("hal is let in", watch.started.wait(20))
        page = browser.go(f"{self.keycloak.issuer}/protocol/openid-connect/logout?client_id=doorward")
        browser.submit(page, {})
        self.check("a sign-out at Keycloak ends the session here", watch.refused.wait(20))
        watch.stop()

    def removed_by_administrator(self):
        """Keycloak's administrator logs people out: the delay until no request is accepted here."""
        delays, calls = [], []
        for name in REMOVED:
            self.sign_in(name, "/admin")
            browser, user = self.browsers[name], self.keycloak.id_of(name)
            stream, watch = Stream(browser, "/admin/stream"), Watch(browser, "/admin")
            started = watch.started.wait(20) and stream.opened.wait(20)
            self.keycloak.admin("GET", "")
            began = time.monotonic()
            self.keycloak.admin("POST", f"/users/{user}/logout")
            calls.append(time.monotonic() - began)
            refused = watch.refused.wait(20)
            watch.stop()
            delays.append(max(0.0, watch.accepted - began))
            self.check(f"{name}, logged out by the administrator, is refused", started and refused)
            self.check(f"the stream of {name} is cut", stream.ended.wait(20))
        shown = " ".join(f"{delay * 1000:.0f}" for delay in sorted(delays))
        called = " ".join(f"{call * 1000:.0f}" for call in sorted(calls))
        self.told(f"from the administrator's call to the last accepted request: {shown} ms (the call itself: {called} ms)")
        logged = len(self.gateway.logged("logout_by_provider"))
        self.check("doorward logged each", logged >= len(REMOVED), logged)

    def one_session_removed(self):
        self.sign_in("eve")
        first = self.browsers["eve"]
        self.sign_in("eve")
        second = self.browsers["eve"]
        newest = max(self.keycloak.sessions("eve"), key=lambda session: session["start"])
        ids = {session["id"] for session in self.keycloak.sessions("eve")}
        self.equal("Keycloak has two sessions of eve", len(ids), 2)
        self.keycloak.admin("DELETE", f"/sessions/{newest['id']}")
        ended = lambda: [browser.status() for browser in (first, second)].count(401)
        self.eventually("the end of one session at Keycloak ends one here", lambda: ended() == 1)
        self.keycloak.admin("POST", f"/users/{self.keycloak.id_of('eve')}/logout")
        self.eventually("logging out eve ends the other", lambda: ended() == 2)

    def several_sessions(self):
        """A log-out of a person announces each session. Older versions announce one (keycloak#27359)."""
        browsers = []
        for _ in range(3):
            self.sign_in("gus")
            browsers.append(self.browsers["gus"])
        self.keycloak.admin("POST", f"/users/{self.keycloak.id_of('gus')}/logout")
        ended = lambda: [browser.status() for browser in browsers].count(401)
        self.eventually("logging out a person with three sessions ends all three", lambda: ended() == 3)

    def change(self):
        """What the recheck must find."""
        self.keycloak.leave_group("bob", "platform")
        self.keycloak.leave_group("bea", "platform")
        self.keycloak.disable("cyn")
        self.keycloak.admin("DELETE", f"/users/{self.keycloak.id_of('ivy')}")

    def recheck(self):
        self.change()
        ada = self.browsers["ada"]
        self.check(
            "the recheck is made",
            eventually(lambda: ada.status() == 200 and self.refreshes("ada"), DUE, 0.5)[1],
        )
        self.equal(
            "ada keeps session and role", (ada.status("/admin"), self.gateway.user("ada")["roles"]), (200, ["admin", "auditor"])
        )
        self.check("the stream of ada goes on", not self.streams["ada"].ended.is_set())
        for name, why in [("bea", "is left with another group"), ("bob", "is left without groups")]:
            browser = self.browsers[name]
            self.eventually(f"{name}, who {why}, loses the role", lambda: browser.status("/admin") == 403)
            self.equal(f"{name} keeps the session", browser.status(), 200)
            self.equal(f"{name} has no role in the vault", self.gateway.user(name)["roles"], [])
            self.check(f"the stream of {name} is cut", self.streams[name].ended.wait(20))
        for name, why in [("cyn", "disabled"), ("ivy", "deleted")]:
            browser = self.browsers[name]
            self.eventually(f"{name}, who was {why} there, is signed out here", lambda: browser.status() == 401)
            page = browser.choose("keycloak")
            page = browser.submit(page, {"username": name, "password": PASSWORD}, "password")
            self.check(f"{name} cannot sign in again", browser.url.startswith(self.at_keycloak), browser.place)
        self.check("the stream of cyn is cut", self.streams["cyn"].ended.wait(20))
        refused = [line for line in self.gateway.logged("session_ended_by_provider") if "provider_invalid_grant" in line]
        self.equal("both were refused by Keycloak at the recheck", len(refused), 2)

    def another_key(self):
        before = self.keycloak.admin("GET", "/keys")["active"]["RS256"]
        after = self.keycloak.rotate_key()
        self.check("Keycloak signs with another key", before != after)
        # Its ID token has the new key.
        self.sign_in("gus", "/admin")
        self.browsers["ada"].status()

    def second_recheck(self):
        ada = self.browsers["ada"]
        first = self.refreshes("ada")[-1]["details"]
        self.check(
            "a second recheck is made",
            eventually(lambda: ada.status() == 200 and len(self.refreshes("ada")) > 1, DUE, 0.5)[1],
        )
        rows = self.refreshes("ada")
        self.equal("two refresh tokens were used, each once", len(rows), 2)
        self.equal(
            "the second is the one that Keycloak gave for the first",
            rows[0]["details"]["refresh_token_id"],
            first["updated_refresh_token_id"],
        )
        self.equal("no refresh token of ada was refused", self.keycloak.events("REFRESH_TOKEN_ERROR", "ada"), [])
        self.equal("ada keeps session and role", ada.status("/admin"), 200)

    def everybody_logged_out(self):
        """The realm's "Sign out all active sessions". Keycloak 26.7 announces it to nobody, so the next recheck ends them."""
        before = len(self.gateway.logged("logout_by_provider"))
        self.keycloak.admin("POST", "/logout-all")
        self.equal("a log-out of the realm ends the session there", self.keycloak.sessions("ada"), [])
        self.told(
            f"{len(self.gateway.logged('logout_by_provider')) - before} announcements, and ada gets {self.browsers['ada'].status()}"
        )
