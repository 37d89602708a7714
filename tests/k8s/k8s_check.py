"""`make k8s-check`: every manifest of k8s/, what they say of each other, and the image. Offline; says every problem it finds.

`--write-rule` makes k8s/base/prometheus-rule.yaml of alerts.yaml instead.
"""

import sys

import documented
import gateway
import image
import metrics
import pages
import posture
import references
import schema
from installation import ROOT, Installation, RenderError

# Installations that are applied separately: folder, and those that already exist.
FOLDERS = {
    "single": ("overlays/single", ()),
    "production": ("overlays/production", ()),
    "first-admin": ("first-admin", ("production",)),
    "app": ("app", ("single",)),
}


def load(root=ROOT / "k8s"):
    return {name: Installation.of(name, root / folder) for name, (folder, _) in FOLDERS.items()}


def beside(name, installations):
    return [installations[other] for other in FOLDERS[name][1]]


def of_one(name, installations, secrets):
    """The problems of one folder, without the checks that run doorward."""
    one, shared = installations[name], beside(name, installations)
    misshapen = list(schema.problems(one))
    if misshapen:
        # The other checks rely on valid shapes.
        yield from misshapen
        return
    yield from references.problems(one, secrets, shared)
    yield from posture.problems(one)
    yield from gateway.problems(one, secrets)


def problems():
    page = documented.PAGE.read_text()
    try:
        installations = load()
        secrets = documented.secrets(page)
    except (RenderError, AssertionError) as error:
        yield str(error)
        return
    for name, (folder, _) in FOLDERS.items():
        yield from (f"k8s/{folder}: {problem}" for problem in of_one(name, installations, secrets))
        found = gateway.accepted(installations[name], secrets, beside(name, installations))
        yield from (f"k8s/{folder}: {problem}" for problem in found)
    yield from pages.problems(installations, secrets, page)
    yield from metrics.problems(
        *map(metrics.read, (metrics.ALERTS, metrics.RULE, metrics.DASHBOARD, "docs/metrics.md"))
    )
    yield from image.problems()


def main():
    if sys.argv[1:] == ["--write-rule"]:
        (ROOT / metrics.RULE).write_text(metrics.rule_of(metrics.read(metrics.ALERTS)))
        return 0
    found = sorted(set(problems()))
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        print(f"k8s-check: {len(found)} problems", file=sys.stderr)
        return 1
    print(f"k8s-check: {sum(len(one.objects) for one in load().values())} objects in {len(FOLDERS)} folders are good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
