//! Formatting of a line: as JSON for machines, or as text for people.

use std::fmt::Write as _;

use tracing::Level;

use super::line::{Line, Shown, escape, is_unprintable};
use crate::gateway::ACCESS;

/// Appends a formatted line, including its line end.
pub(super) type Render = fn(&mut String, &Line<'_>);

/// Formats a line as a JSON object.
pub(super) fn json(out: &mut String, line: &Line<'_>) {
    let _ = write!(out, "{{\"timestamp\":\"{}\",\"level\":\"{}\"", line.at.precise(), line.level);
    // Readers look for the reason first.
    let is_reason = |field: &Shown<'_>| field.name == "reason";
    let fields = line.fields().filter(is_reason).chain(line.fields().filter(|field| !is_reason(field)));
    for Shown { name, value, is_text } in fields {
        let _ = write!(out, ",\"{name}\":");
        if is_text {
            out.push('"');
            escape(out, value);
            out.push('"');
        } else {
            out.push_str(value);
        }
    }
    let _ = writeln!(out, ",\"target\":\"{}\"}}", line.target);
}

/// Formats a line as text.
pub(super) fn text(out: &mut String, line: &Line<'_>) {
    people(out, line, &PLAIN);
}

/// Formats a line as text with colours.
pub(super) fn coloured(out: &mut String, line: &Line<'_>) {
    people(out, line, &ANSI);
}

struct Colours {
    dim: &'static str,
    bold: &'static str,
    error: &'static str,
    warn: &'static str,
    info: &'static str,
    end: &'static str,
}

const PLAIN: Colours = Colours { dim: "", bold: "", error: "", warn: "", info: "", end: "" };
const ANSI: Colours = Colours {
    dim: "\x1b[2m",
    bold: "\x1b[1m",
    error: "\x1b[31m",
    warn: "\x1b[33m",
    info: "\x1b[32m",
    end: "\x1b[0m",
};

/// Fields shown first, without their names; the others follow as `name=value`.
const FIRST_FIELDS: &[&str] = &["reason", "message", "method", "host", "path", "status", "total_ms"];
/// Field shown last: it is often copied but not read.
const LAST_FIELD: &str = "request_id";

/// Writes time, level and reason in columns, then a sentence, then the other fields.
fn people(out: &mut String, line: &Line<'_>, colours: &Colours) {
    let level = match line.level {
        Level::ERROR => colours.error,
        Level::WARN => colours.warn,
        _ => colours.info,
    };
    let (dim, bold, end) = (colours.dim, colours.bold, colours.end);
    let reason = line.field("reason").unwrap_or("-");
    let _ = write!(
        out,
        "{dim}{}{end} {level}{:<5}{end} {bold}{reason:<20}{end}",
        line.at.precise(),
        line.level.as_str()
    );
    if line.target == ACCESS {
        sentence(out, line);
    }
    if let Some(message) = line.field("message") {
        out.push(' ');
        plain(out, message);
    }
    let rest = line.fields().filter(|field| !FIRST_FIELDS.contains(&field.name) && field.name != LAST_FIELD);
    let last = line.fields().filter(|field| field.name == LAST_FIELD);
    for Shown { name, value, is_text } in rest.chain(last) {
        let _ = write!(out, " {dim}{name}={end}");
        let is_bare = |c: char| !c.is_whitespace() && !is_unprintable(c) && !matches!(c, '"' | '\\' | '=');
        if is_text && (value.is_empty() || !value.chars().all(is_bare)) {
            out.push('"');
            escape(out, value);
            out.push('"');
        } else {
            out.push_str(value);
        }
    }
    out.push('\n');
}

/// Writes `200 GET app.example.com/path 12.3 ms`.
fn sentence(out: &mut String, line: &Line<'_>) {
    let field = |name| line.field(name).unwrap_or_default();
    let status = match field("status") {
        // No response was sent.
        "" | "0" => "---",
        status => status,
    };
    let _ = write!(out, " {status} {:<4} ", field("method"));
    plain(out, field("host"));
    plain(out, field("path"));
    let _ = write!(out, " {} ms", field("total_ms"));
}

/// Writes text unescaped, except for characters that would not stay on the line.
fn plain(out: &mut String, text: &str) {
    for part in text.split_inclusive(is_unprintable) {
        let kept = part.trim_end_matches(is_unprintable);
        out.push_str(kept);
        escape(out, &part[kept.len()..]);
    }
}
