//! A log event split into fields: text values, each bounded in length and escaped to one line.

use std::fmt::{self, Write as _};
use std::ops::Range;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::clock::Timestamp;

/// Maximum length of a value in bytes: room for a configuration problem, not for arbitrary text of others.
const MAX_VALUE: usize = 2048;

/// An event, ready to be formatted.
pub(super) struct Line<'a> {
    pub(super) at: Timestamp,
    pub(super) level: Level,
    pub(super) target: &'a str,
    /// All values, concatenated.
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
    /// False for numbers, `true` and `false`.
    pub(super) is_text: bool,
}

impl<'a> Line<'a> {
    /// Creates a line from an event.
    pub(super) fn of(event: &Event<'a>, at: Timestamp) -> Self {
        let metadata = event.metadata();
        let mut line = Self::new(*metadata.level(), metadata.target(), at);
        event.record(&mut line);
        line
    }

    /// Creates a line without fields.
    pub(super) fn new(level: Level, target: &'a str, at: Timestamp) -> Self {
        Self { at, level, target, text: String::with_capacity(256), fields: Vec::with_capacity(24) }
    }

    /// Iterates over the fields in their original order.
    pub(super) fn fields(&self) -> impl Iterator<Item = Shown<'_>> {
        self.fields.iter().map(|entry| Shown {
            name: entry.name,
            value: &self.text[entry.value.clone()],
            is_text: entry.is_text,
        })
    }

    /// Returns the value of a field, if present.
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
        // Writing to a string does not fail. A value whose formatting fails is cut where it stopped.
        let _ = self.text.write_fmt(value);
        if self.text.len() - begin > MAX_VALUE {
            self.text.truncate(self.text.floor_char_boundary(begin + MAX_VALUE));
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
        // JSON has no infinity. Three decimals: microseconds, if the unit is a millisecond.
        self.push_number(field.name(), format_args!("{:.3}", if value.is_finite() { value } else { 0.0 }));
    }
}

/// Escapes `text` so that it stays on one line, in its original order, and cannot be mistaken for anything else.
/// Escapes what JSON requires, what moves a terminal's cursor, and what changes the writing direction.
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

/// Returns whether a character is a control character, a line end for some readers, without width, or changes the
/// writing direction. All are within the basic multilingual plane, so four digits are enough.
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
    fn hostile_value_stays_on_its_line() {
        let hostile = "a\"b\\c\r\nforged\tline\u{1b}[2J\u{0}\u{7f}\u{9b}31m\u{2028}x\u{202e}gnp\u{feff}ü😀";
        let mut out = String::from("\"");
        escape(&mut out, hostile);
        out.push('"');
        assert!(!out.chars().any(|c| c.is_control() || is_unprintable(c)), "{out:?}");
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), hostile);
    }

    #[test]
    fn long_value_is_cut_at_a_character_boundary() {
        let mut line = Line::new(Level::INFO, "t", Timestamp::EPOCH);
        line.push_text("long", "ü".repeat(MAX_VALUE));
        line.push_number("next", 7);
        assert_eq!(line.field("long").unwrap(), format!("{}…", "ü".repeat(MAX_VALUE / 2)));
        assert_eq!(line.field("next"), Some("7"));
    }
}
