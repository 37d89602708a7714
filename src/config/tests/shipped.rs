//! The shipped `gateway.toml` against the code.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::*;

const SHIPPED: &str = include_str!("../../../gateway.toml");
const EXAMPLE: &str = "#[upstreams.app]";

/// The shipped file with every line live that has no space after its `#`.
fn uncommented(text: &str) -> String {
    let live = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(live).collect::<Vec<_>>().join("\n")
}

/// Every key below `table`, with `*` for the names of upstreams and the indices of routes.
fn collect(table: &DeTable<'_>, parent: &str, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        let name = if parent == "upstreams" { "*" } else { name.get_ref() };
        let key = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
        match value.get_ref() {
            DeValue::Table(table) => collect(table, &key, keys),
            DeValue::Array(items) => {
                for table in items.iter().filter_map(|item| item.get_ref().as_table()) {
                    collect(table, &format!("{key}.*"), keys);
                }
            }
            _ => {}
        }
        keys.insert(key);
    }
}

#[test]
fn the_shipped_file_sets_everything_to_its_default() {
    assert_eq!(good(SHIPPED), good(""));
}

#[test]
fn the_shipped_file_shows_every_key_the_reader_knows() {
    let (settings, example) = SHIPPED.split_once(EXAMPLE).unwrap();
    let live = format!("{settings}{}", uncommented(&format!("{EXAMPLE}{example}")));
    let (config, known) = read(&live, Path::new("gateway.toml"), &environment, &mut Sources::default());
    assert!(config.is_ok(), "{config:?}");

    let mut shown = BTreeSet::new();
    collect(DeTable::parse(&uncommented(SHIPPED)).unwrap().get_ref(), "", &mut shown);
    assert!(known.len() > 50, "{known:?}");
    assert_eq!(known, shown);
}

#[test]
fn the_settings_of_the_shipped_file_are_live() {
    let mut shown = BTreeSet::new();
    collect(DeTable::parse(SHIPPED).unwrap().get_ref(), "", &mut shown);
    let (_, known) = read("", Path::new("gateway.toml"), &environment, &mut Sources::default());
    let absent: Vec<&String> = known.difference(&shown).collect();
    assert_eq!(
        absent,
        [
            "brand.css_file",
            "brand.logo_file",
            "browser.cookie_domain",
            "routes",
            "sessions.ca_file",
            "sessions.url_env",
            "sessions.url_file",
            "upstreams",
            "vault.ca_file",
            "vault.master_key",
            "vault.master_key_env",
            "vault.url_env",
            "vault.url_file",
        ]
    );
}

#[test]
fn the_example_of_the_shipped_file_works_once_uncommented() {
    let (settings, example) = SHIPPED.split_once(EXAMPLE).unwrap();
    let config = good(&format!("{settings}{}", uncommented(&format!("{EXAMPLE}{example}"))));
    let plain = good(&format!("{APP}{ROUTE}"));
    assert_eq!(config.upstreams, plain.upstreams);
    assert_eq!(config.routes[0], plain.routes[0]);
    assert_eq!(config.routes[1].access, Access::Roles(Roles::parse(["admin"]).unwrap()));
    assert_eq!(Config { upstreams: Vec::new(), routes: Vec::new(), ..config }, good(""));
}
