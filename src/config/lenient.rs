//! Loads only some sections of a file that has problems elsewhere. Commands that inspect a running gateway or end
//! sessions must work before the last route is fixed.

use std::path::Path;

use toml::de::DeTable;

use super::{Config, Env, load};
use crate::config::parse::problem::{Problem, Problems};
use crate::config::parse::sources::Sources;

/// Every section name. A problem in a section of another name may concern a misspelt one of these.
const SECTIONS: [&str; 15] = [
    "server",
    "admin",
    "vault",
    "sessions",
    "tokens",
    "login",
    "mail",
    "providers",
    "unusual",
    "browser",
    "identity_headers",
    "brand",
    "log",
    "upstreams",
    "routes",
];

impl Config {
    /// Same as [`Config::load`], but only the sections `needed` must be valid. Problems elsewhere are returned beside
    /// the configuration; all other sections of it must not be used.
    ///
    /// # Errors
    /// Every problem of the file, when one of them concerns, or may concern, these sections.
    pub fn load_for(
        path: &Path,
        needed: &[&str],
        env: Env<'_>,
    ) -> Result<(Self, Option<Problems>), Problems> {
        let (mut config, problems, text) = load::all(path, env)?;
        let Some(problems) = problems else { return Ok((config, None)) };
        let is_elsewhere = |problem: &Problem| {
            let section = problem.key.split(['.', '[']).next().unwrap_or_default();
            SECTIONS.contains(&section) && !needed.contains(&section)
        };
        if problems.iter().all(is_elsewhere) {
            return Ok((config, Some(problems)));
        }
        if !problems.iter().all(|problem| problem.key.is_empty() || is_elsewhere(problem)) {
            return Err(problems);
        }
        // Lines that are not TOML: what follows one may be lost, or parsed as part of the table before it.
        let Some(whole) = parsable_prefix(&text, needed) else { return Err(problems) };
        let others;
        (config, others, _) = load::read(whole, path, env, &mut Sources::default());
        let is_good = others.is_none_or(|others| others.iter().all(is_elsewhere));
        if is_good { Ok((config, Some(problems))) } else { Err(problems) }
    }
}

/// The tables above the first that cannot be read, when the sections `needed` are named nowhere below them.
fn parsable_prefix<'t>(text: &'t str, needed: &[&str]) -> Option<&'t str> {
    let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let headers: Vec<usize> = line_starts.filter(|&at| text[at..].trim_start().starts_with('[')).collect();
    let end = headers.into_iter().rev().find(|&at| DeTable::parse(&text[..at]).is_ok())?;
    let (whole, rest) = text.split_at(end);
    let names = |line: &str| {
        let line = line.trim_start_matches(['[', ' ', '\t', '"', '\'']);
        needed.iter().any(|name| {
            line.strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
        })
    };
    (!rest.lines().any(names)).then_some(whole)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::VaultUrl;
    use super::*;

    /// Returns the vault address that `[vault]` is read to, and the first problem elsewhere.
    fn vault_of(text: &str) -> Result<(VaultUrl, Option<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, text).unwrap();
        let (config, problems) =
            Config::load_for(&file, &["vault"], &|_| None).map_err(|problems| problems.to_string())?;
        let first = problems.map(|problems| problems.iter().next().unwrap().message.clone());
        Ok((config.vault.url, first))
    }

    const VAULT: &str = "[vault]\nurl = \"sqlite:/v.db\"\n";

    #[test]
    fn problems_in_other_sections_are_ignored() {
        let url = || VaultUrl::Sqlite(PathBuf::from("/v.db"));
        assert_eq!(vault_of(VAULT), Ok((url(), None)));
        for rest in [
            "[[routes]]\nname = \"app\"\n",
            "[server]\nlisten = [\"x\"]\nthreds = 1\n",
            "[log]\nlevel = info\n",
            "[log]\nlevel = \"info\"\n[log]\n",
            "[sessions]\n[[routes]\nname = \"app\"\n",
            // Keys below a broken header do not belong to the table above it.
            "[sessions\nurl = \"memory:\"\npool_size = 1\n",
            "[log]\n# [vault] stands above\nlevel = \"\"\"\n",
        ] {
            let read = vault_of(&format!("{VAULT}{rest}"));
            assert!(matches!(&read, Ok((found, Some(_))) if *found == url()), "{rest}: {read:?}");
        }
        // The section may also follow one with a wrong value.
        let read = vault_of(&format!("[log]\nlevel = \"loud\"\n{VAULT}"));
        assert!(matches!(&read, Ok((found, Some(_))) if *found == url()), "{read:?}");
    }

    #[test]
    fn problems_that_may_concern_the_section_are_errors() {
        for text in [
            "[vault]\nurl = 1\n",
            "[vault]\nurll = \"sqlite:/v.db\"\n",
            // A misspelt section, or one that a broken line may have swallowed: the default vault would be used
            // instead.
            "[vualt]\nurl = \"sqlite:/v.db\"\n",
            "[vault\nurl = \"sqlite:/v.db\"\n",
            "[log]\nlevel = \"\"\"\n[vault]\nurl = \"sqlite:/v.db\"\n",
            "[log]\nlevel = [\n[vault]\nurl = \"sqlite:/v.db\"\n",
            "[log]\nlevel = 'info\n[ vault ]\nurl = \"sqlite:/v.db\"\n",
            "[vault]\nurl = \"sqlite:/v.db\"\nlease = \"1s\n[sessions]\nurl = \"memory:\"\n",
            "[vault]\npool_size = 4\nurl = \n",
            "[log]\nlevel = info\n\nvault.url = \"sqlite:/v.db\"\n",
            "[vault]\npool_size = 4\n[vault]\nurl = \"sqlite:/v.db\"\n",
            "\u{feff}[vault\n",
        ] {
            assert!(vault_of(text).is_err(), "{text}: {:?}", vault_of(text));
        }
        let none = Config::load_for(Path::new("/nowhere/gateway.toml"), &["vault"], &|_| None);
        assert!(none.is_err());
    }
}
