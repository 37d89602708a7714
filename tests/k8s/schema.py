"""Every object against its schema: a field that is not known, misplaced or of the wrong type is a problem."""

import functools
import json

import jsonschema
from kubernetes_validate import utils as kubernetes

from installation import ROOT, title

# The oldest supported version and the newest release.
VERSIONS = ("1.29", "1.37")

# Ours, of what we use of other people's kinds; each says where the fields are documented.
OURS = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): "service-monitor.json",
    ("monitoring.coreos.com/v1", "PrometheusRule"): "prometheus-rule.json",
    ("postgresql.cnpg.io/v1", "Cluster"): "cnpg-cluster.json",
}

# It reads its files for each object anew.
kubernetes.schema_contents = functools.cache(kubernetes.schema_contents)


@functools.cache
def ours(file):
    return json.loads((ROOT / "tests/k8s/schemas" / file).read_text())


def problems(installation):
    for item in installation.objects:
        yield from of_one(json.dumps(item))


@functools.cache
def of_one(text):
    return list(validated(json.loads(text)))


def validated(item):
    file = OURS.get((item["apiVersion"], item["kind"]))
    if file:
        for error in jsonschema.Draft202012Validator(ours(file)).iter_errors(item):
            yield f"{title(item)}: {error.json_path}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes.validate(item, version, strict=True)
        except kubernetes.ValidationError as error:
            yield f"{title(item)}: Kubernetes {version}: {error.json_path}: {error.message}"
        except kubernetes.SchemaNotFoundError:
            yield f"{title(item)}: Kubernetes {version} has no {item['kind']} in {item['apiVersion']}"
