"""Schemas and references between objects."""

from installation import matches
from support import INSTALLATIONS, Case, box, pod, policy, secrets_of, spec


class Schemas(Case):
    def test_a_field_that_kubernetes_does_not_know(self):
        self.assert_breaks("single", "replica", lambda one: spec(one, "Deployment", "doorward").update(replica=1))
        self.assert_breaks(
            "production",
            "'three' is not of type 'integer'",
            lambda one: spec(one, "HorizontalPodAutoscaler", "doorward").update(minReplicas="three"),
        )
        self.assert_breaks(
            "single",
            "Kubernetes 1.29 has no Deployment in apps/v2",
            lambda one: one.one("Deployment", "doorward").update(apiVersion="apps/v2"),
        )

    def test_a_field_that_an_operator_does_not_know(self):
        self.assert_breaks(
            "production",
            "'scrapeInterval' was unexpected",
            lambda one: spec(one, "ServiceMonitor", "doorward")["endpoints"][0].update(scrapeInterval="1s"),
        )
        self.assert_breaks(
            "production",
            "'severity' is a required property",
            lambda one: spec(one, "PrometheusRule", "doorward")["groups"][1]["rules"][0]["labels"].clear(),
        )
        self.assert_breaks(
            "production",
            "'most' is not one of",
            lambda one: spec(one, "Cluster", "doorward-db")["postgresql"]["synchronous"].update(method="most"),
        )


class References(Case):
    def test_secrets_and_configurations_that_nobody_makes(self):
        def source(one):
            return secrets_of(one)["sources"][0]["secret"]

        self.assert_breaks("production", "nobody makes a Secret `other`", lambda one: source(one).update(name="other"))
        self.assert_breaks(
            "production",
            "Secret `doorward-keys` has no `key`, only master.key",
            lambda one: source(one)["items"][0].update(key="key"),
        )
        self.assert_breaks(
            "production", "all of Secret `doorward-keys` is mounted", lambda one: source(one).pop("items")
        )
        self.assert_breaks(
            "production",
            "mounts the private key `ca.key`",
            lambda one: secrets_of(one)["sources"][2]["secret"]["items"][0].update(key="ca.key"),
        )
        self.assert_breaks(
            "single",
            "there is no ConfigMap `other`",
            lambda one: next(volume for volume in pod(one)["volumes"] if volume["name"] == "config")[
                "configMap"
            ].update(name="other"),
        )
        self.assert_breaks(
            "single",
            "nobody makes a certificate `other`",
            lambda one: spec(one, "Ingress", "doorward")["tls"][0].update(secretName="other"),
        )
        self.assert_breaks(
            "single",
            "there is no PersistentVolumeClaim",
            lambda one: one.objects.remove(one.one("PersistentVolumeClaim", "doorward-vault")),
        )
        self.assert_breaks(
            "first-admin",
            "there is no ServiceAccount `other`",
            lambda one: pod(one, "Job", "doorward-first-admin").update(serviceAccountName="other"),
        )
        self.assert_breaks(
            "single", "mounted by subPath", lambda one: box(one)["volumeMounts"][0].update(subPath="gateway.toml")
        )
        self.assert_breaks(
            "single",
            "puts a secret into the environment",
            lambda one: box(one).update(
                env=[{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "doorward-keys", "key": "master.key"}}}]
            ),
        )

    def test_ports_that_nothing_has(self):
        self.assert_breaks(
            "single",
            "readinessProbe asks at a port `health`",
            lambda one: box(one)["readinessProbe"]["httpGet"].update(port="health"),
        )
        self.assert_breaks(
            "single",
            "Service doorward: Deployment doorward has no port `web`",
            lambda one: spec(one, "Service", "doorward")["ports"][0].update(targetPort="web"),
        )
        self.assert_breaks(
            "single",
            "there is no Service `doorward` with port {'name': 'web'}",
            lambda one: spec(one, "Ingress", "doorward")["rules"][0]["http"]["paths"][0]["backend"]["service"].update(
                port={"name": "web"}
            ),
        )
        self.assert_breaks(
            "production",
            "Service doorward-admin has no port `metrics`",
            lambda one: spec(one, "ServiceMonitor", "doorward")["endpoints"][0].update(port="metrics"),
        )
        self.assert_breaks(
            "production",
            "ServiceMonitor doorward: selects 0 Services",
            lambda one: spec(one, "ServiceMonitor", "doorward")["selector"]["matchLabels"].update(other="x"),
        )
        self.assert_breaks(
            "single",
            "has no port `https`",
            lambda one: policy(one, "doorward")["ingress"][0]["ports"][0].update(port="https"),
        )
        self.assert_breaks(
            "production",
            "StatefulSet doorward-redis has no port `6380`",
            lambda one: policy(one, "doorward-sessions")["egress"][0]["ports"][0].update(port=6380),
        )

    def test_selectors_that_match_nothing(self):
        self.assert_breaks(
            "single",
            "its selector does not match its own pods",
            lambda one: spec(one, "Deployment", "doorward")["selector"]["matchLabels"].update(other="x"),
        )
        self.assert_breaks(
            "single",
            "Service doorward: selects no pod",
            lambda one: spec(one, "Service", "doorward")["selector"].update(other="x"),
        )
        self.assert_breaks(
            "production",
            "selects 0 kinds of pods",
            lambda one: spec(one, "PodDisruptionBudget", "doorward")["selector"]["matchLabels"].update(other="x"),
        )
        self.assert_breaks(
            "production",
            "is about no pod",
            lambda one: policy(one, "doorward-redis")["podSelector"]["matchLabels"].update(other="x"),
        )
        self.assert_breaks(
            "production",
            "counts other pods than its own",
            lambda one: pod(one)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].update(other="x"),
        )

    def test_ways_that_are_open_on_one_side_only_or_too_wide(self):
        self.assert_breaks(
            "production",
            "NetworkPolicy: Deployment doorward may go to StatefulSet doorward-redis, port 6379, and is not let in",
            lambda one: policy(one, "doorward-redis")["ingress"][0]["from"].pop(0),
        )
        self.assert_breaks(
            "production",
            "lets Deployment doorward in at port 5432, which may not go there",
            lambda one: policy(one, "doorward-vault")["egress"].clear(),
        )
        self.assert_breaks("single", "lets everybody in", lambda one: policy(one, "doorward")["ingress"][0].pop("from"))
        self.assert_breaks(
            "single",
            "lets every namespace",
            lambda one: policy(one, "doorward")["ingress"][0]["from"][0].update(namespaceSelector={}),
        )
        self.assert_breaks(
            "single",
            "nothing denies what is not allowed",
            lambda one: one.objects.remove(one.one("NetworkPolicy", "default-deny")),
        )

    def test_the_job_of_the_first_admin_may_reach_the_vault_and_gets_no_traffic(self):
        [job] = INSTALLATIONS["first-admin"].pods()
        production = INSTALLATIONS["production"]
        reached = {
            port["port"]
            for item in production.kind("NetworkPolicy")
            if matches(item["spec"]["podSelector"], job.labels)
            for rule in item["spec"].get("egress", [])
            for port in rule["ports"]
        }
        self.assertEqual(reached, {53, 5432})
        into = [
            item["metadata"]["name"]
            for item in production.kind("NetworkPolicy")
            if matches(item["spec"]["podSelector"], job.labels) and item["spec"].get("ingress")
        ]
        services = [
            item
            for item in production.kind("Service")
            if matches({"matchLabels": item["spec"]["selector"]}, job.labels)
        ]
        self.assertEqual((into, services), ([], []))

    def test_an_autoscaler_and_replicas_do_not_quarrel(self):
        self.assert_breaks(
            "production", "sets replicas", lambda one: spec(one, "Deployment", "doorward").update(replicas=3)
        )
        self.assert_breaks(
            "production",
            "there is no Deployment `other`",
            lambda one: spec(one, "HorizontalPodAutoscaler", "doorward")["scaleTargetRef"].update(name="other"),
        )
