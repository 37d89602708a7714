#!/usr/bin/env python3
"""Sign-in with real identity providers, unmodified: Keycloak and Dex, each started here, in front of one gateway.

Each person is a browser that follows redirects and fills in the provider's own forms. A provider whose toolchain is missing
is left out by name. `make interop` runs it.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from providers import dex, keycloak
from providers.dex_checks import DexChecks
from providers.dex_checks import PEOPLE as DEX_PEOPLE
from providers.gateway import Gateway
from providers.keycloak_checks import PEOPLE as KEYCLOAK_PEOPLE
from providers.keycloak_checks import KeycloakChecks

ROOT = Path(__file__).resolve().parent.parent.parent


def steps(keycloak_checks, dex_checks):
    """The steps of a run in order: what needs a recheck to be due stands after what does not."""
    if keycloak_checks:
        yield keycloak_checks, ["command", "first_sign_in", "others"]
    if dex_checks:
        yield dex_checks, ["command", "first_sign_in"]
    if keycloak_checks:
        yield keycloak_checks, [
            "sign_out_here",
            "sign_out_there",
            "removed_by_administrator",
            "one_session_removed",
            "several_sessions",
        ]
    if dex_checks:
        yield dex_checks, ["sign_out"]
    if keycloak_checks:
        yield keycloak_checks, ["recheck", "another_key"]
    if dex_checks:
        yield dex_checks, ["recheck", "away"]
    if keycloak_checks:
        yield keycloak_checks, ["second_recheck", "everybody_logged_out"]


def run(checks, names):
    for name in names:
        began = time.monotonic()
        try:
            getattr(checks, name)()
        except Exception:  # A check that cannot be made is wrong, and the others are still made.
            checks.check(name, False, traceback.format_exc())
        checks.told(f"{name}: {time.monotonic() - began:.1f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug/doorward")
    parser.add_argument("--only", choices=["keycloak", "dex"])
    parser.add_argument("--keep", type=Path, help="folder for configurations and logs, which are kept")
    chosen = parser.parse_args()
    reasons = {"keycloak": keycloak.left_out(), "dex": dex.left_out()}
    for name, reason in reasons.items():
        if reason:
            print(f"interop: the provider {name} is left out: {reason}")
    present = [name for name, reason in reasons.items() if not reason and chosen.only in (None, name)]
    if not present:
        print("interop: no provider took part")
        return
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        place = chosen.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="doorward-interop-"))
        folder = Path(place)
        folder.mkdir(exist_ok=True)
        gateway = Gateway(chosen.binary, folder)
        keycloak_checks = dex_checks = None
        if "keycloak" in present:
            server = keycloak.Keycloak(gateway, folder, KEYCLOAK_PEOPLE)
            gateway.add(server.table())
            stack.enter_context(server.starting())
            keycloak_checks = KeycloakChecks(gateway, server)
        if "dex" in present:
            other = dex.Dex(gateway, folder, DEX_PEOPLE)
            gateway.add(other.table())
            stack.enter_context(other.running())
            dex_checks = DexChecks(gateway, other)
        gateway.configure()
        stack.enter_context(gateway.running())
        if keycloak_checks:
            keycloak_checks.keycloak.await_ready()
        print(f"interop: {' and '.join(present)} after {time.monotonic() - began:.0f} s", flush=True)
        for checks, names in steps(keycloak_checks, dex_checks):
            run(checks, names)
    done = [checks for checks in (keycloak_checks, dex_checks) if checks]
    total, wrong = sum(checks.total for checks in done), sum(checks.wrong for checks in done)
    print(f"interop: sign-in with {' and '.join(present)}: {total} checks, {wrong} wrong, {time.monotonic() - began:.0f} s")
    sys.exit(1 if wrong or not total else 0)


if __name__ == "__main__":
    main()
