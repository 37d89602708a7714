"""gateway.toml against the manifests, the stores and doorward."""

import copy

import gateway
import k8s_check
from installation import quantity
from support import INSTALLATIONS, SECRETS, Case, box, pod, secrets_of, settings, spec


class Configuration(Case):
    def test_ports_hosts_and_networks_agree(self):
        self.assert_breaks(
            "single", "the pod's port `http` is 8080", lambda one: settings(one, "0.0.0.0:8080", "0.0.0.0:8081")
        )
        self.assert_breaks(
            "single", "cannot be reached from outside", lambda one: settings(one, "0.0.0.0:9900", "127.0.0.1:9900")
        )
        self.assert_breaks(
            "single",
            "what people reach has the admin port",
            lambda one: spec(one, "Service", "doorward")["ports"].append(
                {"name": "admin", "port": 9900, "targetPort": "admin"}
            ),
        )
        self.assert_breaks(
            "single",
            "server.public_urls for ['other.example.com']",
            lambda one: settings(one, "https://app.example.com", "https://other.example.com"),
        )
        self.assert_breaks(
            "single",
            "is not the first of server.public_urls",
            lambda one: settings(one, 'issuer = "https://app', 'issuer = "https://other'),
        )
        self.assert_breaks("single", "trusted_proxies is empty", lambda one: settings(one, '"10.0.0.0/8"', ""))
        self.assert_breaks(
            "single",
            "no network policy lets the gateways reach app.other.svc.cluster.local, port 8080",
            lambda one: settings(one, "app.app.svc", "app.other.svc"),
        )
        self.assert_breaks("single", "port 9999", lambda one: settings(one, "local:8080", "local:9999"))
        self.assert_breaks("single", "gateway.toml: ", lambda one: settings(one, "[server]", "[server"))

    def test_a_stop_has_the_time_it_needs(self):
        self.assert_breaks(
            "production",
            "terminationGracePeriodSeconds 46: a stop may take 46 s",
            lambda one: pod(one).update(terminationGracePeriodSeconds=46),
        )
        self.assertEqual(self.broken("production", lambda one: pod(one).update(terminationGracePeriodSeconds=47)), [])
        self.assert_breaks(
            "production",
            "a stop may take 10m".replace("10m", "616 s"),
            lambda one: settings(one, 'drain_timeout = "30s"', 'drain_timeout = "10m"'),
        )
        self.assert_breaks(
            "production",
            "before the readinessProbe has failed",
            lambda one: settings(one, 'lameduck = "15s"', 'lameduck = "3s"'),
        )

    def test_sizes_fit(self):
        self.assert_breaks(
            "production",
            "5000 connections may take",
            lambda one: settings(one, "connections = 3000", "connections = 5000"),
        )
        self.assert_breaks("production", "may take", lambda one: box(one)["resources"]["limits"].update(memory="512Mi"))
        self.assert_breaks("production", "one for each core", lambda one: settings(one, "threads = 2", ""))
        self.assert_breaks(
            "production", "max_connections is 200", lambda one: settings(one, "pool_size = 8", "pool_size = 20")
        )
        self.assert_breaks(
            "production",
            "may need 389 connections",
            lambda one: spec(one, "HorizontalPodAutoscaler", "doorward").update(maxReplicas=40),
        )
        self.assert_breaks(
            "production",
            "nearly full",
            lambda one: spec(one, "HorizontalPodAutoscaler", "doorward")["metrics"][1]["pods"]["target"].update(
                averageValue="2k"
            ),
        )
        self.assert_breaks(
            "production",
            "MAXMEMORY is more than half",
            lambda one: box(one, "StatefulSet", "doorward-redis")["resources"]["limits"].update(memory="300Mi"),
        )
        self.assertEqual([quantity(text) for text in ("500m", 2, "1Ki", "2k")], [0.5, 2, 1024, 2000])

    def test_embedded_stores_are_for_one(self):
        self.assert_breaks(
            "single",
            "embedded stores are for one gateway",
            lambda one: spec(one, "Deployment", "doorward").update(replicas=2),
        )
        self.assert_breaks(
            "single",
            "would open one database",
            lambda one: spec(one, "Deployment", "doorward").update(strategy={"type": "RollingUpdate"}),
        )
        self.assert_breaks(
            "production",
            "takes a gateway away",
            lambda one: spec(one, "Deployment", "doorward")["strategy"]["rollingUpdate"].update(maxUnavailable=1),
        )
        self.assert_breaks(
            "production",
            "fewer than three",
            lambda one: spec(one, "HorizontalPodAutoscaler", "doorward").update(minReplicas=2),
        )

    def test_the_stores_of_the_secrets_are_those_of_the_manifests(self):
        def secrets(name, key, old, new):
            changed = copy.deepcopy(SECRETS)
            self.assertIn(old, changed[name]["values"][key])
            changed[name]["values"][key] = changed[name]["values"][key].replace(old, new)
            return changed

        for complaint, changed in [
            ("proves each lease with a write", secrets("doorward-stores", "vault.url", b",doorward-db-r/", b"/")),
            ("proves each lease with a write", secrets("doorward-stores", "vault.url", b"doorward-db-rw", b"other-rw")),
            ("makes doorward and doorward", secrets("doorward-stores", "vault.url", b"/doorward", b"/other")),
            ("another user or password", secrets("doorward-db-owner", "username", b"doorward", b"other")),
            (
                "name the 3 Sentinels",
                secrets("doorward-stores", "sessions.url", b"doorward-redis-2.", b"doorward-redis-3."),
            ),
            (
                "another password",
                secrets("doorward-redis", "password", SECRETS["doorward-redis"]["values"]["password"], b"x"),
            ),
        ]:
            with self.subTest(complaint):
                self.assert_breaks("production", complaint, lambda one: None, changed)
        self.assert_breaks(
            "production",
            "a failover could forget",
            lambda one: spec(one, "Cluster", "doorward-db")["postgresql"]["synchronous"].update(
                dataDurability="preferred"
            ),
        )
        self.assert_breaks(
            "production", "an odd number", lambda one: spec(one, "StatefulSet", "doorward-redis").update(replicas=2)
        )

    def test_doorward_itself_is_asked(self):
        for complaint, name, breaks in [
            ("unknown key", "production", lambda one: settings(one, "lameduck =", "lameducks =")),
            ("server.lameduck", "single", lambda one: settings(one, 'lameduck = "5s"', 'lameduck = "5 minutes"')),
            ("postgres-ca.crt", "production", lambda one: secrets_of(one)["sources"].pop(2)),
            ("admin.token", "production", lambda one: secrets_of(one)["sources"].pop(3)),
            ("master.key", "production", lambda one: secrets_of(one)["sources"].pop(0)),
            ("is missing", "single", lambda one: one.objects.remove(one.one("ConfigMap", "doorward-config"))),
            (
                "unexpected argument",
                "first-admin",
                lambda one: box(one, "Job", "doorward-first-admin")["args"].insert(3, "--rolle"),
            ),
            (
                "which is not mounted",
                "first-admin",
                lambda one: box(one, "Job", "doorward-first-admin")["args"].__setitem__(
                    -1, "/run/secrets/first-admin/word"
                ),
            ),
        ]:
            with self.subTest(complaint):
                changed = copy.deepcopy(INSTALLATIONS[name])
                breaks(changed)
                shared = k8s_check.beside(name, INSTALLATIONS)
                if complaint == "is missing":
                    self.assertTrue(list(gateway.accepted(changed, SECRETS, shared)))
                else:
                    self.assert_finds(gateway.accepted(changed, SECRETS, shared), complaint)
