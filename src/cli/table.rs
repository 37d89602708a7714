//! Rows for people and for programs: on a terminal in columns with heads, otherwise with tabs between the cells and nothing else.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write};

/// Prints the rows.
pub(super) fn print(heads: &[&str], rows: &[Vec<String>], out: &mut dyn Write) -> anyhow::Result<()> {
    write!(out, "{}", rendered(heads, rows, std::io::stdout().is_terminal()))?;
    Ok(())
}

fn rendered(heads: &[&str], rows: &[Vec<String>], for_people: bool) -> String {
    let mut text = String::new();
    if !for_people {
        for row in rows {
            let _ = writeln!(text, "{}", row.join("\t"));
        }
        return text;
    }
    let width = |at: usize, head: &str| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([head.chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = heads.iter().enumerate().map(|(at, head)| width(at, head)).collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", padded.join("  ").trim_end());
    };
    if !rows.is_empty() {
        line(&mut heads.iter().copied());
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
    fn people_are_shown_columns_and_programs_are_given_tabs() {
        let rows = [["ada", "enabled", "admin"], ["björn", "disabled", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let heads = ["NAME", "STATE", "ROLES"];
        assert_eq!(
            rendered(&heads, &rows, true),
            "NAME   STATE     ROLES\nada    enabled   admin\nbjörn  disabled\n"
        );
        assert_eq!(rendered(&heads, &rows, false), "ada\tenabled\tadmin\nbjörn\tdisabled\t\n");
        assert_eq!(rendered(&heads, &[], true), "");
    }
}
