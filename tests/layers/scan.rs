//! Rust source as far as this test has to understand it: without comments, literals and tests, in tokens.

use std::fs;
use std::path::Path;

/// One file of `src`.
pub(crate) struct Source {
    /// Below `src`.
    pub(crate) path: String,
    /// Without comments, literals and tests.
    text: String,
    tokens: Vec<String>,
}

/// Every file below `folder`, except tests.
pub(crate) fn all(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "lib.rs" {
                let below = path.strip_prefix(folder).expect("below").to_string_lossy().into_owned();
                sources.push(Source::new(&below, &fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    sources
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let text = without_tests(&stripped(text));
        Self { path: path.to_owned(), tokens: tokens(&text), text }
    }

    /// Its path as a module, such as `auth::session::live`.
    pub(crate) fn own_path(&self) -> String {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        path.replace('/', "::")
    }

    /// Every path that it imports or names from the root of this crate, whole.
    pub(crate) fn whole_paths(&self) -> Vec<String> {
        let own: Vec<String> = self.own_path().split("::").map(str::to_owned).collect();
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let starts = at == 0 || self.tokens[at - 1] != "::";
            let prefix = match self.tokens[at].as_str() {
                "crate" => Some((Vec::new(), at + 1)),
                "super" if starts => {
                    let (mut base, mut next) = (own.clone(), at);
                    while self.tokens.get(next).is_some_and(|token| token == "super") {
                        base.pop();
                        next += 2;
                    }
                    Some((base, next - 1))
                }
                _ => None,
            };
            match prefix {
                Some((base, next)) if self.tokens.get(next).is_some_and(|token| token == "::") => {
                    at = self.tree(base, next + 1, &mut found);
                }
                _ => at += 1,
            }
        }
        found
    }

    /// The paths of a tree, `a::{b, c::d}`; where it ends.
    fn tree(&self, mut base: Vec<String>, mut at: usize, found: &mut Vec<String>) -> usize {
        loop {
            match self.tokens.get(at).map(String::as_str) {
                Some("{") => {
                    at += 1;
                    while let Some(token) = self.tokens.get(at) {
                        match token.as_str() {
                            "}" => return at + 1,
                            "," => at += 1,
                            _ => at = self.tree(base.clone(), at, found),
                        }
                    }
                    return at;
                }
                Some(word) if is_word(word) => {
                    base.push(word.to_owned());
                    at += 1;
                    if self.tokens.get(at).is_none_or(|token| token != "::") {
                        // `x as y`
                        if self.tokens.get(at).is_some_and(|token| token == "as") {
                            at += 2;
                        }
                        found.push(base.join("::"));
                        return at;
                    }
                    at += 1;
                }
                // `*`, or the turbofish of a generic.
                _ => {
                    found.push(base.join("::"));
                    return at + 1;
                }
            }
        }
    }

    /// The module right below the root.
    pub(crate) fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Whether this is the file, of the module, or below the folder (which ends with `/`).
    pub(crate) fn is_in(&self, place: &str) -> bool {
        self.path == place || self.module() == place || (place.ends_with('/') && self.path.starts_with(place))
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// Whether these tokens follow each other.
    pub(crate) fn has(&self, sequence: &[&str]) -> bool {
        self.tokens.windows(sequence.len()).any(|window| window == sequence)
    }

    /// Whether a path or an import starts with that crate.
    pub(crate) fn uses_crate(&self, name: &str) -> bool {
        self.tokens.iter().enumerate().any(|(at, token)| {
            let after = self.tokens.get(at + 1).map(String::as_str);
            let before = at.checked_sub(1).map(|at| self.tokens[at].as_str());
            // `::name` starts at the root of all crates; `x::name` is somewhere in x.
            let below = before == Some("::")
                && at.checked_sub(2).is_some_and(|at| is_word(&self.tokens[at]) && self.tokens[at] != "use");
            token == name && !below && (after == Some("::") || before == Some("use"))
        })
    }

    /// What is imported from the root of this crate, as the first two segments of each path.
    pub(crate) fn imports(&self) -> Vec<String> {
        // How many `super`s lead from this file to the root.
        let folders = self.path.matches('/').count();
        let depth = if self.path.ends_with("/mod.rs") { folders } else { folders + 1 };
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let root = match self.tokens[at].as_str() {
                "crate" | "doorward" => Some(at + 1),
                "super" if at == 0 || self.tokens[at - 1] != "::" => self.climb(at, depth),
                _ => None,
            };
            match root {
                Some(next) if self.tokens.get(next).is_some_and(|token| token == "::") => {
                    self.paths(next + 1, &mut found);
                    at = next + 1;
                }
                _ => at += 1,
            }
        }
        // `pub(in crate::x)` names who may see it, and is an import all the same: it must know them.
        found
    }

    /// Past `super::super`, if that is the root.
    fn climb(&self, mut at: usize, depth: usize) -> Option<usize> {
        let mut climbed = 1;
        while self.tokens.get(at + 1).is_some_and(|t| t == "::")
            && self.tokens.get(at + 2).is_some_and(|t| t == "super")
        {
            at += 2;
            climbed += 1;
        }
        (climbed == depth).then_some(at + 1)
    }

    /// The path, or each path of the group, that starts here.
    fn paths(&self, at: usize, found: &mut Vec<String>) {
        if self.tokens.get(at).is_none_or(|token| token != "{") {
            found.extend(self.path_at(at));
            return;
        }
        let (mut depth, mut starts, mut at) = (1, true, at + 1);
        while let Some(token) = self.tokens.get(at).filter(|_| depth > 0) {
            match token.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => starts = true,
                _ if starts => {
                    found.extend(self.path_at(at));
                    starts = false;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn path_at(&self, at: usize) -> Option<String> {
        let first = self.tokens.get(at).filter(|token| is_word(token))?;
        // A name with a capital or a macro stands at the root itself.
        let second = self.tokens.get(at + 2).filter(|token| self.tokens[at + 1] == "::" && is_word(token));
        Some(second.map_or_else(|| first.clone(), |second| format!("{first}::{second}")))
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Words, numbers without their suffix, `::`, and single signs.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let token = &rest[..length];
        if first.is_ascii_digit() {
            tokens.push(token.trim_end_matches("_u16").trim_end_matches("u16").replace('_', ""));
        } else if !first.is_whitespace() {
            tokens.push(token.to_owned());
        }
        rest = &rest[length..];
    }
    tokens
}

/// Without comments and the contents of strings and characters; lines stay lines.
fn stripped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let (length, shown) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), "")
        } else if rest.starts_with("/*") {
            (comment(rest), " ")
        } else if let Some(length) = raw_string(rest).filter(|_| !after_word) {
            (length, "\"\"")
        } else if first == '"' {
            (quoted(rest, '"'), "\"\"")
        } else if let Some(length) = character(rest) {
            (length, "' '")
        } else {
            (first.len_utf8(), &rest[..first.len_utf8()])
        };
        out.push_str(shown);
        if length > first.len_utf8() {
            out.extend(rest[..length].chars().filter(|&c| c == '\n'));
        }
        rest = &rest[length..];
    }
    out
}

/// The length of a block comment, which may hold others.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else if let Some(c) = text[at..].chars().next() {
            at += c.len_utf8();
        } else {
            return at;
        }
        if depth == 0 {
            return at;
        }
    }
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` and the like.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    let body = hashes[count..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

/// The length of a text in quotes with escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    (first == '\\' || inner[first.len_utf8()..].starts_with('\'')).then(|| quoted(text, '\''))
}

/// Without the items that are there for tests only.
fn without_tests(text: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        let item = &rest[at + MARK.len()..];
        let mut depth = 0;
        let end = item.char_indices().find_map(|(at, c)| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            (depth == 0 && (c == '}' || c == ';')).then_some(at + 1)
        });
        rest = &item[end.unwrap_or(item.len())..];
    }
    out + rest
}
