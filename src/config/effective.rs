//! The effective configuration as a list of settings: its digest and what changed, for the audit trail.
//!
//! It is read from the debug output, which has every field and no secret: a `Secret` prints nothing of itself. So a new field
//! is part of it without anybody's doing. Values are not shown anywhere, only their names.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Config;
use super::parse::sources;

/// Maximum number of names in a list of changes: enough for a usual change, and bounded for a new file.
const MAX_NAMES: usize = 20;

/// Digits of the digest. 64 bits: nobody looks for another configuration with the same one, since it hides nothing.
const DIGITS: usize = 16;

/// The settings in force, by name: `login.attempts_per_account`, `routes.2.path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    settings: BTreeMap<String, String>,
    digest: String,
}

impl Effective {
    /// Reads the settings of a configuration.
    pub fn of(config: &Config) -> Self {
        let text = format!("{config:#?}");
        let digest = sources::digest(text.as_bytes()).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Self { settings: settings(&text), digest: digest[..DIGITS].to_owned() }
    }

    /// Returns the digest of all settings except secrets, as 16 digits. It is comparable between gateways of one release.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the digest, and the names of the settings that differ. A secret that changed is not among them.
    pub fn changes_since(&self, before: &Self) -> String {
        let names = self.settings.keys().chain(before.settings.keys());
        let mut changed: Vec<&str> = names
            .filter(|name| self.settings.get(*name) != before.settings.get(*name))
            .map(String::as_str)
            .collect();
        changed.sort_unstable();
        changed.dedup();
        let more = changed.len().saturating_sub(MAX_NAMES);
        changed.truncate(MAX_NAMES);
        let mut text = format!("configuration {}", self.digest);
        if changed.is_empty() {
            text.push_str(": secrets");
        } else {
            let _ = write!(text, ": {}", changed.join(", "));
        }
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
        text
    }
}

/// Reads the settings from pretty-printed debug output: one field a line, four spaces a level.
fn settings(text: &str) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    let mut path: Vec<String> = Vec::new();
    let mut items: Vec<usize> = Vec::new();
    for line in text.lines() {
        let depth = (line.len() - line.trim_start_matches(' ').len()) / 4;
        let line = line.trim();
        if depth == 0 || matches!(line.trim_end_matches(','), "}" | "]" | ")") {
            continue;
        }
        path.truncate(depth - 1);
        items.truncate(depth + 1);
        items.resize(depth + 1, 0);
        // A field has a name; an item of a list has its number.
        let (name, value) = match line.split_once(": ") {
            Some((name, value)) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                (name.to_owned(), value)
            }
            _ => {
                items[depth] += 1;
                ((items[depth] - 1).to_string(), line)
            }
        };
        path.push(name);
        // A wrapper such as `Some(` is no level of its own to a reader, but its contents are below its name.
        settings.insert(path.join("."), value.trim_end_matches(',').to_owned());
    }
    settings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn effective(text: &str) -> Effective {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, text).expect("written");
        let mut config = Config::load(&file, &|_| None).expect("a configuration");
        // Paths are relative to the folder of the file, which differs here.
        config.vault.url = Config::defaults(Path::new("")).vault.url;
        config.vault.master_key = Config::defaults(Path::new("")).vault.master_key;
        Effective::of(&config)
    }

    #[test]
    fn changed_settings_are_named_without_their_values() {
        let before = effective("");
        assert_eq!(before.digest(), effective("").digest());
        let after = effective("[login]\nattempts_per_address = 77\n[brand]\nname = \"Hidden\"\n");
        assert_ne!(before.digest(), after.digest());
        let text = after.changes_since(&before);
        assert!(text.starts_with(&format!("configuration {}: ", after.digest())), "{text}");
        assert!(text.contains("brand.name") && text.contains("login.attempts_per_address"), "{text}");
        let names = text.split(": ").nth(1).unwrap_or_default();
        assert!(!names.contains("Hidden") && !names.contains("77"), "{text}");
    }

    #[test]
    fn secret_is_not_in_the_digest() {
        let url = |password: &str| {
            let file = format!("[sessions]\nurl = \"redis://:{password}@127.0.0.1:6379/0\"\n");
            effective(&file)
        };
        let (one, other) = (url("first-secret"), url("other-secret"));
        assert_eq!(one.digest(), other.digest());
        assert!(other.changes_since(&one).ends_with(": secrets"));
    }

    #[test]
    fn list_of_changes_is_bounded() {
        let upstreams: String = (0..200)
            .map(|n| format!("[upstreams.a{n}]\nservers = [\"http://127.0.0.1:{}\"]\n", 1000 + n))
            .collect();
        let text = effective(&upstreams).changes_since(&effective(""));
        assert!(text.len() < 2000 && text.ends_with(" more"), "{text}");
    }
}
