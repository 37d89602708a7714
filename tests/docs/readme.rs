//! Parser of a Markdown page: code blocks, and code in running text.

use std::collections::BTreeSet;

use crate::{ADMIN, AN_ID};

/// A page.
pub(crate) struct Readme {
    /// Language and text of each fenced block.
    blocks: Vec<(String, String)>,
    /// Code between backticks elsewhere.
    inline: Vec<String>,
    /// Text outside of blocks.
    prose: String,
}

/// A command on a page.
pub(crate) struct Line {
    pub(crate) text: String,
    /// True in a code block, where the command must be complete.
    pub(crate) in_block: bool,
}

impl Readme {
    pub(crate) fn parse(text: &str) -> Self {
        let (mut blocks, mut prose) = (Vec::new(), String::new());
        let mut open: Option<(String, String)> = None;
        for line in text.lines() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(language), None) => open = Some((language.trim().to_owned(), String::new())),
                (None, Some((_, block))) => *block += &format!("{line}\n"),
                (None, None) => prose += &format!("{line}\n"),
            }
        }
        assert!(open.is_none(), "a code block is not closed");
        let inline = prose.split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ")).collect();
        Self { blocks, inline, prose }
    }

    /// Returns the fenced blocks of a language.
    pub(crate) fn blocks(&self, language: &str) -> Vec<String> {
        self.blocks.iter().filter(|(of, _)| of == language).map(|(_, block)| block.clone()).collect()
    }

    pub(crate) fn inline(&self) -> &[String] {
        &self.inline
    }

    /// Returns every call of a program: in shell blocks, then in running text.
    pub(crate) fn commands(&self, program: &str) -> Vec<Line> {
        const SHELL: &[&str] = &["", "sh", "bash", "shell", "console"];
        let mut found = Vec::new();
        for (_, block) in self.blocks.iter().filter(|(language, _)| SHELL.contains(&language.as_str())) {
            for line in block.replace("\\\n", " ").lines() {
                let parts = line.split(" #").next().unwrap_or_default().split(['|', ';', '&', '>', '<']);
                found.extend(
                    parts.filter_map(|part| call(part, program)).map(|text| Line { text, in_block: true }),
                );
            }
        }
        let named = self.inline.iter().filter_map(|code| call(code, program));
        found.extend(named.map(|text| Line { text, in_block: false }));
        found
    }
}

/// Returns the call of `program` in `part`, if it has arguments.
fn call(part: &str, program: &str) -> Option<String> {
    let part = part.trim().trim_start_matches("$ ");
    let (first, rest) = part.split_once(char::is_whitespace)?;
    let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
    (first.rsplit('/').next() == Some(program) && !rest.is_empty()).then(|| format!("{program} {rest}"))
}

/// Splits a shell line into words.
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Returns `table.key` if the code is a setting: not a file, a path or a call.
pub(crate) fn setting(code: &str) -> Option<String> {
    const FILES: &[&str] =
        &["toml", "db", "key", "md", "rs", "sh", "json", "txt", "com", "org", "html", "yml"];
    let name = code.replace("routes[].", "routes.");
    let segments: Vec<&str> = name.split('.').collect();
    let is_name = |segment: &&str| {
        !segment.is_empty()
            && segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let file = segments.last().is_some_and(|last| FILES.contains(last)) && code != "identity_headers.key";
    (segments.len() >= 2 && segments.iter().all(is_name) && !file && segments[0].len() > 1).then_some(name)
}

/// Returns every `table.key` of a configuration file, commented-out ones included.
pub(crate) fn settings_of(text: &str) -> BTreeSet<String> {
    let (mut table, mut settings) = (String::new(), BTreeSet::new());
    for line in text.lines().map(|line| line.strip_prefix('#').unwrap_or(line)) {
        let header = line.strip_prefix('[').map(|rest| rest.trim_matches(['[', ']']));
        if let Some(name) = header {
            name.clone_into(&mut table);
            // `upstreams.app`: users choose the name.
            if table.starts_with("upstreams.") {
                "upstreams".clone_into(&mut table);
            }
            settings.insert(name.to_owned());
        } else if let Some((key, _)) = line.split_once(" = ")
            && !key.contains(' ')
        {
            settings.insert(format!("{table}.{key}"));
        }
    }
    settings
}

/// Returns every method and path in running text, in one piece or in two cells of a table; paths of the admin listener
/// also without a method.
pub(crate) fn endpoints(page: &Readme) -> BTreeSet<(String, String)> {
    const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    const END: [char; 7] = ['.', ',', ')', ';', ':', '"', '\''];
    let mut found = BTreeSet::new();
    let plain = page.prose.replace(['`', '|'], " ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    for pair in words.windows(2) {
        let (method, path) = (pair[0].trim_start_matches(['(', '"']), pair[1].trim_end_matches(END));
        if METHODS.contains(&method) && path.starts_with('/') {
            found.insert((method.to_owned(), filled(path)));
        }
    }
    let bare = page.inline.iter().filter(|code| ADMIN.contains(&code.as_str()));
    found.extend(bare.map(|path| ("GET".to_owned(), path.clone())));
    found
}

/// Returns the path with an id for each placeholder.
fn filled(path: &str) -> String {
    let placeholder =
        |segment: &str| segment.starts_with(['{', '<', ':']) || segment == "ID" || segment == "SESSION";
    path.split('/')
        .map(|segment| if placeholder(segment) { AN_ID } else { segment })
        .collect::<Vec<_>>()
        .join("/")
}
