"""References between objects: names, keys, labels and ports must exist."""

from installation import CNPG_SECRETS, matches, title


def problems(installation, secrets, shared=()):
    """`shared`: other installations whose objects are there already when this one is applied."""
    yield from volumes(installation, secrets, shared)
    yield from selectors(installation)
    yield from services(installation)
    yield from ways_in(installation, secrets)
    yield from policies(installation, shared)
    yield from scaling(installation)


def volumes(installation, secrets, shared):
    known = [installation, *shared]
    for pod in installation.pods():
        declared = {volume["name"] for volume in pod.spec.get("volumes", [])}
        mounted = {mount["name"] for box in pod.containers() for mount in box.get("volumeMounts", [])}
        for name in mounted - declared:
            yield f"{pod.name}: mounts a volume `{name}` that it does not have"
        for name in declared - mounted:
            yield f"{pod.name}: has a volume `{name}` that nothing mounts"
        for box in pod.containers():
            for mount in box.get("volumeMounts", []):
                if "subPath" in mount:
                    yield f"{pod.name}: {mount['mountPath']} is mounted by subPath, so it never changes in a running pod"
        for volume in pod.spec.get("volumes", []):
            sources = volume.get("projected", {}).get("sources", []) or [volume]
            for source in sources:
                if "secret" in source:
                    asked = source["secret"]
                    name = asked.get("secretName") or asked.get("name")
                    yield from secret(pod, name, asked.get("items"), known, secrets)
                if "configMap" in source:
                    asked = source["configMap"]
                    held = next((found for one in known if (found := one.one("ConfigMap", asked["name"]))), None)
                    if held is None:
                        yield f"{pod.name}: there is no ConfigMap `{asked['name']}`"
                    for item in asked.get("items", []):
                        if held and item["key"] not in held.get("data", {}):
                            yield f"{pod.name}: ConfigMap `{asked['name']}` has no `{item['key']}`"
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and not installation.one("PersistentVolumeClaim", claim):
                yield f"{pod.name}: there is no PersistentVolumeClaim `{claim}`"
        account = pod.spec.get("serviceAccountName")
        if account and not any(one.one("ServiceAccount", account) for one in known):
            yield f"{pod.name}: there is no ServiceAccount `{account}`"
        for box in pod.containers():
            for variable in box.get("env", []):
                if "secretKeyRef" in variable.get("valueFrom", {}):
                    yield f"{pod.name}: `{variable['name']}` puts a secret into the environment: mount it as a file"
            if "envFrom" in box:
                yield f"{pod.name}: envFrom takes whatever is there: mount what is needed as files"


def secret(pod, name, items, known, secrets):
    keys = None
    if name in secrets:
        keys = set(secrets[name]["values"])
    for one in known:
        for cluster in one.kind("Cluster"):
            prefix = cluster["metadata"]["name"] + "-"
            if name.startswith(prefix) and name[len(prefix) :] in CNPG_SECRETS:
                keys = CNPG_SECRETS[name[len(prefix) :]]
    if keys is None:
        yield f"{pod.name}: nobody makes a Secret `{name}`: docs/kubernetes.md has no command for it"
        return
    if items is None:
        yield f"{pod.name}: all of Secret `{name}` is mounted: name the keys that are needed"
    for item in items or []:
        if item["key"] not in keys:
            yield f"{pod.name}: Secret `{name}` has no `{item['key']}`, only {', '.join(sorted(keys))}"
        if item["key"].endswith(".key") and name.endswith(("-ca", "-tls")):
            yield f"{pod.name}: mounts the private key `{item['key']}` of `{name}`"


def selectors(installation):
    for item in installation.kind("Deployment", "StatefulSet"):
        labels = item["spec"]["template"]["metadata"].get("labels", {})
        if not matches(item["spec"]["selector"], labels):
            yield f"{title(item)}: its selector does not match its own pods"
    for item in installation.kind("PodDisruptionBudget"):
        if len(installation.selected(item["spec"]["selector"])) != 1:
            yield f"{title(item)}: selects {len(installation.selected(item['spec']['selector']))} kinds of pods, not one"
    for pod in installation.pods():
        spreads = pod.spec.get("topologySpreadConstraints", [])
        for spread in spreads:
            if not matches(spread.get("labelSelector", {"matchLabels": {"": ""}}), pod.labels):
                yield f"{pod.name}: a topologySpreadConstraint counts other pods than its own"
        terms = pod.spec.get("affinity", {}).get("podAntiAffinity", {})
        terms = [
            term["podAffinityTerm"] for term in terms.get("preferredDuringSchedulingIgnoredDuringExecution", [])
        ] + terms.get("requiredDuringSchedulingIgnoredDuringExecution", [])
        for term in terms:
            if not installation.selected(term["labelSelector"]):
                yield f"{pod.name}: keeps away from pods that nothing makes: {term['labelSelector']}"


def services(installation):
    for item in installation.kind("Service"):
        chosen = installation.selected({"matchLabels": item["spec"].get("selector") or {"": ""}})
        if not chosen:
            yield f"{title(item)}: selects no pod"
        for pod in chosen:
            for port in item["spec"]["ports"]:
                target = port.get("targetPort", port["port"])
                if pod.port(target) is None:
                    yield f"{title(item)}: {pod.name} has no port `{target}`"
    for item in installation.kind("StatefulSet"):
        service = installation.one("Service", item["spec"]["serviceName"])
        if service is None or service["spec"].get("clusterIP") != "None":
            yield f"{title(item)}: there is no headless Service `{item['spec']['serviceName']}`"
        elif not service["spec"].get("publishNotReadyAddresses"):
            yield f"{title(item)}: Service `{item['spec']['serviceName']}` hides the names of pods that start"
    for pod in installation.pods():
        for box in pod.containers():
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = box.get(probe, {}).get("httpGet") or box.get(probe, {}).get("tcpSocket")
                own = {port["name"]: port["containerPort"] for port in box.get("ports", [])}
                if asked and asked["port"] not in own and asked["port"] not in own.values():
                    yield f"{pod.name}: {probe} asks at a port `{asked['port']}` that `{box['name']}` does not have"


def ways_in(installation, secrets):
    for item in installation.kind("Ingress"):
        for rule in item["spec"].get("rules", []):
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = installation.one("Service", backend["name"])
                ports = service["spec"]["ports"] if service else []
                wanted = backend["port"]
                if not any(
                    port.get("name") == wanted.get("name") or port["port"] == wanted.get("number") for port in ports
                ):
                    yield f"{title(item)}: there is no Service `{backend['name']}` with port {wanted}"
        for tls in item["spec"].get("tls", []):
            made = secrets.get(tls["secretName"], {}).get("values", {})
            if not {"tls.crt", "tls.key"} <= set(made):
                yield f"{title(item)}: nobody makes a certificate `{tls['secretName']}`"
    for item in installation.kind("ServiceMonitor"):
        spec = item["spec"]
        chosen = [
            service
            for service in installation.kind("Service")
            if matches(spec["selector"], service["metadata"].get("labels", {}))
        ]
        if len(chosen) != 1:
            yield f"{title(item)}: selects {len(chosen)} Services, not one"
        for endpoint in spec["endpoints"]:
            for service in chosen:
                if endpoint["port"] not in {port.get("name") for port in service["spec"]["ports"]}:
                    yield f"{title(item)}: {title(service)} has no port `{endpoint['port']}`"
        job = {service["metadata"]["labels"].get(spec.get("jobLabel", "")) for service in chosen}
        if not all((name or "").startswith("doorward") for name in job):
            yield f"{title(item)}: the job would be called {job}: the alerts look for `doorward`"


def policies(installation, shared):
    everywhere = [installation, *shared]
    for item in installation.kind("NetworkPolicy"):
        spec, namespace = item["spec"], item["metadata"].get("namespace")
        whom = installation.selected(spec["podSelector"]) if namespace == installation_namespace(installation) else []
        if spec["podSelector"] and not whom and namespace == installation_namespace(installation):
            # A policy for a later Job selects no pod of this installation.
            yield f"{title(item)}: is about no pod: {spec['podSelector']}"
        for rule in spec.get("ingress", []):
            if not rule.get("from"):
                yield f"{title(item)}: lets everybody in"
            for port in rule.get("ports", []):
                for pod in whom:
                    if pod.port(port["port"]) is None:
                        yield f"{title(item)}: {pod.name} has no port `{port['port']}`"
            for peer in rule.get("from", []):
                yield from somebody(item, peer, everywhere)
        for rule in spec.get("egress", []):
            for peer in rule.get("to", []):
                yield from somebody(item, peer, everywhere)
                for pod in local(peer, installation):
                    for port in rule.get("ports", []):
                        if pod.port(port["port"]) is None:
                            yield f"{title(item)}: {pod.name} has no port `{port['port']}`"
    yield from both_ways(installation)


def installation_namespace(installation):
    return next((item["metadata"]["name"] for item in installation.kind("Namespace")), None)


def local(peer, installation):
    if "namespaceSelector" in peer or "podSelector" not in peer:
        return []
    return installation.selected(peer["podSelector"])


def somebody(item, peer, everywhere):
    """A peer in this namespace is a pod that something makes; one elsewhere is named by its namespace."""
    if "namespaceSelector" in peer:
        if not (peer["namespaceSelector"] or {}).get("matchLabels"):
            yield f"{title(item)}: lets every namespace"
    elif "podSelector" in peer:
        if not any(one.selected(peer["podSelector"]) for one in everywhere):
            yield f"{title(item)}: names pods that nothing makes: {peer['podSelector']}"


def both_ways(installation):
    """Under a default deny, who may go out must be let in, and the other way round."""
    out, into = set(), set()
    for item in installation.kind("NetworkPolicy"):
        for pod in installation.selected(item["spec"]["podSelector"]):
            for rule in item["spec"].get("egress", []):
                for peer in rule.get("to", []):
                    for other in local(peer, installation):
                        out |= {(pod.name, other.name, other.port(port["port"])) for port in rule.get("ports", [])}
            for rule in item["spec"].get("ingress", []):
                for peer in rule.get("from", []):
                    for other in local(peer, installation):
                        into |= {(other.name, pod.name, pod.port(port["port"])) for port in rule.get("ports", [])}
    for one, other, port in sorted(out - into, key=str):
        yield f"NetworkPolicy: {one} may go to {other}, port {port}, and is not let in there"
    for one, other, port in sorted(into - out, key=str):
        yield f"NetworkPolicy: {other} lets {one} in at port {port}, which may not go there"


def scaling(installation):
    for item in installation.kind("HorizontalPodAutoscaler"):
        wanted = item["spec"]["scaleTargetRef"]
        target = installation.one(wanted["kind"], wanted["name"])
        if target is None:
            yield f"{title(item)}: there is no {wanted['kind']} `{wanted['name']}`"
            continue
        if "replicas" in target["spec"]:
            yield f"{title(target)}: sets replicas, which every apply would force on the autoscaler"
