//! The figures as a table, and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::json;

/// Instructions per request of one kind.
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) instructions: u64,
    /// Bound that is promised.
    pub(crate) bound: Option<u64>,
}

/// Prints the table, and writes it to `target/bench`. The first row is the floor.
pub(crate) fn publish(rows: &[Row]) -> anyhow::Result<()> {
    let version = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let rustc = version("rustc", &["--version"]).unwrap_or_default();
    let valgrind = version("valgrind", &["--version"]).unwrap_or_default();
    let commit = version("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let floor = rows.first().context("a row")?.instructions as f64;
    let mut markdown = format!(
        "doorward {} ({commit}), {rustc}, {valgrind}\n\n**Instructions per request, in user space**\n\n\
         | request | instructions | to bare Pingora | at most |\n|---|---:|---:|---:|\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut values = Vec::new();
    for Row { title, instructions, bound } in rows {
        let ratio = *instructions as f64 / floor;
        let allowed = match bound {
            None => "-".to_owned(),
            Some(bound) if instructions <= bound => bound.to_string(),
            Some(bound) => format!("{bound}: missed"),
        };
        writeln!(markdown, "| {title} | {instructions} | {ratio:.2} | {allowed} |")?;
        values
            .push(json!({ "request": title, "instructions": instructions, "ratio": ratio, "bound": bound }));
    }
    let folder = folder()?;
    let all = json!({ "commit": commit, "rustc": rustc, "valgrind": valgrind, "rows": values });
    fs::write(folder.join("instructions.md"), &markdown)?;
    fs::write(folder.join("instructions.json"), serde_json::to_string_pretty(&all)? + "\n")?;
    write!(std::io::stdout().lock(), "{markdown}")?;
    Ok(())
}

/// Folder of the figures.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("the target folder")?;
    let folder = target.join("bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
