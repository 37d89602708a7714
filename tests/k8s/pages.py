"""docs/kubernetes.md and the folders against each other, and the version everywhere the same."""

import re
import subprocess

import yaml

import gateway
import metrics
from installation import ROOT, title

PAGE = "docs/kubernetes.md"


def problems(installations, secrets, page, root=ROOT):
    files = {str(path.relative_to(root)) for path in (root / "k8s").rglob("*") if path.is_file()}
    rows = set(re.findall(r"^\| `(k8s/[^`]+)` \|", page, re.MULTILINE))
    for file in sorted(files - rows):
        yield f"{PAGE}: the table does not say what {file} is"
    for file in sorted(rows - files):
        yield f"{PAGE}: there is no {file}"
    for path in sorted(set(re.findall(r"`?(k8s/[\w/.-]+)", page))):
        if not (root / path.rstrip(".")).exists():
            yield f"{PAGE}: names {path}, which is not there"
    for file in sorted(files):
        folder, name = (root / file).parent, file.rpartition("/")[2]
        # alerts.yaml is there through prometheus-rule.yaml.
        if (
            name not in ("kustomization.yaml", "alerts.yaml")
            and name not in (folder / "kustomization.yaml").read_text()
        ):
            yield f"{file}: its kustomization.yaml does not name it, so it is never applied"
    makefile = (root / "Makefile").read_text()
    for verb in set(re.findall(r"`make ([\w-]+)`", page)):
        if not re.search(rf"^{verb}:", makefile, re.MULTILINE):
            yield f"{PAGE}: the Makefile has no `{verb}`"

    shipped = gateway.defaults()
    for table, key in set(re.findall(r"`([a-z_]+)\.([a-z_]+)`", page)):
        if table in shipped and key not in shipped[table]:
            yield f"{PAGE}: gateway.toml has no `{table}.{key}`"
    for command in sorted(set(re.findall(r"(?:`|-- )doorward ([a-z][^`\n]*)", page))):
        done = subprocess.run([gateway.program(), *command.split(), "--help"], capture_output=True, text=True)
        if done.returncode != 0:
            yield f"{PAGE}: `doorward {command}`: {done.stderr.strip()}"

    gauges = {
        name for name, (kind, _) in metrics.documented(metrics.read("docs/metrics.md")).items() if kind == "gauge"
    }
    for one in installations.values():
        for item in one.kind("HorizontalPodAutoscaler"):
            for metric in item["spec"]["metrics"]:
                name = metric.get("pods", {}).get("metric", {}).get("name")
                if name and (name not in gauges or name not in page):
                    yield f"{title(item)}: `{name}` is not a gauge of docs/metrics.md that {PAGE} tells prometheus-adapter of"

    used = set()
    for one in installations.values():
        for pod in one.pods():
            for volume in pod.spec.get("volumes", []):
                for source in volume.get("projected", {}).get("sources", []) or [volume]:
                    asked = source.get("secret", {})
                    used |= {asked.get("secretName"), asked.get("name")}
        used |= {tls["secretName"] for item in one.kind("Ingress") for tls in item["spec"].get("tls", [])}
        used |= {item["spec"]["bootstrap"]["initdb"]["secret"]["name"] for item in one.kind("Cluster")}
    namespaces = {item["metadata"]["name"] for one in installations.values() for item in one.kind("Namespace")}
    for name, made in secrets.items():
        if name not in used:
            yield f"{PAGE}: makes a Secret `{name}` that nothing uses"
        if made["namespace"] not in namespaces:
            yield f"{PAGE}: makes `{name}` in {made['namespace']}, not in {namespaces}"

    version = re.search(r'^version = "([^"]+)"', (root / "Cargo.toml").read_text(), re.MULTILINE)[1]
    images = set()
    for path in sorted((root / "k8s").rglob("kustomization.yaml")):
        for image in yaml.safe_load(path.read_text()).get("images", []):
            images.add(f"{image['newName']}:{image['newTag']}")
    images |= set(re.findall(r"registry\.example\.com/doorward:[\w.]+", page))
    if len(images) != 1 or not next(iter(images)).endswith(f":{version}"):
        yield f"the image is {sorted(images)}, and this is doorward {version}"
    for one in installations.values():
        for item in one.objects:
            if (
                one.kind("Namespace")
                and item["kind"] != "Namespace"
                and item["metadata"].get("namespace") not in namespaces
            ):
                yield f"{title(item)}: is in no namespace"
