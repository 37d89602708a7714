//! Figures as tables (terminal and Markdown) and as JSON, under `target/bench`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use doorward::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

/// All results of one bench.
pub(crate) struct Report {
    name: &'static str,
    machine: Value,
    markdown: String,
    /// Tables by name.
    pub(crate) sections: serde_json::Map<String, Value>,
}

impl Report {
    /// Records the machine and versions.
    pub(crate) fn new(name: &'static str) -> anyhow::Result<Self> {
        let output_of = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output().ok()?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let cores = std::thread::available_parallelism()?.get();
        let date = SystemClock::new().wall().to_string();
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cpu = cpu.map_or("unknown", |(_, name)| name).to_owned();
        let redis = output_of("redis-server", &["--version"]).unwrap_or_default();
        let redis = redis.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown").to_owned();
        let kernel = output_of("uname", &["-r"]).unwrap_or_default();
        let commit = output_of("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION");
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        let head = format!(
            "{date}, {cores} cores shared by everything ({cpu}), Linux {kernel}, doorward {version} ({commit}), Redis {redis}; \
             load when it began: {load}"
        );
        let machine = json!({ "date": date, "cores": cores, "cpu": cpu, "kernel": kernel, "doorward": version,
            "commit": commit, "redis": redis, "load_before": load });
        say(&head)?;
        Ok(Self { name, machine, markdown: format!("{head}\n"), sections: serde_json::Map::new() })
    }

    /// Adds a fact about the environment.
    pub(crate) fn note(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        self.machine[name] = json!(value);
        say(&format!("{name}: {value}"))?;
        writeln!(self.markdown, "\n{name}: {value}")?;
        Ok(())
    }

    /// Prints and stores a table. Its raw figures are the rows, keyed by column name.
    pub(crate) fn table(
        &mut self,
        name: &str,
        title: &str,
        columns: &[&str],
        rows: &[Vec<Value>],
    ) -> anyhow::Result<()> {
        let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        let width = |at: usize| {
            let longest = cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            longest.max(columns[at].chars().count())
        };
        let line = |words: &mut dyn Iterator<Item = &str>| {
            let words: Vec<String> =
                words.enumerate().map(|(at, word)| format!("{word:>0$}", width(at))).collect();
            words.join("  ")
        };
        say(&format!("\n{title}"))?;
        say(&line(&mut columns.iter().copied()))?;
        writeln!(self.markdown, "\n**{title}**\n\n| {} |", columns.join(" | "))?;
        writeln!(self.markdown, "|{}", "---:|".repeat(columns.len()))?;
        for row in &cells {
            say(&line(&mut row.iter().map(String::as_str)))?;
            writeln!(self.markdown, "| {} |", row.join(" | "))?;
        }
        let named = |row: &Vec<Value>| {
            columns
                .iter()
                .map(|column| (*column).to_owned())
                .zip(row.iter().cloned())
                .collect::<serde_json::Map<_, _>>()
        };
        let rows: Vec<_> = rows.iter().map(|row| Value::Object(named(row))).collect();
        self.sections.insert(name.to_owned(), json!({ "title": title, "columns": columns, "rows": rows }));
        // Written after each table: an aborted run keeps its results.
        self.write()
    }

    fn write(&self) -> anyhow::Result<()> {
        let folder = folder()?;
        let all = json!({ "machine": self.machine, "sections": self.sections });
        std::fs::write(folder.join(format!("{}.json", self.name)), serde_json::to_string_pretty(&all)?)?;
        std::fs::write(folder.join(format!("{}.md", self.name)), &self.markdown)?;
        Ok(())
    }

    /// Prints the paths of all files.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.write()?;
        let folder = folder()?;
        say(&format!("\nwritten to {0}/{1}.json and {0}/{1}.md", folder.display(), self.name))
    }
}

/// Formats a value with three significant figures.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(figure) if number.is_f64() => match figure.abs() {
                size if size >= 100.0 => format!("{figure:.0}"),
                size if size >= 10.0 => format!("{figure:.1}"),
                _ => format!("{figure:.2}"),
            },
            _ => number.to_string(),
        },
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// Prints a line.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Folder for the raw figures.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("the target folder")?;
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
