//! Parser for the shipped alerts. The YAML file has a fixed layout with one key per line.

use std::collections::BTreeSet;

use crate::file;

/// The rules, as shipped.
pub(crate) const RULES: &str = "k8s/base/alerts.yaml";

/// One alert.
#[derive(Debug)]
pub(crate) struct Alert {
    pub(crate) name: String,
    /// Its lines, starting with its name.
    text: String,
}

impl Alert {
    /// Value of a key on one line.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let start = format!("{key}: ");
        self.text.lines().find_map(|line| line.trim_start().strip_prefix(start.as_str()))
    }
}

/// All alerts, in order.
pub(crate) fn alerts() -> Vec<Alert> {
    let text = file(RULES);
    let blocks = text.split("\n      - ").skip(1);
    let alert = |block: &str| {
        let (name, text) = block.strip_prefix("alert: ")?.split_once('\n')?;
        Some(Alert { name: name.to_owned(), text: text.to_owned() })
    };
    let found: Vec<Alert> = blocks.filter_map(alert).collect();
    assert_eq!(found.len(), text.matches("alert:").count(), "{RULES} is in another layout");
    found
}

/// Names of the recording rules.
pub(crate) fn recorded() -> BTreeSet<String> {
    let name = |line: &str| line.trim_start().strip_prefix("- record: ").map(str::to_owned);
    file(RULES).lines().filter_map(name).collect()
}

/// The rules with shortened durations: each `for` and window of hours becomes minutes, of minutes becomes seconds.
/// Nothing else changes.
pub(crate) fn hurried(rules: &str) -> String {
    let mut out = String::new();
    for line in rules.lines() {
        if let Some((before, duration)) =
            line.split_once("for: ").filter(|(before, _)| before.trim().is_empty())
        {
            out += &format!("{before}for: {}\n", sixtieth(duration));
            continue;
        }
        let mut rest = line;
        while let Some((before, (window, after))) =
            rest.split_once('[').and_then(|(before, tail)| Some((before, tail.split_once(']')?)))
        {
            out += &format!("{before}[{}]", sixtieth(window));
            rest = after;
        }
        out += rest;
        out.push('\n');
    }
    out
}

fn sixtieth(duration: &str) -> String {
    let (number, unit) = duration.split_at(duration.len() - 1);
    assert!(number.parse::<u32>().is_ok(), "`{duration}` is no duration in one unit");
    match unit {
        "h" => format!("{number}m"),
        "m" => format!("{number}s"),
        _ => panic!("a sixtieth of `{duration}` is too short"),
    }
}

#[test]
fn shortened_rule_differs_only_in_durations() {
    let rule = "        expr: rate(a_total{b=\"c\"}[5m]) > 14 * 86400 and rate(d[1h])\n        for: 10m\n";
    let hurried = hurried(rule);
    assert_eq!(
        hurried,
        "        expr: rate(a_total{b=\"c\"}[5s]) > 14 * 86400 and rate(d[1m])\n        for: 10s\n"
    );
}
