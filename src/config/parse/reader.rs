//! Walks the tables of a file: remembers which keys were asked for, and reports those nobody knows.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use crate::config::parse::hint::{nearest, quoted};
use crate::config::parse::problem::Problem;
use crate::config::parse::sources::Sources;
use crate::config::parse::value::Value;

/// Everything found out about one file.
pub(crate) struct Report<'a> {
    file: &'a Path,
    text: &'a str,
    /// Lines the parser could not read: what they would have said is unknown.
    torn: BTreeSet<usize>,
    problems: RefCell<Vec<Problem>>,
    /// Keys that were asked for, with `*` for every name and index.
    known: RefCell<BTreeSet<String>>,
    /// This file, and those it names.
    sources: RefCell<Sources>,
}

impl<'a> Report<'a> {
    /// Reads the text; what is not TOML is reported, one problem a line, and the rest is still walked.
    pub(crate) fn open(text: &'a str, file: &'a Path, sources: Sources) -> (Self, DeTable<'a>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut report = Self {
            file,
            text,
            torn: BTreeSet::new(),
            problems: RefCell::default(),
            known: RefCell::default(),
            sources: RefCell::new(sources),
        };
        let mut second_routes = false;
        for error in errors {
            let offset = error.span().map_or(text.len(), |span| span.start);
            let line = text.lines().nth(report.line(offset) - 1).unwrap_or_default().trim();
            let is_twice = error.message() == "duplicate key";
            // Its keys stand a second time as well, which is no other problem.
            if is_twice && second_routes && !line.starts_with('[') {
                continue;
            }
            second_routes = is_twice && line == "[routes]";
            if report.torn.insert(report.line(offset)) {
                let message = match error.message() {
                    "duplicate key" if second_routes => {
                        "one route was written already: write [[routes]] above each".to_owned()
                    }
                    "duplicate key" => {
                        "this stands in the file a second time: keep one of the two".to_owned()
                    }
                    // The parser guesses the type of a bare word from its first letter.
                    other
                        if other.starts_with("string values must be quoted")
                            || other.contains("`inf`")
                            || other.contains("`nan`")
                            || other.contains("`true`")
                            || other.contains("`false`") =>
                    {
                        "not TOML: a value is missing, or should stand in quotes".to_owned()
                    }
                    other => format!("not TOML: {other}"),
                };
                report.push(report.line(offset), String::new(), message);
            }
        }
        (report, root.into_inner())
    }

    /// Whether a table header above `line` could not be read, so that keys may stand in the wrong table.
    fn is_below_torn_header(&self, line: usize) -> bool {
        let mut above = self.torn.iter().take_while(|&&torn| torn < line);
        above.any(|torn| {
            self.text.lines().nth(torn - 1).is_some_and(|text| text.trim_start().starts_with('['))
        })
    }

    /// Whether some lines could not be read, so that what seems missing may stand there.
    pub(crate) fn is_torn(&self) -> bool {
        !self.torn.is_empty()
    }

    /// What was found, the keys that were asked for, and the files that were read.
    pub(crate) fn close(self) -> (Vec<Problem>, BTreeSet<String>, Sources) {
        (self.problems.into_inner(), self.known.into_inner(), self.sources.into_inner())
    }

    fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    fn push(&self, line: usize, key: String, message: String) {
        let problem = Problem { file: self.file.to_owned(), line, key, message };
        self.problems.borrow_mut().push(problem);
    }
}

/// Where something stands in the file.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    report: &'a Report<'a>,
    offset: usize,
    key: String,
    pattern: String,
    /// Whether the file says something here, or it is where it would.
    is_written: bool,
}

impl<'a> Place<'a> {
    /// Reports a problem here, unless the line was reported as unreadable already.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        let line = self.line();
        if !self.report.torn.contains(&line) {
            self.report.push(line, self.key.clone(), message.into());
        }
    }

    /// Counted from 1.
    pub(crate) fn line(&self) -> usize {
        self.report.line(self.offset)
    }

    /// Whether a problem was reported at this key or below it.
    pub(crate) fn is_flawed(&self) -> bool {
        let below = |key: &str| {
            key.strip_prefix(self.key.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.report.problems.borrow().iter().any(|problem| below(&problem.key))
    }

    /// Where a broken rule about two keys is reported: here, or there when only that one is written. Nowhere when
    /// one of them has a problem of its own, since the rule would judge a default in its stead.
    pub(crate) fn with<'p>(&'p self, there: &'p Self) -> Option<&'p Self> {
        let is_settled = !self.is_flawed() && !there.is_flawed() && !self.is_torn();
        is_settled.then_some(if self.is_written { self } else { there })
    }

    /// Whether some lines of the file could not be read.
    pub(crate) fn is_torn(&self) -> bool {
        self.report.is_torn()
    }

    /// The dotted key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// An element of the list that stands here.
    pub(crate) fn item(&self, index: usize, offset: usize) -> Self {
        let key = format!("{}[{index}]", self.key);
        Self { report: self.report, offset, key, pattern: format!("{}.*", self.pattern), is_written: true }
    }

    fn below(&self, name: &str, known: &str, offset: usize) -> Self {
        let join = |parent: &str, name: &str| match parent {
            "" => name.to_owned(),
            parent => format!("{parent}.{name}"),
        };
        let (key, pattern) = (join(&self.key, name), join(&self.pattern, known));
        Self { report: self.report, offset, key, pattern, is_written: true }
    }
}

/// A table of the file, or the absence of one.
pub(crate) struct Table<'a> {
    place: Place<'a>,
    entries: Option<&'a DeTable<'a>>,
    asked: RefCell<BTreeSet<&'static str>>,
    /// Keys that must be there and are not, with what to write.
    missing: RefCell<Vec<(&'static str, String)>>,
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(crate) fn root(report: &'a Report<'a>, entries: &'a DeTable<'a>) -> Self {
        let place = Place { report, offset: 0, key: String::new(), pattern: String::new(), is_written: true };
        Self::at(place, Some(entries))
    }

    /// The table that stands at `place`.
    pub(crate) fn at(place: Place<'a>, entries: Option<&'a DeTable<'a>>) -> Self {
        Self { place, entries, asked: RefCell::default(), missing: RefCell::default() }
    }

    /// Where the table stands.
    pub(crate) const fn place(&self) -> &Place<'a> {
        &self.place
    }

    /// Where `name` stands; where the table stands when it is absent.
    pub(crate) fn place_of(&self, name: &str) -> Place<'a> {
        let entry = self.entries.and_then(|entries| entries.get_key_value(name));
        let offset = entry.map_or(self.place.offset, |(key, _)| key.span().start);
        Place { is_written: entry.is_some(), ..self.place.below(name, name, offset) }
    }

    /// Whether the file has this table at all.
    pub(crate) const fn is_written(&self) -> bool {
        self.entries.is_some()
    }

    /// Whether the file sets `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(name))
    }

    /// Reads a file that `name` names; from now on it is one of those a change of which is noticed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn file(&self, name: &str, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        let key = self.place.below(name, name, 0).key;
        self.place.report.sources.borrow_mut().read(&key, path)
    }

    /// The value of `name`, which from now on is a known key.
    pub(crate) fn value(&self, name: &'static str) -> Option<Value<'a>> {
        let known = self.place.below(name, name, 0).pattern;
        self.place.report.known.borrow_mut().insert(known);
        self.asked.borrow_mut().insert(name);
        let value = self.entries?.get(name)?;
        // The parser puts a value without a place where it found none; the line is reported already.
        let is_real = !value.span().is_empty();
        is_real.then(|| Value::new(self.place.below(name, name, value.span().start), value.get_ref()))
    }

    /// Reports `name`, which was a key once, with what to write instead.
    pub(crate) fn replaced(&self, name: &'static str, message: &str) {
        self.asked.borrow_mut().insert(name);
        if self.has(name) {
            self.place_of(name).problem(message);
        }
    }

    /// The value of `name`; [`Table::finish`] reports `missing` when there is none.
    pub(crate) fn required(&self, name: &'static str, missing: &str) -> Option<Value<'a>> {
        let value = self.value(name);
        if value.is_none() && !self.place.is_torn() {
            self.missing.borrow_mut().push((name, format!("missing: {missing}")));
        }
        value
    }

    /// The table `name`; an absent one reads as empty.
    pub(crate) fn table(&self, name: &'static str) -> Self {
        match self.value(name) {
            Some(value) => {
                let entries = value.table(&format!("[{}]", value.place().key()));
                Self::at(value.place().clone(), entries)
            }
            None => Self::at(self.place.below(name, name, self.place.offset), None),
        }
    }

    /// The tables `[[name]]`, in order of the file.
    pub(crate) fn tables(&self, name: &'static str) -> Vec<Self> {
        let header = format!("[[{name}]]");
        let items = self.value(name).and_then(|value| value.items(&header)).unwrap_or_default();
        items
            .into_iter()
            .filter_map(|item| Some(Self::at(item.place().clone(), Some(item.table(&header)?))))
            .collect()
    }

    /// The tables `[<this>.<name>]` under whatever names the file gives them, in order of name.
    pub(crate) fn named(&self) -> Vec<(&'a str, Self)> {
        let mut tables = Vec::new();
        // As in `value`: what has no place was not read.
        let entries = self.entries.into_iter().flatten().filter(|(_, value)| !value.span().is_empty());
        for (name, value) in entries {
            let name: &'a str = name.get_ref();
            let place = self.place.below(&shown(name), "*", value.span().start);
            let value = Value::new(place.clone(), value.get_ref());
            if let Some(entries) = value.table(&format!("[{}]", place.key)) {
                self.place.report.known.borrow_mut().insert(place.pattern.clone());
                tables.push((name, Self::at(place, Some(entries))));
            }
        }
        tables
    }

    /// Reports the keys nobody asked for, and those missing that are not among them under a misspelt name.
    pub(crate) fn finish(self) {
        let asked = self.asked.into_inner();
        let mut missing = self.missing.into_inner();
        for (name, _) in self.entries.into_iter().flatten() {
            let written: &str = name.get_ref();
            let place = self.place.below(&shown(written), "", name.span().start);
            if asked.contains(written) || place.report.is_below_torn_header(place.line()) {
                continue;
            }
            match nearest(written, asked.iter().copied()) {
                Some(meant) => {
                    place.problem(format!("unknown key (did you mean {meant:?}?)"));
                    missing.retain(|(name, _)| *name != meant);
                }
                None => place.problem("unknown key: remove it, or see gateway.toml for every key"),
            }
        }
        for (name, message) in missing {
            self.place.below(name, name, self.place.offset).problem(message);
        }
    }
}

/// A key as TOML writes it, in quotes where it needs them.
fn shown(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { key.to_owned() } else { quoted(key) }
}

/// What kind of value it is, for people.
pub(crate) const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
