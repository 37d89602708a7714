"""A browser without scripts: cookies, redirects and forms, at the gateway and at providers."""

import ssl
import threading
import time
from email.message import Message
from html.parser import HTMLParser
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urljoin, urlsplit
from urllib.request import Request

import httpx

# A sign-in has about eight.
MAX_REDIRECTS = 16
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept-Language": "en"}
SCRIPT = {"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}


class Browser:
    """One browser of one person."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.cookies = Cookies()
        # One of its own, so that connections are not shared either. A client of httpx would have another jar.
        context = ssl.create_default_context(cafile=gateway.ca)
        self.transport = httpx.HTTPTransport(verify=context)
        self.url = None
        self.trail = []

    def send(self, method, url, headers, data=None):
        """Sends one request with the cookies. Returns the response, whose body is not read yet."""
        headers = {**headers, **self.cookies.header(url)}
        timeouts = {"timeout": httpx.Timeout(60).as_dict()}
        request = httpx.Request(method, url, headers=headers, data=data, extensions=timeouts)
        response = self.transport.handle_request(request)
        response.request = request
        self.cookies.take(url, response.headers.get_list("set-cookie"))
        return response

    def go(self, url, method="GET", data=None, stop_at=None):
        """Opens a page, or sends a form, and follows redirects. Returns the last response. A URL with the text `stop_at` is
        not opened: it stays in the address bar."""
        url = urljoin(self.url or self.gateway.base, url)
        self.trail = []
        for _ in range(MAX_REDIRECTS):
            headers = dict(PAGE)
            if method == "POST":
                headers["Origin"] = origin(self.url)
                headers["Sec-Fetch-Site"] = "same-origin" if origin(url) == origin(self.url) else "cross-site"
            response = self.send(method, url, headers, data)
            response.read()
            self.trail.append(url)
            self.url = url
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            if response.status_code not in (307, 308):
                method, data = "GET", None
            url = urljoin(url, response.headers["location"])
            if stop_at and stop_at in url:
                self.url = url
                return response
        raise RuntimeError(f"too many redirects: {[urlsplit(url)._replace(query='').geturl() for url in self.trail]}")

    def submit(self, page, values, containing=None, stop_at=None):
        """Sends the form of a page that has the field `containing`, by default the first, and follows redirects."""
        forms = [form for form in Forms.of(page) if containing is None or containing in form.fields]
        if not forms:
            raise RuntimeError(f"no form with {containing!r} at {self.place}: {page.text[:400]}")
        form = forms[0]
        target = urljoin(str(page.url), form.action)
        return self.go(target, form.method, {**form.fields, **values}, stop_at)

    @property
    def place(self):
        """URL in the address bar without its query."""
        return urlsplit(self.url)._replace(query="").geturl()

    def fetch(self, path="/"):
        """Requests a path of the gateway as a script does; follows nothing."""
        response = self.send("GET", self.gateway.base + path, SCRIPT)
        response.read()
        return response

    def status(self, path="/"):
        return self.fetch(path).status_code

    def choose(self, provider, path="/"):
        """Opens a page of the app, and chooses the provider on the sign-in page."""
        page = self.go(self.gateway.base + path)
        if f'<button name="provider" value="{provider}"' not in page.text:
            raise RuntimeError(f"no button of {provider} at {self.place}: {page.status_code}")
        return self.submit(page, {"provider": provider}, "csrf")

    def sign_out(self):
        """Signs out at the gateway, and follows redirects."""
        page = self.go(self.gateway.base + "/auth/logout")
        return self.submit(page, {}, "csrf")


class Cookies:
    """Cookies of a browser, by host and path."""

    def __init__(self):
        # Browsers send Secure cookies to this machine over http too, and Keycloak counts on it.
        self.jar = CookieJar(DefaultCookiePolicy(secure_protocols=("https", "http")))

    def header(self, url):
        request = Request(url)
        self.jar.add_cookie_header(request)
        return {"Cookie": request.get_header("Cookie")} if request.has_header("Cookie") else {}

    def take(self, url, fields):
        message = Message()
        for field in fields:
            message["Set-Cookie"] = field
        self.jar.extract_cookies(Fields(message), Request(url))

    def forget(self, host):
        """Removes the cookies of a host."""
        for cookie in [cookie for cookie in self.jar if cookie.domain.startswith(host)]:
            self.jar.clear(cookie.domain, cookie.path, cookie.name)


class Fields:
    """A response as `http.cookiejar` reads it."""

    def __init__(self, message):
        self.message = message

    def info(self):
        return self.message


class Form:
    def __init__(self, attributes):
        self.action = attributes.get("action") or ""
        self.method = (attributes.get("method") or "get").upper()
        self.fields = {}


class Forms(HTMLParser):
    """Forms of a page."""

    def __init__(self):
        super().__init__()
        self.forms = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "form":
            self.forms.append(Form(attributes))
        elif tag in ("input", "button") and self.forms and attributes.get("name"):
            is_chosen = attributes.get("type") not in ("checkbox", "radio") or "checked" in attributes
            if is_chosen:
                self.forms[-1].fields.setdefault(attributes["name"], attributes.get("value") or "")

    @classmethod
    def of(cls, page):
        parser = cls()
        parser.feed(page.text)
        return parser.forms


class Stream(threading.Thread):
    """An open event stream of a browser. `ended` is set when the gateway cuts it."""

    def __init__(self, browser, path):
        super().__init__(daemon=True)
        self.browser, self.path = browser, path
        self.opened, self.ended = threading.Event(), threading.Event()
        self.status = None
        self.start()

    def run(self):
        try:
            response = self.browser.send("GET", self.browser.gateway.base + self.path, SCRIPT)
            self.status = response.status_code
            for _ in response.iter_bytes():
                self.opened.set()
        except httpx.HTTPError:
            pass
        finally:
            self.ended.set()


class Watch(threading.Thread):
    """Requests of one browser, one after the other, until one is refused."""

    def __init__(self, browser, path="/"):
        super().__init__(daemon=True)
        self.browser, self.path = browser, path
        self.accepted, self.started = None, threading.Event()
        self.refused = threading.Event()
        self.is_stopped = False
        self.start()

    def run(self):
        while not self.is_stopped:
            sent = time.monotonic()
            if self.browser.status(self.path) != 200:
                self.refused.set()
                return
            # When the last accepted request was sent.
            self.accepted = sent
            self.started.set()

    def stop(self):
        self.is_stopped = True
        self.join()


def origin(url):
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
