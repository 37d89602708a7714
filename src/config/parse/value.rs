//! One value of the file: its type, its unit, its range. What does not fit is reported where it stands.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::config::parse::hint::{any_of, quoted};
use crate::config::parse::reader::{Place, Table, kind};
use crate::config::parse::units;

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
