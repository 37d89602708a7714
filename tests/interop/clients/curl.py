"""curl, one process per request, alternating between HTTP/2 and HTTP/1.1."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import common

base, ca, kind, count, users = common.arguments()


def send(step, version):
    args = ["curl", "--silent", "--max-time", "60", "--cacert", ca, version, "--header", f"X-Nonce: {step.nonce}"]
    if step.token != "-":
        args += ["--header", f"Authorization: Bearer {step.token}"]
    args += ["--output", "-", "--write-out", "\n%{http_code} %header{x-echo}"]
    if step.shape == "head":
        args.remove("--output"), args.remove("-")
        args += ["--head", "--output", "/dev/null"]
    elif step.shape == "post-empty":
        args += ["--request", "POST"]
    elif step.shape.endswith("stream"):
        # From a pipe, so of unknown length.
        args += ["--upload-file", "-", "--request", step.method]
    elif step.method != "GET":
        args += ["--data-binary", "@-", "--request", step.method, "--header", "Content-Type: text/plain"]
    args.append(base + step.path)
    done = subprocess.run(args, input=step.body, stdout=subprocess.PIPE, check=False)
    body, _, last = done.stdout.rpartition(b"\n")
    status, _, echo = last.decode().partition(" ")
    common.report(step, status if done.returncode == 0 else f"curl-{done.returncode}", echo, body)


def pair(steps):
    for step in steps:
        send(step, "--http2" if int(step.nonce.rpartition("-")[2]) % 4 < 2 else "--http1.1")


with ThreadPoolExecutor(4) as pool:
    list(pool.map(pair, common.plan("curl", kind, count, users)))
