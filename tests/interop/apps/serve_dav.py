"""WsgiDAV on its own server (cheroot), over a folder, without authentication: `serve_dav.py PORT FOLDER`."""

import logging
import sys

from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp

logging.disable(logging.WARNING)
app = WsgiDAVApp(
    {
        "provider_mapping": {"/": sys.argv[2]},
        "simple_dc": {"user_mapping": {"*": True}},
        "http_authenticator": {"accept_basic": False, "accept_digest": False, "default_to_digest": False},
        "verbose": 0,
    }
)
wsgi.Server(("127.0.0.1", int(sys.argv[1])), app, numthreads=8).start()
