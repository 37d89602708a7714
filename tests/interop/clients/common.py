"""Command line of every client, and the plan of its requests.

`client BASE CA KIND COUNT USER1 TOKEN1 USER2 TOKEN2`. Requests go in pairs, each pair by one user: an app of kind `dav` is
sent a file and then a GET for it; any other app gets two requests. A client prints one line per request, tab-separated: shape, user,
nonce, bytes sent, status, X-Echo, body.
"""

import sys
from dataclasses import dataclass

ECHO = ["get", "post-length", "post-stream", "head", "post-empty", "put-large"]
DAV = ["put-length", "get", "put-stream", "get"]
LARGE = 100_000


@dataclass
class Step:
    shape: str
    user: str
    token: str
    nonce: str
    path: str
    body: bytes

    @property
    def method(self):
        return self.shape.split("-")[0].upper()


def arguments():
    base, ca, kind, count, *users = sys.argv[1:9]
    return base, ca, kind, int(count), list(zip(users[::2], users[1::2]))


def plan(name, kind, count, users):
    """Pairs of steps; one worker runs both steps of a pair, in order."""
    shapes = DAV if kind == "dav" else ECHO
    for pair in range(count // 2):
        user, token = users[pair % len(users)]
        steps = []
        for place in (2 * pair, 2 * pair + 1):
            shape = shapes[place % len(shapes)]
            nonce = f"{name}-{place}"
            path = f"/{name}-{pair}.txt" if kind == "dav" else f"/{name}/{place}"
            body = b""
            if shape.endswith("large"):
                body = b"x" * LARGE
            elif kind == "dav" and shape.startswith("put"):
                body = f"{user} {name}-{pair}".encode()
            elif shape.endswith(("length", "stream")):
                body = b"y" * (1 + place % 700)
            steps.append(Step(shape, user, token, nonce, path, body))
        yield steps


def report(step, status, echo, body):
    text = body.decode("utf-8", "replace").strip().replace("\t", " ").replace("\n", " ")[:160]
    sent = len(step.body)
    fields = (step.shape, step.user, step.nonce, sent, status, echo or "-", text or "-")
    # One write: several threads report.
    sys.stdout.write("\t".join(map(str, fields)) + "\n")
    sys.stdout.flush()
