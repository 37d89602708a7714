"""Echo app for uvicorn: `<user> <nonce> <body length>` as body and as X-Echo."""


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    headers = dict(scope["headers"])
    user, nonce = headers.get(b"x-auth-user", b"-"), headers.get(b"x-nonce", b"-")
    echo = b"%s %s %d" % (user, nonce, length)
    fields = [(b"content-type", b"text/plain"), (b"x-echo", echo)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else echo + b"\n"})
