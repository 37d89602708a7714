//! Walks the tables of a file: remembers which keys were asked for, reports those nobody knows, and reads each value with its type, its
//! unit and its range. What does not fit is reported where it stands.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use crate::config::parse::hint::{any_of, nearest, quoted};
use crate::config::parse::place::{Place, Report};
use crate::config::parse::units;

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

/// A value and where it stands. Every method answers `None` once it has reported why.
pub(crate) struct Value<'a> {
    place: Place<'a>,
    raw: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// The value that stands at `place`.
    pub(crate) const fn new(place: Place<'a>, raw: &'a DeValue<'a>) -> Self {
        Self { place, raw }
    }

    /// Where it stands.
    pub(crate) const fn place(&self) -> &Place<'a> {
        &self.place
    }

    /// The string itself, where both a string and a table may stand; nothing is reported.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        self.raw.as_str()
    }

    /// The table itself, where both a string and a table may stand; nothing is reported.
    pub(crate) fn as_table(&self) -> Option<Table<'a>> {
        Some(Table::at(self.place.clone(), Some(self.raw.as_table()?)))
    }

    /// A string.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.raw.as_str().or_else(|| self.wrong_type("a string in quotes"))
    }

    /// A string that `parse` understands, or says why not.
    pub(crate) fn parsed<T>(&self, parse: impl FnOnce(&'a str) -> Result<T, String>) -> Option<T> {
        parse(self.text()?).map_err(|message| self.place.problem(message)).ok()
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self) -> Option<bool> {
        self.raw.as_bool().or_else(|| self.wrong_type("`true` or `false` without quotes"))
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let names = || choices.iter().map(|&(name, _)| name);
        let Some(written) = self.raw.as_str() else { return self.wrong_type(&any_of(names())) };
        let chosen = choices.iter().find(|(name, _)| *name == written).map(|&(_, choice)| choice);
        if chosen.is_none() {
            self.place.problem(format!("unknown value {} (write {})", quoted(written), any_of(names())));
        }
        chosen
    }

    /// A bare whole number within `range`; `why` explains the range.
    pub(crate) fn count(&self, range: RangeInclusive<u32>, why: &str) -> Option<u32> {
        let Some(number) = self.raw.as_integer() else {
            return self.wrong_type("a whole number without quotes");
        };
        let value = u32::from_str_radix(number.as_str(), number.radix()).ok();
        let inside = value.filter(|value| range.contains(value));
        if inside.is_none() {
            self.out_of_range(&number.to_string(), range.start(), range.end(), why);
        }
        inside
    }

    /// A duration such as `"15m"` within `range`; `why` explains the range.
    pub(crate) fn duration(&self, range: RangeInclusive<Duration>, why: &str) -> Option<Duration> {
        let written = self.measure("a duration", "15m", "s")?;
        let Some(value) = units::duration(written) else {
            let units = r#"a whole number and ms, s, m, h or d, such as "15m""#;
            self.place.problem(format!("{} is not a duration: write {units}", quoted(written)));
            return None;
        };
        if !range.contains(&value) {
            let (least, most) = (units::show_duration(*range.start()), units::show_duration(*range.end()));
            self.out_of_range(&quoted(written), &quoted(&least), &quoted(&most), why);
            return None;
        }
        Some(value)
    }

    /// A size such as `"64KiB"` within `range`; `why` explains the range.
    pub(crate) fn size(&self, range: RangeInclusive<u64>, why: &str) -> Option<u64> {
        let written = self.measure("a size", "64KiB", "B")?;
        let Some(value) = units::size(written) else {
            let units = r#"a whole number and B, KiB, MiB or GiB, such as "64KiB""#;
            self.place.problem(format!("{} is not a size: write {units}", quoted(written)));
            return None;
        };
        if !range.contains(&value) {
            let (least, most) = (units::show_size(*range.start()), units::show_size(*range.end()));
            self.out_of_range(&quoted(written), &quoted(&least), &quoted(&most), why);
            return None;
        }
        Some(value)
    }

    /// A list whose elements `read` understands; `example` is what one looks like.
    pub(crate) fn list<T>(&self, example: &str, mut read: impl FnMut(&Self) -> Option<T>) -> Option<Vec<T>> {
        let items = self.items(&format!("a list such as {example}"))?;
        Some(items.iter().filter_map(&mut read).collect())
    }

    /// The elements of a list.
    pub(crate) fn items(&self, wanted: &str) -> Option<Vec<Self>> {
        let Some(array) = self.raw.as_array() else { return self.wrong_type(wanted) };
        let item = |(index, value): (usize, &'a toml::Spanned<DeValue<'a>>)| {
            Self::new(self.place.item(index, value.span().start), value.get_ref())
        };
        Some(array.iter().enumerate().map(item).collect())
    }

    /// The entries of a table.
    pub(crate) fn table(&self, wanted: &str) -> Option<&'a DeTable<'a>> {
        self.raw.as_table().or_else(|| self.wrong_type(wanted))
    }

    /// The string of a value that needs a unit; a bare number is told which unit it would need.
    fn measure(&self, noun: &str, example: &str, unit: &str) -> Option<&'a str> {
        if let DeValue::Integer(number) = self.raw {
            let number = number.to_string();
            let write = if number.starts_with(|c: char| c != '-') && number.len() < 20 {
                format!("\"{number}{unit}\"")
            } else {
                format!("\"{example}\"")
            };
            self.place.problem(format!("{number} has no unit: {noun} is a string, write {write}"));
            return None;
        }
        self.raw.as_str().or_else(|| self.wrong_type(&format!("{noun} such as \"{example}\"")))
    }

    /// Reports that something else should stand here.
    pub(crate) fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        self.place.problem(format!("this is {}: write {wanted}", kind(self.raw)));
        None
    }

    fn out_of_range(&self, written: &str, least: &impl Display, most: &impl Display, why: &str) {
        self.place.problem(format!("{written} is out of range: write {least} to {most} ({why})"));
    }
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
