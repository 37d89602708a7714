"""Security rules for every pod: no privileges, limits, pinned images, no secrets in files."""

from installation import quantity, size, title

# kubectl notes the whole object down in an annotation of it, which may hold this much.
LARGEST = 256 * 1024


def problems(installation):
    for item in installation.objects:
        if item["kind"] == "Secret":
            yield f"{title(item)}: a secret is never in a file: docs/kubernetes.md makes it"
        if item["kind"] in ("ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"):
            yield f"{title(item)}: nothing here needs rights in Kubernetes"
        if size(item) > LARGEST:
            yield f"{title(item)}: {size(item)} bytes: `kubectl apply` cannot note down more than {LARGEST}"
    denied = any(
        not item["spec"]["podSelector"]
        and set(item["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not item["spec"].get("ingress")
        and not item["spec"].get("egress")
        for item in installation.kind("NetworkPolicy")
    )
    if installation.kind("Namespace") and not denied:
        yield "NetworkPolicy: nothing denies what is not allowed"
    for item in installation.kind("Namespace"):
        if item["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{title(item)}: does not enforce the restricted profile"
    for pod in installation.pods():
        yield from of_pod(pod)
        for box in pod.containers():
            for problem in of_container(pod, box):
                yield f"{pod.name}: `{box['name']}`: {problem}"


def of_pod(pod):
    spec, context = pod.spec, pod.spec.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(name):
            yield f"{pod.name}: {name}"
    if any("hostPath" in volume for volume in spec.get("volumes", [])):
        yield f"{pod.name}: mounts a folder of the node"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{pod.name}: is given a token for Kubernetes: set automountServiceAccountToken: false"
    if spec.get("enableServiceLinks") is not False:
        yield f"{pod.name}: every Service becomes variables: set enableServiceLinks: false"
    if not context.get("runAsNonRoot") or not context.get("runAsUser"):
        yield f"{pod.name}: set runAsNonRoot and a runAsUser"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{pod.name}: set seccompProfile RuntimeDefault"
    for volume in spec.get("volumes", []):
        for source in (volume.get("secret"), volume.get("projected")):
            if source is None:
                continue
            mode = source.get("defaultMode", 0o644)
            if mode & 0o007 or not mode & 0o040 or "fsGroup" not in context:
                yield f"{pod.name}: volume `{volume['name']}`: secrets are read by fsGroup and nobody else: defaultMode 0440"


def of_container(pod, box):
    context = box.get("securityContext", {})
    if context.get("readOnlyRootFilesystem") is not True:
        yield "set readOnlyRootFilesystem"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "set allowPrivilegeEscalation: false"
    if context.get("capabilities", {}).get("drop") != ["ALL"] or "add" in context.get("capabilities", {}):
        yield "drop all capabilities"
    if context.get("privileged"):
        yield "is privileged"
    resources = box.get("resources", {})
    for name in ("cpu", "memory"):
        if name not in resources.get("requests", {}):
            yield f"requests no {name}"
    if "memory" not in resources.get("limits", {}):
        yield "has no limit of memory"
    elif quantity(resources["limits"]["memory"]) < quantity(resources.get("requests", {}).get("memory", 0)):
        yield "requests more memory than its limit"
    name, _, tag = box["image"].rpartition(":")
    if "@sha256:" not in box["image"] and (not name or "/" in tag or tag in ("latest", "")):
        yield f"the image {box['image']} is not pinned"
    if pod.owner["kind"] != "Job" and "livenessProbe" not in box:
        yield "has no livenessProbe"
    for probe in ("livenessProbe", "readinessProbe"):
        asked = box.get(probe, {}).get("httpGet", {}).get("path")
        if asked and asked != {"livenessProbe": "/livez", "readinessProbe": "/readyz"}[probe]:
            yield f"{probe} asks for {asked}"
