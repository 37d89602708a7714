//! The configurations of `docs/recipes` against the program's own check.

use std::path::Path;
use std::process::Command;

use crate::readme::Readme;
use crate::{root, tls};

/// The first line of a block that is a whole `gateway.toml`.
const WHOLE: &str = "# gateway.toml";

/// Pages of the recipes.
fn pages() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes");
    let entries = std::fs::read_dir(folder).expect("docs/recipes");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut pages: Vec<String> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/recipes/{name}")).collect();
    pages.sort();
    pages
}

#[test]
fn check_accepts_every_recipe_without_warning() {
    let mut checked = 0;
    for page in pages() {
        for block in Readme::parse(&root(&page)).blocks("toml") {
            if !block.starts_with(WHOLE) {
                continue;
            }
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::create_dir(folder.path().join("tls")).expect("a folder");
            tls::make(&folder.path().join("tls"), "app", &["app.example.com", "*.example.com"]);
            let file = folder.path().join("gateway.toml");
            std::fs::write(&file, &block).expect("written");
            let mut check = Command::new(env!("CARGO_BIN_EXE_doorward"));
            let output = check.args(["--config"]).arg(&file).arg("check").output().expect("it runs");
            let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{page}:\n{printed}\n{block}");
            assert!(!printed.contains("warning:"), "{page}:\n{printed}\n{block}");
            checked += 1;
        }
    }
    assert!(checked > 12, "only {checked} configurations in docs/recipes begin with `{WHOLE}`");
}

#[test]
fn every_page_of_the_recipes_is_in_their_index() {
    let index = root("docs/recipes/README.md");
    for page in pages() {
        let name = page.trim_start_matches("docs/recipes/");
        assert!(
            name == "README.md" || index.contains(&format!("({name}")),
            "the index does not link to {name}"
        );
    }
}
