//! Links between the pages: each leads to a file of the repository, and to a heading of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// README.md, CHANGELOG.md and every page below `docs`.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut pages, mut folders) =
        (vec![root.join("README.md"), root.join("CHANGELOG.md")], vec![root.join("docs")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn text(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The text without its code blocks.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The anchors of a page, as GitHub makes them of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The targets of links and pictures.
fn targets(text: &str) -> Vec<String> {
    let parts = text.split("](").skip(1);
    parts.filter_map(|part| part.split(')').next()).map(str::to_owned).collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut followed = 0;
    for page in pages() {
        for target in targets(&prose(&text(&page))) {
            if target.starts_with("http") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file =
                if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            assert!(file.exists(), "{}: `{target}` is not there", page.display());
            let is_there = anchor.is_empty() || anchors(&text(&file)).contains(anchor);
            assert!(is_there, "{}: `{target}` has no such heading", page.display());
            followed += 1;
        }
    }
    assert!(followed > 50, "only {followed} links");
}

#[test]
fn headings_become_anchors_as_on_github() {
    let anchors =
        anchors("# Cross-origin requests (CSRF)\n```sh\n# no heading\n```\n## Limits: `connections`, `x`\n");
    let expected = ["cross-origin-requests-csrf", "limits-connections-x"];
    assert_eq!(anchors.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// Paths of the repository in backticks, such as `src/gateway/response.rs`.
#[test]
fn every_named_path_of_the_repository_exists() {
    const FOLDERS: [&str; 7] = ["src/", "tests/", "benches/", "docs/", "k8s/", "packaging/", ".ci/"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for page in pages() {
        let text = prose(&text(&page));
        for path in text.split('`').skip(1).step_by(2) {
            if FOLDERS.iter().any(|folder| path.starts_with(folder)) && !path.contains([' ', '*', '{']) {
                assert!(root.join(path).exists(), "{}: `{path}` is not there", page.display());
                named += 1;
            }
        }
    }
    assert!(named > 30, "only {named} paths");
}
