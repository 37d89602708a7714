"""A Django site that signs people in by a proxy's header, as Django documents it: `remote_user_django.py PORT FOLDER`.

On a server (cheroot) that merges `_` and `-` in names of headers.
"""

import sys

import django
from cheroot import wsgi
from django.conf import settings

port, folder = sys.argv[1:]
settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="__main__",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/site.db"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "__main__.ProxyUser",
    ],
    AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.RemoteUserBackend"],
)
django.setup()

from django.contrib.auth.middleware import RemoteUserMiddleware  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402


class ProxyUser(RemoteUserMiddleware):
    header = "HTTP_REMOTE_USER"


def me(request):
    return JsonResponse({"user": request.user.username, "groups": request.META.get("HTTP_REMOTE_GROUPS")})


urlpatterns = [path("me", me)]
call_command("migrate", verbosity=0)
wsgi.Server(("127.0.0.1", int(port)), get_wsgi_application(), numthreads=4).start()
