//! Walks the tables of a file: records which keys are read, reports unknown ones, and reads each value with its type,
//! unit and range. A value that does not fit is reported at its line.

use std::borrow::Cow;
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
use crate::config::parse::location::{Location, Report};
use crate::config::parse::units;

/// A table of the file, possibly absent.
pub(crate) struct Table<'a> {
    location: Location<'a>,
    entries: Option<&'a DeTable<'a>>,
    read_keys: RefCell<BTreeSet<&'static str>>,
    /// Required keys that are absent, each with what to write.
    missing: RefCell<Vec<(&'static str, String)>>,
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(crate) fn root(report: &'a Report<'a>, entries: &'a DeTable<'a>) -> Self {
        let location =
            Location { report, offset: 0, key: String::new(), pattern: String::new(), is_written: true };
        Self::at(location, Some(entries))
    }

    /// The table at `location`.
    pub(crate) fn at(location: Location<'a>, entries: Option<&'a DeTable<'a>>) -> Self {
        Self { location, entries, read_keys: RefCell::default(), missing: RefCell::default() }
    }

    /// Location of the table.
    pub(crate) const fn location(&self) -> &Location<'a> {
        &self.location
    }

    /// Location of the key `name`, or of the table when the key is absent.
    pub(crate) fn location_of(&self, name: &str) -> Location<'a> {
        let entry = self.entries.and_then(|entries| entries.get_key_value(name));
        let offset = entry.map_or(self.location.offset, |(key, _)| key.span().start);
        Location { is_written: entry.is_some(), ..self.location.below(name, name, offset) }
    }

    /// Returns whether the file has this table.
    pub(crate) const fn is_written(&self) -> bool {
        self.entries.is_some()
    }

    /// Returns whether the file sets `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(name))
    }

    /// Reads a file that the key `name` names, and adds it to the watched files.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn file(&self, name: &str, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        let key = self.location.below(name, name, 0).key;
        self.location.report.sources.borrow_mut().read(&key, path)
    }

    /// Returns the value of `name` and records the key as known.
    pub(crate) fn value(&self, name: &'static str) -> Option<Value<'a>> {
        let known = self.location.below(name, name, 0).pattern;
        self.location.report.known.borrow_mut().insert(known);
        self.read_keys.borrow_mut().insert(name);
        let value = self.entries?.get(name)?;
        // The parser inserts a value with an empty span where it found none; the line is reported already.
        let is_real = !value.span().is_empty();
        is_real.then(|| Value::new(self.location.below(name, name, value.span().start), value.get_ref()))
    }

    /// Reports the obsolete key `name`, with what to write instead.
    pub(crate) fn replaced(&self, name: &'static str, message: &str) {
        self.read_keys.borrow_mut().insert(name);
        if self.has(name) {
            self.location_of(name).problem(message);
        }
    }

    /// Returns the value of `name`; [`Table::finish`] reports `missing` when it is absent.
    pub(crate) fn required(&self, name: &'static str, missing: &str) -> Option<Value<'a>> {
        let value = self.value(name);
        if value.is_none() && !self.location.has_unreadable_lines() {
            self.missing.borrow_mut().push((name, format!("missing: {missing}")));
        }
        value
    }

    /// Returns the table `name`; an absent one reads as empty.
    pub(crate) fn table(&self, name: &'static str) -> Self {
        match self.value(name) {
            Some(value) => {
                let entries = value.table(&format!("[{}]", value.location().key()));
                Self::at(value.location().clone(), entries)
            }
            None => Self::at(self.location.below(name, name, self.location.offset), None),
        }
    }

    /// Returns the tables `[[name]]`, in order of the file.
    pub(crate) fn tables(&self, name: &'static str) -> Vec<Self> {
        let header = format!("[[{}]]", self.location.below(name, name, 0).key);
        let items = self.value(name).and_then(|value| value.items(&header)).unwrap_or_default();
        items
            .into_iter()
            .filter_map(|item| Some(Self::at(item.location().clone(), Some(item.table(&header)?))))
            .collect()
    }

    /// Returns the tables `[<this>.<name>]`, in order of name.
    pub(crate) fn named(&self) -> Vec<(&'a str, Self)> {
        let mut tables = Vec::new();
        // A value with an empty span was not read, as in `value`.
        let entries = self.entries.into_iter().flatten().filter(|(_, value)| !value.span().is_empty());
        for (name, value) in entries {
            let name: &'a str = name.get_ref();
            let location = self.location.below(&shown(name), "*", value.span().start);
            let value = Value::new(location.clone(), value.get_ref());
            if let Some(entries) = value.table(&format!("[{}]", location.key)) {
                self.location.report.known.borrow_mut().insert(location.pattern.clone());
                tables.push((name, Self::at(location, Some(entries))));
            }
        }
        tables
    }

    /// Returns the entries of a table whose keys are names of the operator's own, in order of name.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Value<'a>)> {
        // A value with an empty span was not read, as in `value`.
        let entries = self.entries.into_iter().flatten().filter(|(_, value)| !value.span().is_empty());
        let entry = |(name, value): (&'a toml::Spanned<Cow<'a, str>>, &'a toml::Spanned<DeValue<'a>>)| {
            let name: &'a str = name.get_ref();
            let location = self.location.below(&shown(name), "*", value.span().start);
            (name, Value::new(location, value.get_ref()))
        };
        entries.map(entry).collect()
    }

    /// Reports unknown keys, and missing ones unless an unknown key looks like their misspelling.
    pub(crate) fn finish(self) {
        let read_keys = self.read_keys.into_inner();
        let mut missing = self.missing.into_inner();
        for (name, _) in self.entries.into_iter().flatten() {
            let written: &str = name.get_ref();
            let location = self.location.below(&shown(written), "", name.span().start);
            if read_keys.contains(written) || location.report.is_below_unreadable_header(location.line()) {
                continue;
            }
            match nearest(written, read_keys.iter().copied()) {
                Some(meant) => {
                    location.problem(format!("unknown key (did you mean {meant:?}?)"));
                    missing.retain(|(name, _)| *name != meant);
                }
                None => location.problem("unknown key: remove it, or see gateway.toml for every key"),
            }
        }
        for (name, message) in missing {
            self.location.below(name, name, self.location.offset).problem(message);
        }
    }
}

/// Formats a key as TOML does, quoted where necessary.
fn shown(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { key.to_owned() } else { quoted(key) }
}

/// A value and its location. Every method returns `None` once it has reported a problem.
pub(crate) struct Value<'a> {
    location: Location<'a>,
    raw: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// The value at `location`.
    pub(crate) const fn new(location: Location<'a>, raw: &'a DeValue<'a>) -> Self {
        Self { location, raw }
    }

    /// Location of the value.
    pub(crate) const fn location(&self) -> &Location<'a> {
        &self.location
    }

    /// Returns the string where both a string and a table are allowed; reports nothing.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        self.raw.as_str()
    }

    /// Returns the table where both a string and a table are allowed; reports nothing.
    pub(crate) fn as_table(&self) -> Option<Table<'a>> {
        Some(Table::at(self.location.clone(), Some(self.raw.as_table()?)))
    }

    /// Reads a string.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.raw.as_str().or_else(|| self.wrong_type("a string in quotes"))
    }

    /// Reads a string with `parse`, and reports its error.
    pub(crate) fn parsed<T>(&self, parse: impl FnOnce(&'a str) -> Result<T, String>) -> Option<T> {
        parse(self.text()?).map_err(|message| self.location.problem(message)).ok()
    }

    /// Reads `true` or `false`.
    pub(crate) fn flag(&self) -> Option<bool> {
        self.raw.as_bool().or_else(|| self.wrong_type("`true` or `false` without quotes"))
    }

    /// Reads one of a fixed set of names.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let names = || choices.iter().map(|&(name, _)| name);
        let Some(written) = self.raw.as_str() else { return self.wrong_type(&any_of(names())) };
        let chosen = choices.iter().find(|(name, _)| *name == written).map(|&(_, choice)| choice);
        if chosen.is_none() {
            self.location.problem(format!("unknown value {} (write {})", quoted(written), any_of(names())));
        }
        chosen
    }

    /// Reads a whole number within `range`; `why` explains the range.
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

    /// Reads a duration such as `"15m"` within `range`; `why` explains the range.
    pub(crate) fn duration(&self, range: RangeInclusive<Duration>, why: &str) -> Option<Duration> {
        let units = r#"a whole number and ms, s, m, h or d, such as "15m""#;
        let written = self.text_with_unit("a duration", "15m", "s")?;
        let Some(value) = units::duration(written) else { return self.not_a("a duration", written, units) };
        self.within(value, written, range, units::show_duration, why)
    }

    /// Reads a size such as `"64KiB"` within `range`; `why` explains the range.
    pub(crate) fn size(&self, range: RangeInclusive<u64>, why: &str) -> Option<u64> {
        let units = r#"a whole number and B, KiB, MiB or GiB, such as "64KiB""#;
        let written = self.text_with_unit("a size", "64KiB", "B")?;
        let Some(value) = units::size(written) else { return self.not_a("a size", written, units) };
        self.within(value, written, range, units::show_size, why)
    }

    /// Reads a list whose elements `read` understands; `example` is an example list for the message.
    pub(crate) fn list<T>(&self, example: &str, mut read: impl FnMut(&Self) -> Option<T>) -> Option<Vec<T>> {
        let items = self.items(&format!("a list such as {example}"))?;
        Some(items.iter().filter_map(&mut read).collect())
    }

    /// Reads a list of strings with `parse`, each of which may stand once. `None` if one has a problem.
    pub(crate) fn distinct<T: PartialEq>(
        &self,
        example: &str,
        parse: impl Fn(&'a str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let mut all = Vec::new();
        for item in self.items(&format!("a list such as {example}"))? {
            let parsed = item.parsed(|text| {
                let one = parse(text)?;
                let is_repeated = all.contains(&one);
                if is_repeated {
                    Err(format!("{} is listed twice: remove one", quoted(text)))
                } else {
                    Ok(one)
                }
            });
            all.extend(parsed);
        }
        (!self.location.has_problem()).then_some(all)
    }

    /// Returns the elements of a list.
    pub(crate) fn items(&self, wanted: &str) -> Option<Vec<Self>> {
        let Some(array) = self.raw.as_array() else { return self.wrong_type(wanted) };
        let item = |(index, value): (usize, &'a toml::Spanned<DeValue<'a>>)| {
            Self::new(self.location.item(index, value.span().start), value.get_ref())
        };
        Some(array.iter().enumerate().map(item).collect())
    }

    /// Returns the entries of a table.
    pub(crate) fn table(&self, wanted: &str) -> Option<&'a DeTable<'a>> {
        self.raw.as_table().or_else(|| self.wrong_type(wanted))
    }

    /// Returns the string of a value that needs a unit. For a bare number the message names the unit to add.
    fn text_with_unit(&self, noun: &str, example: &str, unit: &str) -> Option<&'a str> {
        if let DeValue::Integer(number) = self.raw {
            let number = number.to_string();
            let write = if number.starts_with(|c: char| c != '-') && number.len() < 20 {
                format!("\"{number}{unit}\"")
            } else {
                format!("\"{example}\"")
            };
            self.location.problem(format!("{number} has no unit: {noun} is a string, write {write}"));
            return None;
        }
        self.raw.as_str().or_else(|| self.wrong_type(&format!("{noun} such as \"{example}\"")))
    }

    /// Reports a value of the wrong type.
    pub(crate) fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        self.location.problem(format!("this is {}: write {wanted}", kind(self.raw)));
        None
    }

    fn not_a<T>(&self, noun: &str, written: &str, units: &str) -> Option<T> {
        self.location.problem(format!("{} is not {noun}: write {units}", quoted(written)));
        None
    }

    /// Returns a value that is within `range`.
    fn within<T: PartialOrd + Copy>(
        &self,
        value: T,
        written: &str,
        range: RangeInclusive<T>,
        show: impl Fn(T) -> String,
        why: &str,
    ) -> Option<T> {
        let is_inside = range.contains(&value);
        if !is_inside {
            let (min, max) = (quoted(&show(*range.start())), quoted(&show(*range.end())));
            self.out_of_range(&quoted(written), &min, &max, why);
        }
        is_inside.then_some(value)
    }

    fn out_of_range(&self, written: &str, min: &impl Display, max: &impl Display, why: &str) {
        self.location.problem(format!("{written} is out of range: write {min} to {max} ({why})"));
    }
}

/// Returns the type of a value, as messages name it.
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
