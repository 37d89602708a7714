"""App for uvicorn: responds with the request's headers as JSON; below /stream and /admin/stream, with events that do not end."""

import asyncio
import json


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    is_stream = scope["path"].endswith("/stream")
    kind = b"text/event-stream" if is_stream else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if not is_stream:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        await send({"type": "http.response.body", "body": json.dumps(headers).encode()})
        return
    gone = asyncio.create_task(disconnected(receive))
    while not gone.done():
        await send({"type": "http.response.body", "body": b"data: here\n\n", "more_body": True})
        await asyncio.wait([gone], timeout=0.1)


async def disconnected(receive):
    while (await receive())["type"] != "http.disconnect":
        pass
