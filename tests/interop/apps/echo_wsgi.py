"""Echo app for gunicorn: `<user> <nonce> <body length>` as body and as X-Echo."""


def app(environ, start_response):
    length = 0
    while chunk := environ["wsgi.input"].read(65536):
        length += len(chunk)
    user, nonce = environ.get("HTTP_X_AUTH_USER", "-"), environ.get("HTTP_X_NONCE", "-")
    echo = f"{user} {nonce} {length}"
    body = b"" if environ["REQUEST_METHOD"] == "HEAD" else echo.encode() + b"\n"
    fields = [("Content-Type", "text/plain"), ("X-Echo", echo)]
    if body:
        fields.append(("Content-Length", str(len(body))))
    start_response("200 OK", fields)
    return [body]
