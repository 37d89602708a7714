//! Listings for people and for programs: on a terminal in columns with headings, otherwise as tab-separated cells
//! without headings, or with `--json` as one array with an object per line.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write};
use std::str::FromStr;

use clap::Args;
use serde_json::Value;

/// The option `--json`.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Format {
    /// Print one JSON array with an object per line.
    #[arg(long)]
    pub(super) json: bool,
}

/// Options of a list: the part of it to print. By default all of it.
#[derive(Debug, Clone, Args)]
pub(super) struct Range<K: FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static> {
    /// Start after this one: the first column of the last line of another list.
    #[arg(long, value_name = "LAST", allow_hyphen_values = true)]
    pub(super) after: Option<K>,
    /// Maximum number of lines.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl<K: FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static> Range<K> {
    /// Divides the range into pages of at most `size`.
    pub(super) fn pages(&self, size: u32) -> Pages<K> {
        Pages { after: self.after.clone(), size, left: self.limit, is_done: false }
    }
}

/// Pages of a range, read one after the other.
#[derive(Debug)]
pub(super) struct Pages<K> {
    after: Option<K>,
    size: u32,
    /// Number of lines to come; `None` for all.
    left: Option<u32>,
    is_done: bool,
}

impl<K> Pages<K> {
    /// Returns the key after which the next page starts, and its maximum length; `None` at the end.
    pub(super) fn next(&self) -> Option<(Option<&K>, u32)> {
        let limit = self.left.map_or(self.size, |left| left.min(self.size));
        (!self.is_done && limit > 0).then_some((self.after.as_ref(), limit))
    }

    /// Notes that the page returned by `next` had `count` lines, with this key of the last one.
    pub(super) fn read(&mut self, count: usize, last: Option<K>) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let limit = self.left.map_or(self.size, |left| left.min(self.size));
        self.is_done = count < limit;
        self.left = self.left.map(|left| left.saturating_sub(count));
        self.after = last;
    }
}

/// Writes a JSON array object by object.
#[derive(Debug, Default)]
pub(super) struct JsonArray {
    has_objects: bool,
}

impl JsonArray {
    /// Writes the next object.
    pub(super) fn push(&mut self, object: &Value, out: &mut dyn Write) -> std::io::Result<()> {
        let before = if self.has_objects { ",\n" } else { "[\n" };
        self.has_objects = true;
        write!(out, "{before}{object}")
    }

    /// Ends the array; without any object, writes an empty one.
    pub(super) fn end(self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{}", if self.has_objects { "\n]" } else { "[]" })
    }
}

/// Prints the rows.
pub(super) fn print(headings: &[&str], rows: &[Vec<String>], out: &mut dyn Write) -> anyhow::Result<()> {
    write!(out, "{}", rendered(headings, rows, std::io::stdout().is_terminal()))?;
    Ok(())
}

fn rendered(headings: &[&str], rows: &[Vec<String>], for_people: bool) -> String {
    let mut text = String::new();
    if !for_people {
        for row in rows {
            let _ = writeln!(text, "{}", row.join("\t"));
        }
        return text;
    }
    let width = |at: usize, heading: &str| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([heading.chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = headings.iter().enumerate().map(|(at, heading)| width(at, heading)).collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", padded.join("  ").trim_end());
    };
    if !rows.is_empty() {
        line(&mut headings.iter().copied());
    }
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_is_json_with_an_object_a_line() {
        let rendered = |objects: &[Value]| {
            let mut out = Vec::new();
            let mut array = JsonArray::default();
            for object in objects {
                array.push(object, &mut out).unwrap();
            }
            array.end(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let (one, other) = (serde_json::json!({ "a": 1 }), serde_json::json!({ "b": "x\ny" }));
        assert_eq!(rendered(&[]), "[]\n");
        assert_eq!(rendered(std::slice::from_ref(&one)), "[\n{\"a\":1}\n]\n");
        let both = rendered(&[one.clone(), other.clone()]);
        assert_eq!(both.lines().count(), 4);
        assert_eq!(serde_json::from_str::<Value>(&both).unwrap(), Value::Array(vec![one, other]));
    }

    #[test]
    fn range_is_read_in_pages_up_to_its_limit() {
        // Pages of three of the numbers 1 to `of`, and the length of each.
        let read = |after: Option<u32>, limit: Option<u32>, of: u32| {
            let mut pages = Range { after, limit }.pages(3);
            let mut lengths = Vec::new();
            while let Some((after, limit)) = pages.next() {
                let first = after.map_or(1, |after| after + 1);
                let page: Vec<u32> = (first..=of).take(limit as usize).collect();
                lengths.push(page.len());
                pages.read(page.len(), page.last().copied());
            }
            lengths
        };
        assert_eq!(read(None, None, 7), [3, 3, 1]);
        assert_eq!(read(None, None, 6), [3, 3, 0]);
        assert_eq!(read(None, None, 0), [0]);
        assert_eq!(read(Some(4), None, 7), [3, 0]);
        assert_eq!(read(None, Some(2), 7), [2]);
        assert_eq!(read(None, Some(3), 7), [3]);
        assert_eq!(read(None, Some(5), 7), [3, 2]);
        assert_eq!(read(Some(5), Some(5), 7), [2]);
    }

    #[test]
    fn terminal_gets_columns_and_pipe_gets_tabs() {
        let rows = [["ada", "enabled", "admin"], ["björn", "disabled", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let headings = ["NAME", "STATE", "ROLES"];
        assert_eq!(
            rendered(&headings, &rows, true),
            "NAME   STATE     ROLES\nada    enabled   admin\nbjörn  disabled\n"
        );
        assert_eq!(rendered(&headings, &rows, false), "ada\tenabled\tadmin\nbjörn\tdisabled\t\n");
        assert_eq!(rendered(&headings, &[], true), "");
    }
}
