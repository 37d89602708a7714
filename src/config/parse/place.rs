//! Places in a file, and the report of what is wrong there.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use toml::de::DeTable;

use crate::config::parse::problem::Problem;
use crate::config::parse::sources::Sources;

/// Everything found out about one file.
pub(crate) struct Report<'a> {
    pub(crate) file: &'a Path,
    pub(crate) text: &'a str,
    /// Lines the parser could not read: what they would have said is unknown.
    pub(crate) torn: BTreeSet<usize>,
    pub(crate) problems: RefCell<Vec<Problem>>,
    /// Keys that were asked for, with `*` for every name and index.
    pub(crate) known: RefCell<BTreeSet<String>>,
    /// This file, and those it names.
    pub(crate) sources: RefCell<Sources>,
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
    pub(crate) fn is_below_torn_header(&self, line: usize) -> bool {
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

    pub(crate) fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    pub(crate) fn push(&self, line: usize, key: String, message: String) {
        let problem = Problem { file: self.file.to_owned(), line, key, message };
        self.problems.borrow_mut().push(problem);
    }
}

/// Where something stands in the file.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    pub(crate) report: &'a Report<'a>,
    pub(crate) offset: usize,
    pub(crate) key: String,
    pub(crate) pattern: String,
    /// Whether the file says something here, or it is where it would.
    pub(crate) is_written: bool,
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

    pub(crate) fn below(&self, name: &str, known: &str, offset: usize) -> Self {
        let join = |parent: &str, name: &str| match parent {
            "" => name.to_owned(),
            parent => format!("{parent}.{name}"),
        };
        let (key, pattern) = (join(&self.key, name), join(&self.pattern, known));
        Self { report: self.report, offset, key, pattern, is_written: true }
    }
}
