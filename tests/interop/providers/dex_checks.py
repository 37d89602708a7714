"""Checks of sign-in with Dex: consent, rotated refresh tokens, no sign-out of its own, people removed from its file."""

import contextlib
import sqlite3
import time
import uuid

from .browser import Browser, Forms
from .checks import Checks, eventually
from .dex import PASSWORD
from .gateway import RECHECK

PEOPLE = ["kim", "lou", "max", "ned"]
# A recheck is due within this time after the sign-in; the rest is for a busy machine.
DUE = RECHECK + 60


class DexChecks(Checks):
    def __init__(self, gateway, dex):
        super().__init__("dex")
        self.gateway, self.dex = gateway, dex
        self.browsers = {}

    def form(self, browser, path="/"):
        page = browser.choose("dex", path)
        self.check("the button leads to Dex's form", browser.url.startswith(self.dex.issuer + "/"), browser.place)
        return page

    def consent(self, browser, form, name):
        """Signs in at Dex; it asks for consent each time."""
        return browser.submit(form, {"login": f"{name}@example.com", "password": PASSWORD}, "password")

    def sign_in(self, name, path="/"):
        browser = Browser(self.gateway)
        page = browser.submit(self.consent(browser, self.form(browser, path), name), {}, "approval")
        self.browsers[name] = browser
        self.equal(f"{name} signs in", (page.status_code, browser.url), (200, self.gateway.base + path))
        return page

    def refresh_token(self, name):
        """The refresh token of a person, from the database of Dex."""
        database = f"file:{self.dex.folder / 'dex.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(database, uri=True, timeout=20)) as connection:
            rows = connection.execute("select token from refresh_token where claims_username = ?", (name,))
            return [token for (token,) in rows]

    def command(self):
        """`doorward provider test` connects, and says what Dex lacks."""
        status, out, errors = self.gateway.command("provider", "test", "dex")
        self.equal("provider test ends with 0", status, 0)
        issuer = self.dex.issuer
        for line in [self.gateway.address("dex", "callback"), f"{issuer}/auth", f"{issuer}/token", f"{issuer}/userinfo"]:
            self.check(
                f"provider test prints {line.removeprefix(self.gateway.base).removeprefix(issuer)}", f" {line}\n" in out, out
            )
        self.check("provider test prints the usable key", f"{issuer}/keys (1 usable)" in out, out)
        for line in ["the provider has no address for a sign-out", "does not announce back-channel logout"]:
            self.check(f"provider test warns: {line}", line in out, out + errors)
        self.equal("provider test warns of nothing else", out.count("warning"), 2)

    def first_sign_in(self):
        browser = Browser(self.gateway)
        form = self.form(browser, "/reports?page=2")
        wrong = browser.submit(form, {"login": "kim@example.com", "password": "not this"}, "password")
        self.check(
            "a wrong password shows Dex's own page",
            browser.url.startswith(self.dex.issuer) and "Invalid Email Address and password" in " ".join(wrong.text.split()),
            browser.place,
        )
        self.equal("a wrong password makes no user", self.gateway.user("kim"), None)
        approval = self.consent(browser, wrong, "kim")
        self.check("Dex asks for consent", any("approval" in form.fields for form in Forms.of(approval)), browser.place)
        page = browser.submit(approval, {}, "approval")
        self.equal("the right one comes back to the page", browser.url, f"{self.gateway.base}/reports?page=2")
        told = page.json()
        for name, value in {"x-forwarded-user": "kim", "x-forwarded-email": "kim@example.com", "x-name": "kim"}.items():
            self.equal(f"the app gets {name}", told.get(name), value)
        self.check("the app gets no roles", "x-forwarded-groups" not in told, told)
        self.browsers["kim"] = browser
        self.sign_in("lou")
        self.tokens = {name: self.refresh_token(name) for name in ("kim", "lou")}
        self.equal("Dex gave each one refresh token", [len(tokens) for tokens in self.tokens.values()], [1, 1])

    def sign_out(self):
        """Dex has no sign-out: the page says that the person may still be signed in there."""
        self.sign_in("max")
        browser = self.browsers["max"]
        page = browser.sign_out()
        self.equal("a sign-out stays here", {url.startswith(self.gateway.base) for url in browser.trail}, {True})
        self.check("the page says who may still know the person", page.status_code == 200 and "Dex" in page.text, page.text)
        self.equal("the session here is over", browser.status(), 401)

    def recheck(self):
        """Rotation, and a person whom Dex does not know any more."""
        kim = self.browsers["kim"]
        changed = lambda: kim.status() == 200 and self.refresh_token("kim") != self.tokens["kim"]
        self.check("the recheck of kim is made, and its refresh token rotated", eventually(changed, DUE, 0.5)[1])
        self.equal("kim has one refresh token", len(self.refresh_token("kim")), 1)
        self.equal("kim keeps the session", kim.status(), 200)
        # Dex reads its file at the start. Another person gets lou's address: without any, Dex 2.41 on SQLite waits for itself.
        self.dex.stop()
        self.dex.people["lou"]["userID"] = str(uuid.uuid4())
        self.dex.start()
        lou = self.browsers["lou"]
        undecided = lambda: lou.status() == 200 and self.gateway.logged("provider_recheck_failed")
        # It answers 500, as in an outage: so the grace of an outage applies.
        self.check("a person whom Dex does not know any more is not confirmed", eventually(undecided, DUE, 0.5)[1])
        self.equal("lou keeps the session for the grace", lou.status(), 200)
        page = lou.go(self.gateway.base + "/auth/account")
        self.equal("lou has an account page", page.status_code, 200)
        status, _, errors = self.gateway.command("user", "disable", "lou")
        self.equal("an operator disables lou", (status, errors), (0, ""))
        self.eventually("then lou is signed out", lambda: lou.status() == 401)

    def away(self):
        """Dex ends between its form and the callback."""
        browser = Browser(self.gateway)
        approval = self.consent(browser, self.form(browser), "ned")
        browser.submit(approval, {}, "approval", stop_at="/callback?")
        callback = browser.url
        self.check("Dex sends the browser back", callback.startswith(self.gateway.address("dex", "callback")), browser.place)
        self.dex.stop()
        began = time.monotonic()
        page = browser.go(callback)
        self.check(
            "with Dex away, a page says so",
            (page.status_code, "The provider does not answer" in page.text) == (502, True),
            page.text[:300],
        )
        self.check("at once", time.monotonic() - began < 20)
        self.equal("kim keeps the session", self.browsers["kim"].status(), 200)
        self.equal("nobody was created", self.gateway.user("ned"), None)
