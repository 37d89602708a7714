"""A second provider for the tests: django-oauth-toolkit, unmodified, in a small Django project that cheroot serves.

usage: python server.py PORT FOLDER CALLBACK SIGNED_OUT
It prints `ready` when it answers, and ends with its standard input. Its clock is that of the system, which time-machine moves.
Below /control/:
  PUT people/NAME      a person with the claims of the body; DELETE removes one. The password is the name
  PUT keys             another key signs from now on; the one before stays in the key set
  PUT clock            moves the clock by `seconds`
  GET counts           responses of the token endpoint and of the key set, by kind
"""

import datetime
import json
import os
import sys
import threading
import traceback

import django
import time_machine
from cheroot.wsgi import Server
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.test.utils import override_settings
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

PORT, FOLDER, CALLBACK, SIGNED_OUT = sys.argv[1:]
CLOCK = time_machine.travel(datetime.datetime.now(datetime.timezone.utc), tick=True).start()
# django-oauth-toolkit stores it hashed.
SECRET = "a secret of the tests, long enough"
LOGIN = "<!doctype html><title>Log in</title><form method=post>{% csrf_token %}{{ form }}<button>Log in</button></form>"


def key():
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


KEYS = [key()]
COUNTS = {}


def toolkit():
    """Settings of django-oauth-toolkit, as its documentation gives them for OpenID Connect."""
    return {
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": KEYS[0],
        "OIDC_RSA_PRIVATE_KEYS_INACTIVE": KEYS[1:],
        "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
        "OAUTH2_VALIDATOR_CLASS": f"{__name__}.Validator",
        "SCOPES": {scope: f"Your {scope}" for scope in ("openid", "profile", "email", "groups")},
        # Consent once, not at each sign-in.
        "REQUEST_APPROVAL_PROMPT": "auto",
    }


APPS = ("auth", "contenttypes", "sessions")
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/provider.sqlite"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[*(f"django.contrib.{app}" for app in APPS), "django.contrib.staticfiles", "oauth2_provider"],
    LOGIN_URL="/log-in/",
    MIDDLEWARE=[
        f"{__name__}.counting",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    # Tables are made from the models, in a tenth of the time.
    MIGRATION_MODULES=dict.fromkeys((*APPS, "oauth2_provider")),
    OAUTH2_PROVIDER=toolkit(),
    # Fast, as Django's documentation advises for tests.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of the tests",
    STATIC_URL="/static/",
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [
            ("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN}),
            "django.template.loaders.app_directories.Loader",
        ]},
    }],
    USE_TZ=True,
)
django.setup()

# These need the settings.
from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402


class Validator(OAuth2Validator):
    """Claims, as the documentation has them: by default there is only `sub`."""

    oidc_claim_scope = {**OAuth2Validator.oidc_claim_scope, "groups": "groups"}

    def get_additional_claims(self):
        return {
            "preferred_username": lambda request: request.user.username,
            "name": lambda request: request.user.get_full_name(),
            "email": lambda request: request.user.email,
            "email_verified": lambda request: True,
            "groups": lambda request: [group.name for group in request.user.groups.all()],
        }


def counting(respond):
    def counted(request):
        response = respond(request)
        if request.path == "/o/token/":
            refused = response.status_code != 200
            count(f"refused:{json.loads(response.content)['error']}" if refused else f"token:{request.POST['grant_type']}")
        elif request.path.startswith("/o/.well-known/jwks"):
            count("keys")
        return response

    return counted


def count(kind):
    COUNTS[kind] = COUNTS.get(kind, 0) + 1


@csrf_exempt
def people(request, name):
    if request.method == "DELETE":
        User.objects.get(username=name).delete()
        return JsonResponse({})
    claims = json.loads(request.body)
    first, _, last = claims["name"].partition(" ")
    described = {"first_name": first, "last_name": last, "email": claims["email"]}
    user, is_new = User.objects.update_or_create(username=name, defaults=described)
    if is_new:
        user.set_password(name)
        user.save()
    user.groups.set([Group.objects.get_or_create(name=group)[0] for group in claims["groups"]])
    return JsonResponse({})


@csrf_exempt
def keys(request):
    KEYS.insert(0, key())
    # The toolkit reads its settings again, as after a restart.
    override_settings(OAUTH2_PROVIDER=toolkit()).enable()
    return JsonResponse({})


@csrf_exempt
def clock(request):
    CLOCK.shift(json.loads(request.body)["seconds"])
    return JsonResponse({})


urlpatterns = [
    path("control/people/<name>", people),
    path("control/keys", keys),
    path("control/clock", clock),
    path("control/counts", lambda request: JsonResponse(COUNTS)),
    path("log-in/", LoginView.as_view()),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
]

# The server's threads would keep a process alive whose start failed.
try:
    call_command("migrate", run_syncdb=True, verbosity=0)
    Application.objects.create(
        name="doorward",
        client_id="doorward",
        client_secret=SECRET,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        algorithm=Application.RS256_ALGORITHM,
        redirect_uris=CALLBACK,
        post_logout_redirect_uris=SIGNED_OUT,
    )
    server = Server(("127.0.0.1", int(PORT)), get_wsgi_application())
    server.prepare()
    threading.Thread(target=server.serve, daemon=True).start()
    print("ready", flush=True)
except BaseException:
    traceback.print_exc()
    os._exit(1)
# A test that is killed leaves nothing behind.
sys.stdin.read()
os._exit(0)
