"""aiosmtpd of PyPI as a mail server: `server.py PORT FOLDER [KEY=VALUE ...]`.

Each message becomes one line of JSON in FOLDER/messages, on the disk before the server answers. Options: `cert` and `key` (PEM) with
`tls=starttls` (required) or `tls=wrapped`; `login=NAME:PASSWORD` (required then). Recipients `refused@` and `later@` are refused for good
and for now. It ends when its standard input closes.
"""

import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Handler:
    def __init__(self, folder):
        self.file = open(os.path.join(folder, "messages"), "a", encoding="utf-8")

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused@"):
            return f"550 5.1.1 <{address}> is unknown here"
        if address.startswith("later@"):
            return "451 4.3.0 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        line = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "helo": session.host_name,
            "is_secure": session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
            "login": session.auth_data.decode() if session.auth_data else None,
            "content": envelope.content.decode("utf-8"),
        }
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        return "250 OK, it is stored"


def main():
    port, folder = int(sys.argv[1]), sys.argv[2]
    options = dict(argument.split("=", 1) for argument in sys.argv[3:])
    tls = options.get("tls")
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options["cert"], options["key"])
    login = options.get("login")

    def authenticator(server, session, envelope, mechanism, data):
        given = data.login + b":" + data.password if isinstance(data, LoginPassword) else b""
        is_right = given == login.encode()
        return AuthResult(success=is_right, handled=False, auth_data=data.login if is_right else None)

    handler = Handler(folder)
    settings = {"enable_SMTPUTF8": True, "ident": "test"}
    if tls == "starttls":
        settings |= {"tls_context": context, "require_starttls": True}
    if login:
        settings |= {"authenticator": authenticator, "auth_required": True, "auth_require_tls": tls == "starttls"}

    async def serve():
        loop = asyncio.get_running_loop()
        wrapped = context if tls == "wrapped" else None
        await loop.create_server(lambda: SMTP(handler, **settings), "127.0.0.1", port, ssl=wrapped)
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        os._exit(0)

    asyncio.run(serve())


main()
