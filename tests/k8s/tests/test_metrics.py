"""Alerts and dashboard against the metrics there are."""

import metrics
from support import Case


class Metrics(Case):
    TABLE = "\n".join(f"| `doorward_m{'x' * n}` | counter | | x |" for n in range(45)) + (
        "\n| `doorward_ready` | gauge | | x |\n| `doorward_wait_seconds` | histogram | `upstream` | x |\n| `process_*` | | | x |\n"
    )

    def of(self, expression, query="doorward_ready"):
        alerts = f"groups:\n  - name: x\n    rules:\n      - alert: A\n        expr: '{expression}'\n"
        dashboard = '{"panels": [{"title": "P", "targets": [{"expr": "%s"}]}]}' % query
        return list(metrics.problems(alerts, metrics.rule_of(alerts), dashboard, self.TABLE))

    def test_only_metrics_that_exist_are_read(self):
        good = 'histogram_quantile(0.9, sum by (le) (rate(doorward_wait_seconds_bucket{upstream="a"}[5m]))) > 1 and up == 1 or process_open_fds > 9'
        self.assertEqual(self.of(good, "rate(doorward_wait_seconds_count[$__rate_interval])"), [])
        self.assert_finds(self.of("doorward_redy == 0"), "A: docs/metrics.md has no `doorward_redy`")
        self.assert_finds(self.of("rate(doorward_wait_seconds[5m]) > 1"), "has no `doorward_wait_seconds`")
        self.assert_finds(self.of("doorward_ready_count > 1"), "has no `doorward_ready_count`")
        self.assert_finds(self.of('doorward_ready{user="a"} == 0'), "gives `doorward_ready` no label user")
        self.assert_finds(self.of("rate(doorward_ready) > 1"), "expected type")
        self.assert_finds(self.of("1 > bool 2"), "reads no metric")
        self.assert_finds(
            self.of("up == 0", "doorward_gone"), "dashboard.json: P: docs/metrics.md has no `doorward_gone`"
        )

    def test_the_rule_is_the_alerts(self):
        alerts = metrics.read(metrics.ALERTS)
        self.assertEqual(metrics.rule_of(alerts), metrics.read(metrics.RULE))
        changed = metrics.read(metrics.RULE).replace("severity: page", "severity: ticket", 1)
        found = metrics.problems(alerts, changed, metrics.read(metrics.DASHBOARD), metrics.read("docs/metrics.md"))
        self.assert_finds(found, "run `make k8s-rule`")
