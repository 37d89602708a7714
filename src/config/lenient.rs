//! A file that the gateway refuses, for whom only some of its sections count: the commands that look at what runs, or
//! end sessions, must not wait until the last route is mended.

use std::path::Path;

use toml::de::DeTable;

use super::{Config, Env, load};
use crate::config::parse::problem::{Problem, Problems};
use crate::config::parse::sources::Sources;

/// Every section there may be. A problem with a name that is none of these may be one of them, misspelt.
const SECTIONS: [&str; 12] = [
    "server",
    "admin",
    "vault",
    "sessions",
    "tokens",
    "login",
    "browser",
    "identity_headers",
    "brand",
    "log",
    "upstreams",
    "routes",
];

impl Config {
    /// As [`Config::load`], for whom the sections `needed` are all that counts: what is wrong with the file elsewhere
    /// comes beside the configuration, of which nothing else is to be believed.
    ///
    /// # Errors
    /// Every problem of the file, when one of them is, or may be, of these sections.
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
        // Lines that are not TOML: what follows one may be lost, or taken for a part of what stands before it.
        let Some(whole) = whole_part(&text, needed) else { return Err(problems) };
        let others;
        (config, others, _) = load::read(whole, path, env, &mut Sources::default());
        let is_good = others.is_none_or(|others| others.iter().all(is_elsewhere));
        if is_good { Ok((config, Some(problems))) } else { Err(problems) }
    }
}

/// The tables above the first that cannot be read, when the sections `needed` are named nowhere below them.
fn whole_part<'t>(text: &'t str, needed: &[&str]) -> Option<&'t str> {
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

    /// What is read of a file for `[vault]`, and the first problem beside it.
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
    fn what_is_wrong_elsewhere_is_no_obstacle() {
        let url = || VaultUrl::Sqlite(PathBuf::from("/v.db"));
        assert_eq!(vault_of(VAULT), Ok((url(), None)));
        for rest in [
            "[[routes]]\nname = \"app\"\n",
            "[server]\nlisten = [\"x\"]\nthreds = 1\n",
            "[log]\nlevel = info\n",
            "[log]\nlevel = \"info\"\n[log]\n",
            "[sessions]\n[[routes]\nname = \"app\"\n",
            // What stands below a broken header is not of the table above it.
            "[sessions\nurl = \"memory:\"\npool_size = 1\n",
            "[log]\n# [vault] stands above\nlevel = \"\"\"\n",
        ] {
            let read = vault_of(&format!("{VAULT}{rest}"));
            assert!(matches!(&read, Ok((found, Some(_))) if *found == url()), "{rest}: {read:?}");
        }
        // It may also stand below what is merely wrong.
        let read = vault_of(&format!("[log]\nlevel = \"loud\"\n{VAULT}"));
        assert!(matches!(&read, Ok((found, Some(_))) if *found == url()), "{read:?}");
    }

    #[test]
    fn what_is_or_may_be_of_the_section_is() {
        for text in [
            "[vault]\nurl = 1\n",
            "[vault]\nurll = \"sqlite:/v.db\"\n",
            // A misspelt section, or one that a broken line may have swallowed: the vault would be another.
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
