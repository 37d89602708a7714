//! One event taken apart: its fields as text, each bounded and on one line, whoever wrote what is in them.

use std::fmt::{self, Write as _};
use std::ops::Range;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::clock::Timestamp;

/// Longest value, in bytes: room for a problem of the configuration, not for somebody else's essay.
const LONGEST: usize = 2048;

/// An event, ready to be shown.
pub(super) struct Line<'a> {
    pub(super) at: Timestamp,
    pub(super) level: Level,
    pub(super) target: &'a str,
    /// Every value, one after the other.
    text: String,
    fields: Vec<Entry>,
}

struct Entry {
    name: &'static str,
    value: Range<usize>,
    is_text: bool,
}

/// A field of a line.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) name: &'static str,
    pub(super) value: &'a str,
    /// Not a number, `true` or `false`.
    pub(super) is_text: bool,
}

impl<'a> Line<'a> {
    /// Of an event.
    pub(super) fn of(event: &Event<'a>, at: Timestamp) -> Self {
        let metadata = event.metadata();
        let mut line = Self::new(*metadata.level(), metadata.target(), at);
        event.record(&mut line);
        line
    }

    /// Without fields.
    pub(super) fn new(level: Level, target: &'a str, at: Timestamp) -> Self {
        Self { at, level, target, text: String::with_capacity(256), fields: Vec::with_capacity(24) }
    }

    /// In the order they were given.
    pub(super) fn fields(&self) -> impl Iterator<Item = Shown<'_>> {
        self.fields.iter().map(|entry| Shown {
            name: entry.name,
            value: &self.text[entry.value.clone()],
            is_text: entry.is_text,
        })
    }

    /// The value of a field, if it is there.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|field| field.name == name).map(|field| field.value)
    }

    pub(super) fn push_text(&mut self, name: &'static str, value: impl fmt::Display) {
        self.push(name, true, format_args!("{value}"));
    }

    pub(super) fn push_number(&mut self, name: &'static str, value: impl fmt::Display) {
        self.push(name, false, format_args!("{value}"));
    }

    fn push(&mut self, name: &'static str, is_text: bool, value: fmt::Arguments<'_>) {
        let begin = self.text.len();
        // Writing into a string does not fail; a value that cannot show itself is cut where it stopped.
        let _ = self.text.write_fmt(value);
        if self.text.len() - begin > LONGEST {
            self.text.truncate(self.text.floor_char_boundary(begin + LONGEST));
            self.text.push('…');
        }
        self.fields.push(Entry { name, value: begin..self.text.len(), is_text });
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field.name(), true, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_text(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push_number(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push_number(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push_number(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON knows no infinity. Three places: microseconds, where the unit is a millisecond.
        self.push_number(field.name(), format_args!("{:.3}", if value.is_finite() { value } else { 0.0 }));
    }
}

/// Writes `text` so that it is on one line, in the order it was written, and not taken for anything else: with what JSON
/// escapes, what moves a terminal's cursor, and what turns the direction of writing.
pub(super) fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if is_unprintable(other) => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
            other => out.push(other),
        }
    }
}

/// Control characters, what ends a line for some readers, and what has no width or turns the direction; all are within
/// the basic plane, so four digits are enough.
pub(super) const fn is_unprintable(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_on_its_line_whatever_is_in_it() {
        let hostile = "a\"b\\c\r\nforged\tline\u{1b}[2J\u{0}\u{7f}\u{9b}31m\u{2028}x\u{202e}gnp\u{feff}ü😀";
        let mut out = String::from("\"");
        escape(&mut out, hostile);
        out.push('"');
        assert!(!out.chars().any(|c| c.is_control() || is_unprintable(c)), "{out:?}");
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), hostile);
    }

    #[test]
    fn a_value_is_cut_where_a_character_ends() {
        let mut line = Line::new(Level::INFO, "t", Timestamp::EPOCH);
        line.push_text("long", "ü".repeat(LONGEST));
        line.push_number("next", 7);
        assert_eq!(line.field("long").unwrap(), format!("{}…", "ü".repeat(LONGEST / 2)));
        assert_eq!(line.field("next"), Some("7"));
    }
}
