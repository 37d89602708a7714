"""httpx, over HTTP/2 and over HTTP/1.1."""

import ssl
import threading

import common
import httpx

base, ca, kind, count, users = common.arguments()
trust = ssl.create_default_context(cafile=ca) if ca != "-" else True


def parts(body):
    half = len(body) // 2
    yield body[:half]
    yield body[half:]


def work(pairs, http2):
    with httpx.Client(http2=http2, verify=trust, timeout=60) as client:
        for steps in pairs:
            for step in steps:
                headers = {"X-Nonce": step.nonce}
                if step.token != "-":
                    headers["Authorization"] = f"Bearer {step.token}"
                content = parts(step.body) if step.shape.endswith("stream") else (step.body or None)
                try:
                    got = client.request(step.method, base + step.path, headers=headers, content=content)
                    common.report(step, got.status_code, got.headers.get("x-echo"), got.content)
                except httpx.HTTPError as error:
                    common.report(step, type(error).__name__, None, str(error).encode())


pairs = list(common.plan("httpx", kind, count, users))
threads = [threading.Thread(target=work, args=(pairs[n::4], n % 2 == 0)) for n in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
