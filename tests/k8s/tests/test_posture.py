"""Security rules for every pod."""

from support import Case, box, pod, secrets_of


class Posture(Case):
    def test_every_privilege_is_noticed(self):
        for complaint, breaks in [
            ("readOnlyRootFilesystem", lambda one: box(one)["securityContext"].pop("readOnlyRootFilesystem")),
            ("allowPrivilegeEscalation", lambda one: box(one)["securityContext"].update(allowPrivilegeEscalation=True)),
            (
                "drop all capabilities",
                lambda one: box(one)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
            ),
            ("is privileged", lambda one: box(one)["securityContext"].update(privileged=True)),
            ("hostNetwork", lambda one: pod(one).update(hostNetwork=True)),
            (
                "a folder of the node",
                lambda one: pod(one)["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
            ),
            ("a token for Kubernetes", lambda one: pod(one).pop("automountServiceAccountToken")),
            ("enableServiceLinks", lambda one: pod(one).pop("enableServiceLinks")),
            ("runAsNonRoot", lambda one: pod(one)["securityContext"].pop("runAsNonRoot")),
            ("seccompProfile", lambda one: pod(one)["securityContext"].pop("seccompProfile")),
            ("defaultMode 0440", lambda one: secrets_of(one).update(defaultMode=0o444)),
            ("requests no cpu", lambda one: box(one)["resources"]["requests"].pop("cpu")),
            ("has no limit of memory", lambda one: box(one)["resources"].pop("limits")),
            ("is not pinned", lambda one: box(one).update(image="registry.example.com/doorward:latest")),
            ("is not pinned", lambda one: box(one).update(image="registry.example.com:5000/doorward")),
            ("has no livenessProbe", lambda one: box(one).pop("livenessProbe")),
            ("livenessProbe asks for /readyz", lambda one: box(one)["livenessProbe"]["httpGet"].update(path="/readyz")),
            ("restricted profile", lambda one: one.one("Namespace", "doorward")["metadata"].pop("labels")),
            (
                "a secret is never in a file",
                lambda one: one.objects.append(
                    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {}}
                ),
            ),
            (
                "needs rights in Kubernetes",
                lambda one: one.objects.append(
                    {
                        "apiVersion": "rbac.authorization.k8s.io/v1",
                        "kind": "Role",
                        "metadata": {"name": "x"},
                        "rules": [],
                    }
                ),
            ),
            (
                "cannot note down",
                lambda one: one.one("ConfigMap", "doorward-dashboard")["data"].update(x="x" * 300_000),
            ),
        ]:
            with self.subTest(complaint):
                self.assert_breaks("production", complaint, breaks)
