//! Locations in a file, and the report of the problems found there.

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
    /// Lines that the parser could not read; their meaning is unknown.
    pub(crate) unreadable: BTreeSet<usize>,
    pub(crate) problems: RefCell<Vec<Problem>>,
    /// Keys that were read, with `*` for every name and index.
    pub(crate) known: RefCell<BTreeSet<String>>,
    /// This file and those it names.
    pub(crate) sources: RefCell<Sources>,
}

/// Kind of a syntax error. The toml crate has no kinds, only messages: they are matched here and nowhere else. The cases
/// in `config/tests` have its real errors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// A key or table is defined a second time.
    Repeated,
    /// A value is missing, or is a bare word.
    NoValue,
    Other,
}

impl Syntax {
    fn of(error: &toml::de::Error) -> Self {
        // The parser guesses the type of a bare word from its first letter.
        let guesses = ["`inf`", "`nan`", "`true`", "`false`"];
        match error.message() {
            "duplicate key" => Self::Repeated,
            text if text.starts_with("string values must be quoted") => Self::NoValue,
            text if guesses.iter().any(|guess| text.contains(guess)) => Self::NoValue,
            _ => Self::Other,
        }
    }
}

impl<'a> Report<'a> {
    /// Parses the text. Lines that are not TOML are reported, one problem each; the rest is still checked.
    pub(crate) fn open(text: &'a str, file: &'a Path, sources: Sources) -> (Self, DeTable<'a>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut report = Self {
            file,
            text,
            unreadable: BTreeSet::new(),
            problems: RefCell::default(),
            known: RefCell::default(),
            sources: RefCell::new(sources),
        };
        let mut second_routes = false;
        for error in errors {
            let offset = error.span().map_or(text.len(), |span| span.start);
            let line = text.lines().nth(report.line(offset) - 1).unwrap_or_default().trim();
            let syntax = Syntax::of(&error);
            let is_twice = syntax == Syntax::Repeated;
            // Its keys are duplicates as well, which is the same problem.
            if is_twice && second_routes && !line.starts_with('[') {
                continue;
            }
            second_routes = is_twice && line == "[routes]";
            if report.unreadable.insert(report.line(offset)) {
                let message = match syntax {
                    Syntax::Repeated if second_routes => {
                        "there are several routes: write [[routes]] above each".to_owned()
                    }
                    Syntax::Repeated => "defined twice: keep one of the two".to_owned(),
                    Syntax::NoValue => "not TOML: a value is missing, or needs quotes".to_owned(),
                    Syntax::Other => format!("not TOML: {}", error.message()),
                };
                report.push(report.line(offset), String::new(), message);
            }
        }
        (report, root.into_inner())
    }

    /// Returns whether a table header above `line` could not be parsed, so that keys may be in the wrong table.
    pub(crate) fn is_below_unreadable_header(&self, line: usize) -> bool {
        let mut above = self.unreadable.iter().take_while(|&&unreadable| unreadable < line);
        above.any(|unreadable| {
            self.text.lines().nth(unreadable - 1).is_some_and(|text| text.trim_start().starts_with('['))
        })
    }

    /// Returns whether some lines could not be parsed, so that a missing key may be on one of them.
    pub(crate) fn has_unreadable_lines(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// Returns the problems, the keys that were read, and the files that were read.
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

/// The location of a key in the file.
#[derive(Clone)]
pub(crate) struct Location<'a> {
    pub(crate) report: &'a Report<'a>,
    pub(crate) offset: usize,
    pub(crate) key: String,
    pub(crate) pattern: String,
    /// True if the file sets this key; false if this is only where it would be.
    pub(crate) is_written: bool,
}

impl<'a> Location<'a> {
    /// Reports a problem here, unless the line was reported as unreadable already.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        let line = self.line();
        if !self.report.unreadable.contains(&line) {
            self.report.push(line, self.key.clone(), message.into());
        }
    }

    /// Line number, counted from 1.
    pub(crate) fn line(&self) -> usize {
        self.report.line(self.offset)
    }

    /// Returns whether a problem was reported at this key or below it.
    pub(crate) fn has_problem(&self) -> bool {
        let below = |key: &str| {
            key.strip_prefix(self.key.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.report.problems.borrow().iter().any(|problem| below(&problem.key))
    }

    /// Location at which a broken rule about two keys is reported: this one, or the other when only that one is set.
    /// `None` when one of them has its own problem, since the rule would then be checked against a default.
    pub(crate) fn with<'p>(&'p self, there: &'p Self) -> Option<&'p Self> {
        let is_settled = !self.has_problem() && !there.has_problem() && !self.has_unreadable_lines();
        is_settled.then_some(if self.is_written { self } else { there })
    }

    /// Returns whether some lines of the file could not be parsed.
    pub(crate) fn has_unreadable_lines(&self) -> bool {
        self.report.has_unreadable_lines()
    }

    /// The dotted key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The location of an element of this list.
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
