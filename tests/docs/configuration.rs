//! `docs/configuration.md`, generated from the shipped `gateway.toml`. Tests of `src/config` compare that file with the defaults
//! and with the keys that are read, so the page is true to the code.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const HEAD: &str = "# Configuration\n\n\
    Every setting of `gateway.toml`, generated from [the shipped file](../gateway.toml); do not edit this page. \
    `DOORWARD_WRITE_DOCS=1 cargo test --locked --test docs configuration` writes it.\n\n\
    Durations are strings with `ms`, `s`, `m`, `h` or `d`; sizes are strings with `B`, `KiB`, `MiB` or `GiB`; counts are bare numbers. \
    A running gateway applies a changed file by itself; a setting that says *restart* keeps its old value until a restart or an upgrade. \
    \n";

/// One setting.
struct Setting<'a> {
    key: &'a str,
    value: &'a str,
    /// Whether the shipped file sets it; otherwise its line is a comment.
    is_set: bool,
    meaning: String,
}

/// A table of the file with its settings.
struct Section<'a> {
    name: &'a str,
    settings: Vec<Setting<'a>>,
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let (mut comment, mut at) = (Vec::new(), None);
    // Settings that follow each other share the comment above the first.
    let mut is_used = false;
    for line in text.lines() {
        if let Some(more) = line.strip_prefix("# ") {
            if std::mem::take(&mut is_used) {
                comment.clear();
            }
            comment.push(more.trim());
            continue;
        }
        let live = line.strip_prefix('#').unwrap_or(line);
        if live.starts_with('[') {
            let name = live.trim_matches(['[', ']']);
            at = sections.iter().position(|section| section.name == name).or_else(|| {
                sections.push(Section { name, settings: Vec::new() });
                Some(sections.len() - 1)
            });
            comment.clear();
        } else if let (Some((key, value)), Some(at)) = (live.split_once(" = "), at) {
            is_used = true;
            let settings = &mut sections[at].settings;
            // The examples show some settings again.
            if !settings.iter().any(|setting| setting.key == key) {
                let (value, is_set) = (value.trim(), !line.starts_with('#'));
                settings.push(Setting { key, value, is_set, meaning: comment.join(" ") });
            }
        } else {
            comment.clear();
        }
    }
    sections
}

impl Setting<'_> {
    fn kind(&self) -> &'static str {
        let text = self.value.trim_matches('"');
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_number = unit.len() < text.len();
        match self.value.as_bytes() {
            [b'"', ..] if is_number && ["ms", "s", "m", "h", "d"].contains(&unit) => "duration",
            [b'"', ..] if is_number && ["B", "KiB", "MiB", "GiB"].contains(&unit) => "size",
            [b'"', ..] => "string",
            [b'[', ..] => "list",
            [b'{', ..] => "table",
            b"true" | b"false" => "boolean",
            _ => "count",
        }
    }

    /// Default value; of a setting that the shipped file only shows, the comment may state one.
    fn default(&self) -> String {
        if self.is_set {
            return format!("`{}`", self.value);
        }
        let stated = self
            .meaning
            .split_once("Default: ")
            .or_else(|| self.meaning.split_once("Default "))
            .map(|(_, stated)| stated.split(". ").next().unwrap_or(stated));
        match stated {
            Some(stated) => stated.trim_end_matches('.').replace('|', "\\|"),
            None => format!("none; example: `{}`", self.value),
        }
    }

    fn row(&self) -> String {
        let applies = if self.meaning.contains("eeds a restart") { "restart" } else { "reload" };
        let meaning = self.meaning.replace('|', "\\|");
        format!("| `{}` | {} | {} | {applies} | {meaning} |", self.key, self.kind(), self.default())
    }
}

fn page(text: &str) -> String {
    let mut page = HEAD.to_owned();
    for section in sections(text) {
        let is_list = matches!(section.name, "routes" | "providers" | "login.peppers");
        let name = if is_list { format!("[[{}]]", section.name) } else { format!("[{}]", section.name) };
        let _ = write!(
            page,
            "\n## `{name}`\n\n| setting | type | default | applies at | meaning |\n|---|---|---|---|---|\n"
        );
        for setting in &section.settings {
            let _ = writeln!(page, "{}", setting.row());
        }
    }
    page
}

#[test]
fn configuration_page_is_generated_from_the_shipped_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = page(&super::root("gateway.toml"));
    assert!(page.matches("\n| `").count() > 80, "{page}");
    if std::env::var_os("DOORWARD_WRITE_DOCS").is_some() {
        fs::write(&path, &page).expect("the page is written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md is outdated: run DOORWARD_WRITE_DOCS=1 cargo test --locked --test docs configuration"
    );
}
