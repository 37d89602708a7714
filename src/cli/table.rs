//! Listings for people and for programs: on a terminal in columns with headings, otherwise as tab-separated cells
//! without headings, or with `--json` as one array with an object per line.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write};

use clap::Args;
use serde_json::Value;

/// The option `--json`.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Format {
    /// Print one JSON array with an object per line.
    #[arg(long)]
    pub(super) json: bool,
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
