"""WsgiDAV with users of a proxy's header, on its own server (cheroot): `remote_user_dav.py PORT FOLDER`."""

import logging
import sys

from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp

logging.disable(logging.WARNING)
app = WsgiDAVApp(
    {
        "provider_mapping": {"/": sys.argv[2]},
        "simple_dc": {"user_mapping": {"*": {"nobody": {"password": "not used"}}}},
        "http_authenticator": {
            "accept_basic": True,
            "accept_digest": False,
            "default_to_digest": False,
            "trusted_auth_header": "HTTP_X_WEBAUTH_USER",
        },
        "verbose": 0,
    }
)
wsgi.Server(("127.0.0.1", int(sys.argv[1])), app, numthreads=4).start()
