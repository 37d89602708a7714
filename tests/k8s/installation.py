"""A rendered folder of k8s/, and how to find things in it."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBECTL = Path(sys.executable).parent / "kubectl"

# Secrets that CloudNativePG creates for a Cluster, and the port of its pods.
CNPG_SECRETS = {"ca": {"ca.crt", "ca.key"}, "server": {"tls.crt", "tls.key"}, "app": {"username", "password", "uri"}}
CNPG_SERVICES = ("rw", "r", "ro")
CNPG_PORTS = {"postgresql": 5432, "status": 8000, "metrics": 9187}


class RenderError(Exception):
    """kustomize refuses a folder."""


@cache
def rendered(folder):
    """Output of kustomize for a folder, from kubectl, without a cluster."""
    done = subprocess.run(
        [KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, env={"HOME": "/nonexistent"}
    )
    if done.returncode != 0 or done.stderr:
        raise RenderError(f"{folder}: kustomize: {done.stderr.strip()}")
    return done.stdout


class Pod:
    """The pods of one workload."""

    def __init__(self, owner, labels, spec, namespace):
        self.owner, self.labels, self.spec, self.namespace = owner, labels, spec, namespace
        self.name = f"{owner['kind']} {owner['metadata']['name']}" if owner else "?"

    def containers(self):
        return self.spec.get("initContainers", []) + self.spec.get("containers", [])

    def ports(self):
        """By name."""
        return {port["name"]: port["containerPort"] for box in self.containers() for port in box.get("ports", [])}

    def port(self, wanted):
        """Number of a port given by name or number, or None."""
        ports = self.ports()
        return ports.get(wanted) if isinstance(wanted, str) else wanted if wanted in ports.values() else None

    def is_gateway(self):
        return any(box.get("args", [None])[0] == "serve" for box in self.containers())

    def volume(self, name):
        return next((volume for volume in self.spec.get("volumes", []) if volume["name"] == name), None)


class Installation:
    """All objects of one rendered folder."""

    def __init__(self, name, objects):
        self.name, self.objects = name, objects

    @classmethod
    def of(cls, name, folder):
        return cls(name, [item for item in yaml.safe_load_all(rendered(folder)) if item])

    def kind(self, *kinds):
        return [item for item in self.objects if item["kind"] in kinds]

    def one(self, kind, name):
        return next((item for item in self.kind(kind) if item["metadata"]["name"] == name), None)

    def pods(self):
        for item in self.kind("Deployment", "StatefulSet", "DaemonSet", "Job"):
            template = item["spec"]["template"]
            yield Pod(item, template["metadata"].get("labels", {}), template["spec"], item["metadata"].get("namespace"))

    def clusters(self):
        """The pods of each CloudNativePG Cluster: nobody declares them, but policies and addresses are about them."""
        for item in self.kind("Cluster"):
            inherited = item["spec"].get("inheritedMetadata", {}).get("labels", {})
            labels = {"cnpg.io/cluster": item["metadata"]["name"], **inherited}
            ports = [{"name": name, "containerPort": number} for name, number in CNPG_PORTS.items()]
            yield Pod(
                item, labels, {"containers": [{"name": "postgres", "ports": ports}]}, item["metadata"].get("namespace")
            )

    def gateways(self):
        return [pod for pod in self.pods() if pod.is_gateway()]

    def selected(self, selector):
        return [pod for pod in [*self.pods(), *self.clusters()] if matches(selector, pod.labels)]

    def config(self, pod):
        """The text of the gateway.toml that a pod reads."""
        for volume in pod.spec.get("volumes", []):
            held = self.one("ConfigMap", volume.get("configMap", {}).get("name"))
            if held and "gateway.toml" in held.get("data", {}):
                return held["data"]["gateway.toml"]
        return None


def matches(selector, labels):
    """Whether a label selector, empty meaning all, selects what has these labels."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for asked in selector.get("matchExpressions", []):
        key, values = asked["key"], asked.get("values", [])
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[asked["operator"]]
        if not holds:
            return False
    return True


def title(item):
    return f"{item['kind']} {item['metadata']['name']}"


def size(item):
    """In bytes, as `kubectl apply` notes it down beside the object."""
    return len(json.dumps(item))


UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def quantity(text):
    """`256Mi`, `500m`, `1`."""
    text = str(text)
    number = text.rstrip("kKMGim")
    return float(number) * UNITS[text[len(number) :]]
