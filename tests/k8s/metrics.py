"""Alerts and dashboard against docs/metrics.md: a metric that does not exist never fires, and nobody sees it."""

import json
import re

import promql_parser
import yaml

from installation import ROOT

ALERTS, RULE, DASHBOARD = "k8s/base/alerts.yaml", "k8s/base/prometheus-rule.yaml", "k8s/base/dashboard.json"

HEAD = """\
# Made of alerts.yaml by `make k8s-rule`: change that.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: doorward
  labels:
    app.kubernetes.io/name: doorward
spec:
"""


def rule_of(alerts):
    """prometheus-rule.yaml, of the text of alerts.yaml: the same lines below `spec`, without the comments on top."""
    body = alerts[re.search(r"^groups:", alerts, re.MULTILINE).start() :]
    return HEAD + "".join(f"  {line}\n" if line else "\n" for line in body.splitlines())


def documented(text):
    """Metric to its kind and labels, of the tables of docs/metrics.md."""
    rows = re.findall(r"^\| `([a-z_*]+)` \| ?([a-z]*) ?\|([^|]*)\|", text, re.MULTILINE)
    return {name: (kind, set(re.findall(r"`([a-z_]+)`", labels))) for name, kind, labels in rows}


# Labels that Prometheus and Kubernetes add to every metric.
ANYWHERE = {"job", "instance", "namespace", "pod", "le"}


def known(name, metrics, recorded):
    """The labels of a metric that exists, or None."""
    if name in recorded or name == "up" or name.startswith("process_") and "process_*" in metrics:
        return ANYWHERE
    kind, labels = metrics.get(name, (None, set()))
    if kind is None:
        kind, labels = metrics.get(re.sub(r"_(bucket|sum|count)$", "", name), (None, set()))
        return labels | ANYWHERE if kind == "histogram" else None
    return None if kind == "histogram" else labels | ANYWHERE


def selectors(text):
    """Metrics of an expression, each with its required labels."""
    found = []

    def visit(node):
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, {matcher.name for matcher in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(text), visit)
    return found


def problems(alerts, rule, dashboard, page):
    metrics = documented(page)
    if len(metrics) < 40:
        yield f"docs/metrics.md: only {len(metrics)} metrics are found in its tables"
    groups = yaml.safe_load(alerts)["groups"]
    if yaml.safe_load(rule).get("spec") != yaml.safe_load(alerts):
        yield f"{RULE} is not what {ALERTS} says: run `make k8s-rule`"
    rules = [one for group in groups for one in group["rules"]]
    recorded = {one["record"] for one in rules if "record" in one}
    for one in rules:
        yield from expression(f"{ALERTS}: {one.get('alert') or one['record']}", one["expr"], metrics, recorded)
    for panel, text in queries(json.loads(dashboard)):
        # Grafana's variables are no PromQL.
        text = re.sub(
            r"\$\{?__(rate_)?(interval|range)\}?|\[\$\w+\]",
            lambda found: "[5m]" if found[0].startswith("[") else "5m",
            text,
        )
        text = re.sub(r"\$\{?\w+(:\w+)?\}?", "x", text)
        yield from expression(f"{DASHBOARD}: {panel}", text, metrics, recorded)


def expression(where, text, metrics, recorded):
    try:
        found = selectors(text)
    except ValueError as error:
        yield f"{where}: {error}: {text}"
        return
    if not found:
        yield f"{where}: reads no metric: {text}"
    for name, labels in found:
        there = known(name, metrics, recorded)
        if there is None:
            yield f"{where}: docs/metrics.md has no `{name}`"
        elif name not in recorded and labels - there:
            yield f"{where}: docs/metrics.md gives `{name}` no label {', '.join(sorted(labels - there))}"


def queries(item, panel="?"):
    """Every query of a dashboard, with the panel it is in."""
    if isinstance(item, dict):
        panel = item.get("title", panel)
        if isinstance(item.get("expr"), str):
            yield panel, item["expr"]
        for value in item.values():
            yield from queries(value, panel)
    elif isinstance(item, list):
        for value in item:
            yield from queries(value, panel)


def read(path):
    return (ROOT / path).read_text()
