"""gateway.toml compared with the manifests, and validated by doorward."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib

from installation import CNPG_SERVICES, ROOT, matches, quantity, title

# Time for cut connections after drain_timeout (src/server.rs).
AFTER_CUT = 1
# Measured: resident memory for each connection with a large header and a body that nobody reads; and what else a gateway
# takes: itself, a hash, the revocations of a busy hour.
PER_CONNECTION = 240 * 2**10
BESIDE = 128 * 2**20
# Part of max_connections reserved by Postgres and used by CloudNativePG (streaming, monitoring, an operator).
POSTGRES_RESERVE = 20

UNITS = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def defaults():
    return tomllib.loads((ROOT / "gateway.toml").read_text())


class Settings:
    """A gateway.toml, with the shipped defaults below it."""

    def __init__(self, text):
        self.tables = (tomllib.loads(text), defaults())

    def __call__(self, path):
        for table in self.tables:
            for name in path.split("."):
                table = table.get(name) if isinstance(table, dict) else None
            if table is not None:
                return table
        return None

    def given(self, path):
        table = self.tables[0]
        for name in path.split("."):
            table = table.get(name, {}) if isinstance(table, dict) else {}
        return table or None

    def seconds(self, path):
        number, unit = re.fullmatch(r"([0-9.]+)(ms|s|m|h|d)", self(path)).groups()
        return float(number) * UNITS[unit]

    def bytes(self, path):
        number, unit = re.fullmatch(r"([0-9]+)(B|KiB|MiB|GiB)", self(path)).groups()
        return int(number) * SIZES[unit]


def problems(installation, secrets):
    for pod in installation.gateways():
        text = installation.config(pod)
        if text is None:
            yield f"{pod.name}: mounts no gateway.toml"
            continue
        try:
            settings = Settings(text)
        except tomllib.TOMLDecodeError as error:
            yield f"{pod.name}: gateway.toml: {error}"
            continue
        for check in (listening, stopping, memory, addresses, replicas, stores):
            yield from check(installation, pod, settings, secrets)


def listening(installation, pod, settings, _):
    for key, name in (("server.listen", "http"), ("admin.listen", "admin")):
        for address in settings(key):
            host, _, port = address.rpartition(":")
            if pod.ports().get(name) != int(port):
                yield f"gateway.toml: {key} {address}: the pod's port `{name}` is {pod.ports().get(name)}"
            if host not in ("0.0.0.0", "[::]"):
                yield f"gateway.toml: {key} {address} cannot be reached from outside of the pod"
    for service in installation.kind("Service"):
        if service["spec"].get("clusterIP") == "None" or not matches(
            {"matchLabels": service["spec"]["selector"]}, pod.labels
        ):
            continue
        for port in service["spec"]["ports"]:
            if pod.port(port.get("targetPort", port["port"])) == pod.ports().get("admin"):
                yield f"{title(service)}: what people reach has the admin port"


def stopping(installation, pod, settings, _):
    needed = settings.seconds("server.lameduck") + settings.seconds("server.drain_timeout") + AFTER_CUT
    given = pod.spec.get("terminationGracePeriodSeconds", 30)
    if given <= needed:
        yield f"{pod.name}: terminationGracePeriodSeconds {given}: a stop may take {needed:g} s (server.lameduck + server.drain_timeout + 1)"
    for box in pod.containers():
        probe = box.get("readinessProbe", {})
        noticed = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        if settings.seconds("server.lameduck") < noticed:
            yield f"gateway.toml: server.lameduck is over before the readinessProbe has failed ({noticed} s)"


def memory(installation, pod, settings, _):
    needed = (
        settings("server.limits.connections") * PER_CONNECTION + settings.bytes("sessions.local_cache_bytes") + BESIDE
    )
    for box in pod.containers():
        limit = quantity(box.get("resources", {}).get("limits", {}).get("memory", "0"))
        if needed > limit:
            yield f"{pod.name}: {settings('server.limits.connections')} connections may take {needed / 2**20:.0f} MiB, and the limit is {limit / 2**20:.0f}"
    if settings.given("server.threads") is None:
        yield "gateway.toml: server.threads is one for each core of the node: write how many this pod may keep busy"


def addresses(installation, pod, settings, _):
    urls = settings("server.public_urls")
    hosts = {urlsplit(url).hostname for url in urls}
    for ingress in installation.kind("Ingress"):
        reached = {rule.get("host") for rule in ingress["spec"]["rules"]}
        if reached != hosts:
            yield f"{title(ingress)}: answers for {sorted(map(str, reached))}, server.public_urls for {sorted(hosts)}"
        encrypted = {host for tls in ingress["spec"].get("tls", []) for host in tls["hosts"]}
        if encrypted != reached:
            yield f"{title(ingress)}: has certificates for {sorted(encrypted)}"
    if settings("tokens.issuer") != urls[0]:
        yield f"gateway.toml: tokens.issuer {settings('tokens.issuer')} is not the first of server.public_urls"
    if installation.kind("Ingress") and not settings("server.trusted_proxies"):
        yield "gateway.toml: server.trusted_proxies is empty: every client would have the address of the ingress controller"
    for name, upstream in settings("upstreams").items():
        for server in upstream["servers"]:
            parts = urlsplit(server)
            port = parts.port or {"https": 443}.get(parts.scheme, 80)
            _, _, namespace = parts.hostname.partition(".")
            if not may_reach(installation, pod, namespace.split(".")[0], port):
                yield f"gateway.toml: upstreams.{name}: no network policy lets the gateways reach {parts.hostname}, port {port}"


def may_reach(installation, pod, namespace, port):
    for policy in installation.kind("NetworkPolicy"):
        if not matches(policy["spec"]["podSelector"], pod.labels):
            continue
        for rule in policy["spec"].get("egress", []):
            there = any(
                peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name") == namespace
                for peer in rule.get("to", [])
            )
            if there and port in [open_port["port"] for open_port in rule.get("ports", [])]:
                return True
    return False


def replicas(installation, pod, settings, _):
    spec = pod.owner["spec"]
    scaler = next(iter(installation.kind("HorizontalPodAutoscaler")), None)
    shared = (settings.given("vault.url_file") or "") and (settings.given("sessions.url_file") or "")
    if not shared:
        if scaler or spec.get("replicas") != 1:
            yield f"{pod.name}: embedded stores are for one gateway: set replicas to 1"
        if spec["strategy"]["type"] != "Recreate":
            yield f"{pod.name}: two gateways would open one database during a rollout: use the strategy Recreate"
        return
    rolling = spec["strategy"].get("rollingUpdate", {})
    if spec["strategy"]["type"] != "RollingUpdate" or rolling.get("maxUnavailable") != 0:
        yield f"{pod.name}: a rollout takes a gateway away before there is another: set maxUnavailable to 0"
    if scaler is None or scaler["spec"]["minReplicas"] < 3:
        yield f"{pod.name}: fewer than three gateways: one may be lost while another is replaced"
        return
    for metric in scaler["spec"]["metrics"]:
        if metric["type"] == "Pods":
            full = quantity(metric["pods"]["target"]["averageValue"])
            if full > settings("server.limits.connections") / 2:
                yield f"{title(scaler)}: gateways are nearly full before another comes: server.limits.connections"
    surge = rolling.get("maxSurge", 1)
    needed = (scaler["spec"]["maxReplicas"] + surge) * (settings("vault.pool_size") + 1) + POSTGRES_RESERVE
    for cluster in installation.kind("Cluster"):
        limit = int(cluster["spec"]["postgresql"]["parameters"].get("max_connections", 100))
        if needed > limit:
            yield f"{title(cluster)}: {scaler['spec']['maxReplicas']} gateways may need {needed} connections, max_connections is {limit}"


def stores(installation, pod, settings, secrets):
    """The addresses that docs/kubernetes.md makes, against the stores that the manifests make."""
    values = secrets.get("doorward-stores", {}).get("values", {})
    for cluster in installation.kind("Cluster"):
        name, spec = cluster["metadata"]["name"], cluster["spec"]
        url = urlsplit(values.get("vault.url", b"").decode())
        hosts = [host.split(":")[0] for host in url.netloc.rpartition("@")[2].split(",")]
        if (
            len(hosts) < 2
            or not set(hosts) <= {f"{name}-{service}" for service in CNPG_SERVICES}
            or hosts[0] != f"{name}-rw"
        ):
            yield f"vault.url: {hosts}: name {name}-rw and then {name}-r, so that doorward proves each lease with a write"
        initdb = spec["bootstrap"]["initdb"]
        if (url.username, url.path) != (initdb["owner"], "/" + initdb["database"]):
            yield f"vault.url: {url.username} and {url.path}: {title(cluster)} makes {initdb['owner']} and {initdb['database']}"
        owner = secrets.get(initdb["secret"]["name"], {}).get("values", {})
        if owner.get("username", b"").decode() != initdb["owner"] or owner.get("password", b"").decode() != (
            url.password or ""
        ):
            yield f"{title(cluster)}: Secret `{initdb['secret']['name']}` has another user or password than vault.url"
        sync = spec["postgresql"].get("synchronous", {})
        if (
            sync.get("dataDurability", "required") != "required"
            or not 0 < sync.get("number", 0) < spec["instances"] - 1
        ):
            yield f"{title(cluster)}: not synchronous, or not with one standby away: a failover could forget revocations"
    for item in installation.kind("StatefulSet"):
        yield from sentinels(item, values, secrets)


def sentinels(item, values, secrets):
    name, service, count = item["metadata"]["name"], item["spec"]["serviceName"], item["spec"]["replicas"]
    url = urlsplit(values.get("sessions.url", b"").decode())
    hosts = url.netloc.rpartition("@")[2].split(",")
    if url.scheme not in ("redis+sentinel", "rediss+sentinel") or hosts != [
        f"{name}-{n}.{service}" for n in range(count)
    ]:
        yield f"sessions.url: {url.scheme} {hosts}: name the {count} Sentinels of {title(item)}"
    password = secrets.get(name, {}).get("values", {}).get("password", b"").decode()
    asked = parse_qs(url.query)
    if not password or {url.password, *asked.get("sentinel_password", [])} != {password}:
        yield f"sessions.url: another password than that of Secret `{name}`"
    if count < 3 or count % 2 == 0:
        yield f"{title(item)}: {count} Sentinels: an odd number from three on can agree"
    for box in item["spec"]["template"]["spec"]["containers"]:
        variables = {variable["name"]: variable["value"] for variable in box.get("env", [])}
        if (variables.get("SERVICE"), variables.get("REPLICAS")) != (service, str(count)):
            yield f"{title(item)}: `{box['name']}`: SERVICE and REPLICAS are not {service} and {count}"
        used = int(variables["MAXMEMORY"].removesuffix("mb")) * 2**20
        if box["name"] == "redis" and used * 2 > quantity(box["resources"]["limits"]["memory"]):
            yield f"{title(item)}: MAXMEMORY is more than half of the memory limit"


class Filesystem:
    """The volumes of a container, written into a folder."""

    def __init__(self, installation, pod, secrets, shared=()):
        self.folder = Path(tempfile.mkdtemp(prefix="doorward-pod-"))
        self.mounts = {}
        known = [installation, *shared]
        for mount in pod.spec["containers"][0]["volumeMounts"]:
            place = self.folder / mount["mountPath"].lstrip("/")
            place.mkdir(parents=True)
            self.mounts[mount["mountPath"]] = place
            volume = pod.volume(mount["name"])
            for source in volume.get("projected", {}).get("sources", []) or [volume]:
                mode = volume.get("projected", {}).get("defaultMode") or source.get("secret", {}).get(
                    "defaultMode", 0o644
                )
                if "configMap" in source:
                    self.write_config(place, source["configMap"]["name"], known)
                if "secret" in source:
                    name = source["secret"].get("secretName") or source["secret"]["name"]
                    made = secrets.get(name, {}).get("values")
                    for item in source["secret"].get("items", []):
                        value = (
                            made[item["key"]] if made else b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
                        )
                        (place / item["path"]).write_bytes(value)
                        (place / item["path"]).chmod(mode)

    def write_config(self, place, name, known):
        for one in known:
            held = one.one("ConfigMap", name)
            for file, text in (held or {}).get("data", {}).items():
                (place / file).write_text(self.inside(text))

    def inside(self, text):
        """The same text, with the paths of the container as they are here."""
        for path in ("/etc/doorward", "/run/secrets", "/var/lib"):
            text = re.sub(rf"(?<=[\"':]){path}(?=/)", f"{self.folder}{path}", text)
        return text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)


def program():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(os.environ.get("DOORWARD", target / "debug/doorward"))


def accepted(installation, secrets, shared=()):
    """Validation by doorward of the configuration and arguments of its containers."""
    for pod in installation.pods():
        box = pod.spec["containers"][0]
        if "doorward" not in box["image"].split("/")[-1]:
            continue
        try:
            with Filesystem(installation, pod, secrets, shared) as files:
                work = files.folder / box["workingDir"].lstrip("/")
                arguments = [files.inside(f"'{word}")[1:] for word in box["args"]]
                # Reads the configuration and every file it names.
                yield from said(pod, work, ["check"])
                # Reads the arguments.
                yield from said(pod, work, [*arguments, "--help"])
                for word in arguments:
                    if word.startswith("/") and not Path(word).exists():
                        yield f"{pod.name}: its arguments name {word.removeprefix(str(files.folder))}, which is not mounted"
        except (KeyError, FileNotFoundError) as error:
            yield f"{pod.name}: {error} is missing"


def said(pod, folder, arguments):
    done = subprocess.run(
        [program(), *arguments], cwd=folder, capture_output=True, text=True, env={"HOME": "/nonexistent"}
    )
    if done.returncode != 0:
        yield f"{pod.name}: `doorward {' '.join(arguments)}`: {(done.stderr or done.stdout).strip()}"
