"""Chromium: `fetch` in a page of the gateway's origin; bodies of unknown length are streams, which it sends over HTTP/2."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile

import websockets

import common

base, ca, kind, count, users = common.arguments()

# One worker's steps, in order; the result has [status, echo, body] for each.
SCRIPT = """
(async (steps) => {
  const results = [];
  for (const step of steps) {
    const init = { method: step.method, cache: "no-store", headers: { "X-Nonce": step.nonce } };
    init.headers.Authorization = "Bearer " + step.token;
    if (step.shape.endsWith("stream")) {
      const bytes = new TextEncoder().encode(step.body);
      init.duplex = "half";
      init.body = new ReadableStream({ start(c) { c.enqueue(bytes); c.close(); } });
    } else if (step.body) init.body = step.body;
    try {
      const got = await fetch(step.path, init);
      results.push([got.status, got.headers.get("x-echo"), await got.text()]);
    } catch (error) { results.push([String(error), null, ""]); }
  }
  return results;
})(%s)
"""


class Browser:
    def __init__(self, folder):
        self.process = subprocess.Popen(
            [
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--ignore-certificate-errors", "--remote-debugging-port=0",
                f"--user-data-dir={folder}", "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        marker = "DevTools listening on "
        line = next((line for line in self.process.stderr if line.startswith(marker)), None)
        if line is None:
            sys.exit("chromium did not start")
        self.url = line.removeprefix(marker).strip()


async def work(url, steps):
    async with websockets.connect(url, max_size=None) as socket:
        number = 0

        async def call(method, session=None, **params):
            nonlocal number
            number += 1
            message = {"id": number, "method": method, "params": params}
            if session:
                message["sessionId"] = session
            await socket.send(json.dumps(message))
            while True:
                answer = json.loads(await socket.recv())
                if answer.get("id") == number:
                    return answer["result"]

        target = (await call("Target.createTarget", url=base + "/public/"))["targetId"]
        session = (await call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        while True:
            got = await call("Runtime.evaluate", session, expression="location.origin + document.readyState")
            if got["result"]["value"] == base + "complete":
                break
            await asyncio.sleep(0.05)
        told = [
            {"method": s.method, "path": s.path, "nonce": s.nonce, "token": s.token, "shape": s.shape, "body": s.body.decode()}
            for s in steps
        ]
        got = await call(
            "Runtime.evaluate", session, expression=SCRIPT % json.dumps(told), awaitPromise=True, returnByValue=True
        )
        for step, (status, echo, body) in zip(steps, got["result"]["value"]):
            common.report(step, status, echo, body.encode())


async def main(url):
    pairs = list(common.plan("chromium", kind, count, users))
    workers = [[step for steps in pairs[n::4] for step in steps] for n in range(4)]
    await asyncio.gather(*(work(url, steps) for steps in workers if steps))


folder = tempfile.mkdtemp(prefix="doorward-interop-chromium-")
browser = Browser(folder)
try:
    asyncio.run(main(browser.url))
finally:
    browser.process.terminate()
    browser.process.wait()
    shutil.rmtree(folder, ignore_errors=True)
