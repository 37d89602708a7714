#!/usr/bin/env python3
"""Unmodified clients through doorward to unmodified apps: two users on one pool of connections.

Every request has a unique number, and every app echoes the user and the number. So the run detects a response that
reaches the wrong client, a request that arrives modified, and a status that the app does not return when it is queried
directly. `make interop` runs it; `run.py --requests N` sends about N requests in all.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

from processes import certificate, found, free_port, running

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = sys.executable
USERS = ["ada", "bob"]
PASSWORD = "violet kettle harbour lantern"
# Bound that only ends a hang.
CLIENT = 900


def node_app(folder, port):
    return [found("node"), HERE / "apps/echo.js", str(port)], {}


def uvicorn_app(folder, port):
    command = [PYTHON, "-m", "uvicorn", "--log-level", "warning", "--port", str(port), "echo_asgi:app"]
    return command, {"cwd": HERE / "apps"}


def gunicorn_app(folder, port):
    # Threads: the worker that keeps connections. Its own default keep-alive is two seconds.
    command = [PYTHON, "-m", "gunicorn", "--log-level", "warning", "--worker-class", "gthread", "--threads", "8"]
    return command + ["--bind", f"127.0.0.1:{port}", "echo_wsgi:app"], {"cwd": HERE / "apps"}


def nginx_app(folder, port):
    config = folder / "nginx.conf"
    config.write_text(
        f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {folder}/body;
    server {{
        listen 127.0.0.1:{port};
        set $echo "$http_x_auth_user $http_x_nonce -";
        location / {{ add_header X-Echo $echo; default_type text/plain; return 200 "$echo\\n"; }}
    }}
}}
"""
    )
    return [found("nginx"), "-c", config, "-e", folder / "nginx.log"], {}


def apache_app(folder, port):
    scripts = folder / "scripts"
    scripts.mkdir()
    shutil.copy(HERE / "apps/echo.cgi", scripts)
    # The programs run as another user and need access.
    for path in (folder, scripts):
        path.chmod(0o755)
    modules = "/usr/lib/apache2/modules"
    config = folder / "apache.conf"
    config.write_text(
        f"""
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.log
DefaultRuntimeDir {folder}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule cgid_module {modules}/mod_cgid.so
LoadModule alias_module {modules}/mod_alias.so
ScriptSock {folder}/cgid.sock
{"User www-data" if os.geteuid() == 0 else ""}
{"Group www-data" if os.geteuid() == 0 else ""}
ScriptAliasMatch "^/.*" "{scripts}/echo.cgi"
<Directory "{scripts}">
    Require all granted
    Options +ExecCGI
</Directory>
"""
    )
    return [found("apache2"), "-X", "-f", config], {}


def dav_app(folder, port):
    files = folder / "files"
    files.mkdir()
    (files / "public").mkdir()
    return [PYTHON, HERE / "apps/serve_dav.py", str(port), files], {}


# Name -> required program, start function and kind of requests.
APPS = {
    "node": ("node", node_app, "echo"),
    "uvicorn": (None, uvicorn_app, "echo"),
    "gunicorn": (None, gunicorn_app, "echo"),
    "nginx": ("nginx", nginx_app, "echo"),
    "apache": ("apache2", apache_app, "echo"),
    "wsgidav": (None, dav_app, "dav"),
}
CLIENTS = {
    "curl": ("curl", [PYTHON, HERE / "clients/curl.py"]),
    "node": ("node", ["node", HERE / "clients/client.js"]),
    "h2": (None, [PYTHON, HERE / "clients/h2_client.py"]),
    "httpx": (None, [PYTHON, HERE / "clients/httpx_client.py"]),
    "java": ("java", ["java", HERE / "clients/Client.java"]),
    "chromium": ("chromium", [PYTHON, HERE / "clients/chromium.py"]),
}


@contextlib.contextmanager
def gateway(binary, folder, app_port):
    port = free_port()
    base = f"https://localhost:{port}"
    ca = certificate(folder)
    (folder / "gateway.toml").write_text(
        f"""
[server]
listen = ["127.0.0.1:{port}"]
public_urls = ["{base}"]
[server.tls]
certificates = [{{ cert_file = "localhost.crt", key_file = "localhost.key" }}]
[admin]
listen = []
[tokens]
issuer = "{base}"
access_ttl = "1h"
[log]
access = "none"
[upstreams.app]
servers = ["http://127.0.0.1:{app_port}"]
[[routes]]
name = "app"
path = "/"
access = "signed-in"
upstream = "app"
[[routes]]
name = "public"
path = "/public"
access = "public"
upstream = "app"
"""
    )
    for user in USERS:
        subprocess.run(
            [binary, "--config", folder / "gateway.toml", "user", "add", user, "--password-stdin"],
            input=PASSWORD.encode(),
            check=True,
            capture_output=True,
        )
    command = [binary, "--config", folder / "gateway.toml", "serve"]
    with running("doorward", command, port, folder / "doorward.log"):
        yield base, ca


def token(base, ca, user):
    import ssl

    request = urllib.request.Request(
        base + "/auth/login",
        json.dumps({"username": user, "password": PASSWORD}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=ca), timeout=60) as answer:
        return json.load(answer)["access_token"]


def run_client(command, base, ca, kind, count, users):
    arguments = [base, str(ca), kind, str(count)]
    for user, secret in users:
        arguments += [user, secret]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=CLIENT, cwd=HERE / "clients")
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 6]
    return rows, done.stderr.strip()


def judge(row, app, kind, direct):
    """The error of one response, or None."""
    shape, user, nonce, sent, status, echo, body = row
    client, _, number = nonce.rpartition("-")
    if not status.isdigit():
        return f"no response: {status}"
    if kind == "dav":
        if shape == "get" and status == "200":
            expected = f"{user} {client}-{int(number) // 2}"
            return None if body == expected else f"another body: {body!r}, expected {expected!r}"
    else:
        expected = f"{user} {nonce} {'-' if app == 'nginx' else sent}"
        if status == "200" and echo != expected:
            return f"another response: {echo!r}, expected {expected!r}"
        if status == "200" and shape != "head" and body != expected:
            return f"another body: {body!r}, expected {expected!r}"
    if status not in direct.get(shape, set()):
        return f"status {status}; asked directly: {sorted(direct.get(shape, []))}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug/doorward")
    parser.add_argument("--requests", type=int, default=10_080)
    parser.add_argument("--app", choices=APPS, action="append")
    parser.add_argument("--client", choices=CLIENTS, action="append")
    chosen = parser.parse_args()
    apps = {name: APPS[name] for name in chosen.app or APPS}
    clients = {name: CLIENTS[name] for name in chosen.client or CLIENTS}
    for kind, table in (("app", apps), ("client", clients)):
        for name, (needs, *_) in list(table.items()):
            if needs and not found(needs):
                print(f"interop: the {kind} {name} is skipped: `{needs}` is not installed")
                del table[name]
    # A multiple of twelve: every shape, by both users.
    each = max(12, -(-chosen.requests // (len(apps) * len(clients)) // 12) * 12)
    total, wrong = 0, Counter()
    print(f"interop: {len(apps)} apps, {len(clients)} clients, {each} requests each, users {' and '.join(USERS)}")
    for app, (_, start, kind) in apps.items():
        with tempfile.TemporaryDirectory(prefix="doorward-interop-") as place, contextlib.ExitStack() as stack:
            folder = Path(place)
            port = free_port()
            command, options = start(folder, port)
            stack.enter_context(running(app, command, port, folder / "app.log", **options))
            # Responses of the app without a gateway, where both users are anonymous.
            rows, errors = run_client(
                CLIENTS["httpx"][1], f"http://127.0.0.1:{port}", "-", kind, 24, [("-", "-"), ("-", "-")]
            )
            direct = {}
            for shape, _, _, _, status, *_ in rows:
                direct.setdefault(shape, set()).add(status)
            if errors or not all(status.startswith("2") for found in direct.values() for status in found):
                sys.exit(f"interop: {app} does not respond as planned when queried directly: {direct} {errors}")
            base, ca = stack.enter_context(gateway(chosen.binary, folder, port))
            people = [(user, token(base, ca, user)) for user in USERS]
            for client, (_, command) in clients.items():
                began = time.monotonic()
                rows, errors = run_client(command, base, ca, kind, each, people)
                # The first write of a file creates it, the second replaces it.
                for shape in [shape for shape in direct if shape.startswith("put") and kind == "dav"]:
                    direct[shape] |= {"201", "204"}
                problems = [(row, why) for row in rows if (why := judge(row, app, kind, direct))]
                if len(rows) != each:
                    problems.append((None, f"{len(rows)} responses to {each} requests: {errors[-400:]}"))
                total += len(rows)
                wrong[(app, client)] = len(problems)
                said = "ok" if not problems else f"{len(problems)} WRONG"
                print(f"  {client:>9} -> {app:<9} {len(rows):5} responses in {time.monotonic() - began:5.1f} s  {said}", flush=True)
                for row, why in problems[:5]:
                    print(f"      {' '.join(row[:3]) if row else ''}: {why}")
    failed = sum(wrong.values())
    print(f"interop: {total} requests, {failed} wrong")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
