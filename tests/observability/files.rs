//! Consistency of the alerts, their tests, the runbook, the dashboard and the metrics page.

use std::collections::{BTreeMap, BTreeSet};

use crate::file;
use crate::rules::{self, RULES, alerts};

/// Files written for the people on call.
const TESTS: &str = "tests/prometheus/alerts_test.yaml";
const RUNBOOK: &str = "docs/runbook.md";
const METRICS: &str = "docs/metrics.md";

fn names() -> BTreeSet<String> {
    alerts().into_iter().map(|alert| alert.name).collect()
}

/// All metrics of the page, with the series names Prometheus derives from them.
fn metrics() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for row in file(METRICS).lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, rest) = row.split_once('`').expect("a name ends");
        known.insert(name.to_owned());
        if rest.starts_with(" | histogram") {
            known.extend(["bucket", "count", "sum"].map(|part| format!("{name}_{part}")));
        }
    }
    assert!(known.len() > 50, "{METRICS} is in another layout");
    known
}

/// Metrics of doorward named in a text.
fn named(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let recorded = rules::recorded();
    let words = text.split(|c| !part(c)).map(|word| word.trim_end_matches(':'));
    let ours = words.filter(|word| word.contains("doorward_") && !recorded.contains(*word));
    ours.map(str::to_owned).collect()
}

#[test]
fn every_alert_names_its_severity_and_runbook() {
    for alert in alerts() {
        let name = &alert.name;
        assert!(matches!(alert.value("severity"), Some("page" | "ticket")), "{name}: `page` or `ticket`?");
        for words in ["summary", "description"] {
            assert!(
                alert.value(words).is_some(),
                "{name}: say in a person's words, in `{words}`, what is wrong"
            );
        }
        let url = format!("{RUNBOOK}#{}", name.to_lowercase());
        assert_eq!(alert.value("runbook_url"), Some(url.as_str()), "{name}");
    }
}

#[test]
fn alerts_and_runbook_entries_match() {
    let runbook = file(RUNBOOK);
    let entries: Vec<(&str, &str)> =
        runbook.split("\n## ").skip(1).filter_map(|entry| entry.split_once('\n')).collect();
    let headings: BTreeSet<String> = entries.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(headings, names());
    assert_eq!(headings.len(), entries.len(), "an entry is there twice");
    for alert in alerts() {
        let (_, entry) = entries.iter().find(|(name, _)| *name == alert.name).expect("compared above");
        let severity = format!("\n*{}.* ", alert.value("severity").unwrap_or_default());
        assert!(entry.starts_with(&severity), "{RUNBOOK}: {} does not begin with `{severity}`", alert.name);
        for part in ["Users", "Look", "Do", "Escalate"] {
            assert!(entry.contains(&format!("\n- **{part}**: ")), "{RUNBOOK}: {} has no {part}", alert.name);
        }
    }
}

#[test]
fn every_alert_is_tested_firing_and_not_firing() {
    let mut tested: BTreeMap<String, [u32; 2]> = BTreeMap::new();
    let text = file(TESTS);
    for case in text.split("- alertname: ").skip(1) {
        let name = case.lines().next().unwrap_or_default().to_owned();
        let expected = case.lines().find_map(|line| line.trim_start().strip_prefix("exp_alerts:"));
        let silent = expected.expect("a case says what it expects").trim() == "[]";
        tested.entry(name).or_default()[usize::from(silent)] += 1;
    }
    assert_eq!(tested.keys().cloned().collect::<BTreeSet<_>>(), names());
    for (name, [fires, silent]) in tested {
        assert!(
            fires >= 1 && silent >= 2,
            "{TESTS}: {name} fires {fires} times and is silent {silent} times"
        );
    }
    // No alert fires on an idle system, where all series exist.
    let rest = text.split("\n  - name: ").find(|group| group.starts_with("'nothing: a system at rest'"));
    let there = named(rest.expect("a system at rest"));
    let used = named(&file(RULES));
    let missing: Vec<_> = used.difference(&there).collect();
    assert!(missing.is_empty(), "{TESTS}: the system at rest has no {missing:?}");
}

#[test]
fn every_used_metric_is_documented() {
    let known = metrics();
    for name in [RULES, TESTS, RUNBOOK, "k8s/base/dashboard.json"] {
        let named = named(&file(name));
        assert!(named.len() > 20, "{name}: {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{name} names what {METRICS} does not have: {unknown:?}");
    }
}
