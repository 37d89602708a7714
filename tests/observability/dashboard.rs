//! The shipped dashboard: its queries and its readability.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::file;

const DASHBOARD: &str = "k8s/base/dashboard.json";

/// One query of a panel.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) panel: String,
    pub(crate) query: String,
}

fn dashboard() -> Value {
    serde_json::from_str(&file(DASHBOARD)).unwrap_or_else(|error| panic!("{DASHBOARD}: {error}"))
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    let all = dashboard["panels"].as_array().expect("panels");
    all.iter().filter(|panel| panel["type"] != "row").collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{DASHBOARD}: no `{name}` in {value}"))
}

/// All queries, with every gateway of the job selected and this window for rates.
pub(crate) fn questions(job: &str, rate_interval: &str) -> Vec<Question> {
    let dashboard = dashboard();
    let mut questions = Vec::new();
    for panel in panels(&dashboard) {
        for target in panel["targets"].as_array().expect("a panel has targets") {
            let query = text(target, "expr")
                .replace("$job", job)
                .replace("$instance", ".*")
                .replace("$__rate_interval", rate_interval);
            assert!(!query.contains('$'), "{DASHBOARD}: unknown variable: {query}");
            questions.push(Question { panel: text(panel, "title").to_owned(), query });
        }
    }
    questions
}

#[test]
fn every_dashboard_panel_has_title_unit_and_description() {
    let dashboard = dashboard();
    let panels = panels(&dashboard);
    assert!((25..=35).contains(&panels.len()), "{} panels", panels.len());
    for panel in &panels {
        let (title, description) = (text(panel, "title"), text(panel, "description"));
        assert!(!title.is_empty() && !description.is_empty(), "{panel}");
        assert!(!description.contains('\n') && description.len() <= 160, "{title}: say it in one line");
        assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "{title} has no unit");
        assert_eq!(text(&panel["datasource"], "uid"), "${datasource}", "{title}");
        for target in panel["targets"].as_array().expect("a panel has targets") {
            assert_eq!(text(&target["datasource"], "uid"), "${datasource}", "{title}");
            let query = text(target, "expr");
            assert!(query.contains("instance=~\"$instance\""), "{title} must filter by instance: {query}");
        }
    }
    let titles: BTreeSet<&str> = panels.iter().map(|panel| text(panel, "title")).collect();
    assert_eq!(titles.len(), panels.len(), "two panels have the same title");
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let names: Vec<&str> = variables.iter().map(|variable| text(variable, "name")).collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
}

#[test]
fn dashboard_panels_do_not_overlap() {
    let dashboard = dashboard();
    let mut covered = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let grid = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        for x in grid("x")..grid("x") + grid("w") {
            assert!(x < 24, "{} is too wide", panel["title"]);
            for y in grid("y")..grid("y") + grid("h") {
                assert!(covered.insert((x, y)), "{} overlaps another panel", panel["title"]);
            }
        }
    }
}
