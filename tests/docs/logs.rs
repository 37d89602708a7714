//! `docs/logs.md` against every event in `src`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use crate::page::table;
use crate::root;

/// One call of a `tracing` macro such as `tracing::info!`.
struct Call {
    file: String,
    level: String,
    /// Pairs of name and value; `%x` and `?x` are fields called `x`.
    fields: Vec<(String, String)>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {:?}", self.file, self.level, self.fields)
    }
}

impl Call {
    fn reason(&self) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(name, _)| name == "reason")?;
        value.strip_prefix('"')?.strip_suffix('"')
    }
}

/// Returns every call below `folder`.
fn calls(folder: &Path) -> Vec<Call> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                let name = path.strip_prefix(folder).expect("below").display().to_string();
                found.extend(calls_in(&name, &text));
            }
        }
    }
    found
}

fn calls_in(file: &str, text: &str) -> Vec<Call> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("tracing::") {
        let rest = &code[at + "tracing::".len()..];
        let Some((level, after)) = rest.split_once("!(") else { continue };
        if !["error", "warn", "info", "debug", "trace", "event"].contains(&level) && level != "$level" {
            continue;
        }
        // Arguments after the message are formatted into it.
        let arguments = arguments(after).into_iter().take_while(|argument| !argument.starts_with('"'));
        let fields = arguments.filter_map(|argument| field(&argument)).collect();
        found.push(Call { file: file.to_owned(), level: level.to_uppercase(), fields });
    }
    found
}

/// Returns the text between the parentheses, split at its commas.
fn arguments(text: &str) -> Vec<String> {
    let (mut all, mut one, mut depth, mut quoted, mut escaped) = (Vec::new(), String::new(), 0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(std::mem::take(&mut one));
                continue;
            }
            _ => {}
        }
        one.push(c);
    }
    all.push(one);
    all.into_iter()
        .map(|argument| argument.trim().to_owned())
        .filter(|argument| !argument.is_empty())
        .collect()
}

/// Returns name and value of a field; a target is not a field.
fn field(argument: &str) -> Option<(String, String)> {
    if argument.starts_with("target:") {
        return None;
    }
    let (name, value) = argument.split_once(" = ").unwrap_or((argument, argument));
    Some((name.trim_start_matches(['%', '?']).to_owned(), value.to_owned()))
}

fn events() -> Vec<Call> {
    let all = calls(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    // The access log has its own table, and levels below info are for developers.
    all.into_iter().filter(|call| !["$LEVEL", "DEBUG", "TRACE"].contains(&call.level.as_str())).collect()
}

#[test]
fn every_event_has_a_unique_documented_reason() {
    let mut written: BTreeMap<String, String> = BTreeMap::new();
    let events = events();
    assert!(events.len() > 25, "only {} events: is this the right folder?", events.len());
    for call in &events {
        let reason = call.reason().unwrap_or_else(|| panic!("give it a `reason = \"…\"`: {call:?}"));
        let is_plain = reason.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        assert!(is_plain && !reason.is_empty(), "write `{reason}` in small letters and _: {call:?}");
        let other = written.insert(reason.to_owned(), call.level.clone());
        assert!(other.is_none(), "`{reason}` is the reason of another event too: {call:?}");
    }
    // Events of the log itself.
    written.insert("lines_suppressed".into(), "as those".into());
    written.insert("log_stalled".into(), "ERROR".into());
    let page = root("docs/logs.md");
    let explained: BTreeMap<String, String> =
        table(&page, "Events", "reason").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(written, explained);
    let codes: BTreeSet<String> =
        table(&root("docs/errors.md"), "# Errors", "code").into_iter().map(|row| row[0].clone()).collect();
    assert!(codes.len() > 20, "{codes:?}");
    for reason in explained.keys() {
        assert!(!codes.contains(reason), "`{reason}` is how a request ends already");
    }
}

#[test]
fn event_fields_match_the_page() {
    let page = root("docs/logs.md");
    let mut known: BTreeSet<String> = table(&page, "Events", "field")
        .into_iter()
        .flat_map(|row| row[0].split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut used = BTreeSet::new();
    for call in events() {
        for (name, _) in call.fields.iter().filter(|(name, _)| name != "reason") {
            assert!(known.contains(name), "docs/logs.md does not have the field `{name}`: {call:?}");
            used.insert(name.clone());
        }
    }
    known.retain(|name| !name.starts_with("suppressed"));
    assert_eq!(known, used, "fields that no event has");
}

#[test]
fn runbook_names_only_known_reasons_and_fields() {
    let logs = root("docs/logs.md");
    let known: BTreeSet<String> = table(&logs, "Events", "reason")
        .into_iter()
        .chain(table(&logs, "Events", "field"))
        .chain(table(&logs, "Requests", "field"))
        .chain(table(&logs, "Requests", "reason"))
        .chain(table(&root("docs/errors.md"), "# Errors", "code"))
        .flat_map(|row| row[0].split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let (metrics, settings) = (root("docs/metrics.md"), root("gateway.toml"));
    let is_elsewhere = |word: &str| {
        word.starts_with("doorward_")
            || word.starts_with("process_")
            // Names of Postgres.
            || ["max_connections", "pg_stat_activity"].contains(&word)
            || metrics.contains(&format!("`{word}`"))
            || settings.lines().any(|line| line.trim_start_matches('#').starts_with(&format!("{word} = ")))
    };
    let page = root("docs/runbook.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut documented = 0;
    let pieces: Vec<&str> = page.split('`').collect();
    for at in (1..pieces.len()).step_by(2) {
        let (before, word) = (pieces[at - 1].trim_end(), pieces[at]);
        let is_name = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !is_name(word) {
            continue;
        }
        let is_of_the_log = ["log's", "log has", "log says"].iter().any(|words| before.ends_with(words));
        documented += usize::from(is_of_the_log);
        assert!(!is_of_the_log || known.contains(word), "docs/logs.md does not have `{word}` of the runbook");
        let is_known = !word.contains('_') || known.contains(word) || is_elsewhere(word);
        assert!(is_known, "the runbook's `{word}` is no reason, code, metric or setting");
    }
    assert!(documented > 10, "only {documented} reasons: is this the right page?");
}

#[test]
fn call_parses_into_level_reason_and_fields() {
    let text = r#"
        // tracing::info!(reason = "a comment");
        tracing::warn!(
            reason = "a",
            cause = %error(x, "b, c"),
            ?session,
            away_ms,
            "a message, with {} and (parentheses) and \"quotes\"",
            arguments.of(it)
        );
        Err(error) => tracing::error!(target: "t", reason, "{text}"),
    "#;
    let found = calls_in("x.rs", text);
    let names = |call: &Call| call.fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].level.as_str(), found[0].reason()), ("WARN", Some("a")));
    assert_eq!(names(&found[0]), ["reason", "cause", "session", "away_ms"]);
    assert_eq!((found[1].reason(), names(&found[1])), (None, vec!["reason".to_owned()]));
}
