//! Measurements in README.md and docs/benchmarks.md against the last published run.

use std::collections::BTreeSet;

use serde_json::Value;

use super::root;

fn table(text: &str, first: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| !line.starts_with(first));
    lines.take_while(|line| line.starts_with('|')).map(str::to_owned).collect()
}

#[test]
fn readme_shows_the_ratios_of_the_last_published_run() {
    let published = root("docs/bench/compare.md");
    let claims = table(&published, "| ratio, round by round");
    assert!(claims.len() > 5, "docs/bench/compare.md has no promises: `make bench`");
    assert_eq!(table(&root("README.md"), "| ratio, round by round"), claims);
    let about = published.lines().next().unwrap_or_default();
    assert!(root("README.md").contains(about), "README.md does not say when, with what and where: {about}");
}

/// Compares the ratios in the table with those of all rounds.
#[test]
fn published_ratios_match_the_raw_data() {
    let raw: Value = serde_json::from_str(&root("docs/bench/compare.json")).expect("JSON");
    let groups = raw["groups"].as_array().expect("groups");
    let base = groups.iter().find(|group| group["group"] == "base").expect("the base group");
    let rounds = |name: &str| -> Vec<f64> {
        let cell = base["cells"].as_array().expect("cells").iter().find(|cell| cell["contender"] == name);
        let runs = cell.unwrap_or_else(|| panic!("{name} was not measured"))["saturated"].as_array();
        let cost = |run: &Value| -> f64 {
            assert_eq!(run["errors"], 0.0, "{name}");
            run["cpu_us"].as_object().expect("costs").values().filter_map(Value::as_f64).sum()
        };
        runs.expect("runs").iter().map(cost).collect()
    };
    let claims = table(&root("docs/bench/compare.md"), "| ratio, round by round");
    for (what, of, against) in [
        ("confirmed locally / public route", "Local", "Public"),
        ("confirmed locally / nginx + Lua", "Local", "NginxLua"),
        ("Redis every time / nginx + Lua", "Fresh", "NginxLua"),
        ("confirmed locally / HAProxy jwt_verify HS256", "Local", "HaproxyHs256"),
    ] {
        let mut ratios: Vec<f64> =
            rounds(of).iter().zip(rounds(against)).map(|(of, other)| of / other).collect();
        ratios.sort_by(f64::total_cmp);
        assert!(ratios.len() >= 5, "{} rounds are too few", ratios.len());
        let middle = format!("**{:.3}**", ratios[ratios.len() / 2]);
        let row = claims.iter().find(|row| row.contains(what) && row.contains("CPU"));
        assert!(row.is_some_and(|row| row.contains(&middle)), "{what}: {middle}, not {row:?}");
    }
}

#[test]
fn every_contender_is_in_the_published_results() {
    let raw: Value = serde_json::from_str(&root("docs/bench/compare.json")).expect("JSON");
    let groups = raw["groups"].as_array().expect("groups").iter();
    let cells = groups.flat_map(|group| group["cells"].as_array().expect("cells"));
    let titles: BTreeSet<&str> = cells.filter_map(|cell| cell["title"].as_str()).collect();
    assert!(titles.len() >= 13, "{titles:?}");
    let published = root("docs/bench/compare.md");
    for title in titles {
        assert!(published.contains(title), "docs/bench/compare.md does not have `{title}`");
    }
    let page = root("docs/benchmarks.md");
    for folder in ["benches/compare/contenders", "docs/bench"] {
        assert!(page.contains(folder), "docs/benchmarks.md does not name {folder}");
    }
}
