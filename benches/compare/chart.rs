//! Bar charts for the README, as SVG readable on light and dark pages.

use std::fmt::Write as _;

use crate::measure::{Measured, Run, median};

const WIDTH: f64 = 760.0;
const LABEL: f64 = 250.0;
const BAR: f64 = 18.0;
const STEP: f64 = 27.0;
const TOP: f64 = 64.0;

/// Parts of a bar: label, colour (readable on both backgrounds) and value.
type Part = (&'static str, &'static str, fn(&Run) -> f64);

/// CPU time per request of each contender.
pub(crate) fn cpu(measured: &Measured) -> String {
    let parts: [Part; 3] = [
        ("the gateway", "#3b7dd8", |run| run.cpu.gateway),
        ("a service it asks", "#b0872b", |run| run.cpu.helper),
        ("Redis", "#c2554d", |run| run.cpu.redis),
    ];
    let rows = measured.cells.iter().map(|cell| {
        let values = parts.iter().map(|(_, _, of)| median(cell.saturated.iter().map(*of)));
        (cell.name.title(), values.collect())
    });
    let title = format!("CPU time a request, in µs ({})", measured.group.title());
    bars(&title, &parts.map(|(name, colour, _)| (name, colour)), &rows.collect::<Vec<_>>(), 1)
}

/// 99th percentile at the fixed rate.
pub(crate) fn latency(measured: &Measured) -> String {
    let rate = measured.rate.unwrap_or_default();
    let kept = |runs: &[Run]| median(runs.iter().map(|run| run.load.per_second)) >= rate * 0.97;
    let rows =
        measured.cells.iter().filter(|cell| kept(&cell.paced)).map(|cell| {
            (cell.name.title(), vec![median(cell.paced.iter().map(|run| run.load.p99)) / 1000.0])
        });
    let title = format!("99 % of requests within, in ms, at {rate} requests/s");
    bars(&title, &[("", "#3b7dd8")], &rows.collect::<Vec<_>>(), 2)
}

fn bars(title: &str, parts: &[(&str, &str)], rows: &[(&str, Vec<f64>)], digits: usize) -> String {
    let most = rows.iter().map(|(_, values)| values.iter().sum()).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LABEL - 70.0) / most;
    let height = TOP + STEP * rows.len() as f64 + 6.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>text{{font:13px system-ui,sans-serif;fill:#24292f}}.t{{font-weight:600;font-size:14px}}\
         @media(prefers-color-scheme:dark){{text{{fill:#d5dbe2}}}}</style>\n\
         <text class=\"t\" x=\"8\" y=\"22\">{title}</text>\n"
    );
    let mut x = 8.0;
    for (name, colour) in parts.iter().filter(|(name, _)| !name.is_empty()) {
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"36\" width=\"11\" height=\"11\" fill=\"{colour}\"/><text x=\"{}\" y=\"46\">{name}</text>",
            x + 16.0
        );
        x += 40.0 + 7.0 * name.len() as f64;
    }
    for (at, (label, values)) in rows.iter().enumerate() {
        let y = TOP + STEP * at as f64;
        let weight = if label.starts_with("doorward") { " font-weight=\"600\"" } else { "" };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\"{weight}>{label}</text>",
            LABEL - 8.0,
            y + 13.5
        );
        let mut x = LABEL;
        for (value, (_, colour)) in values.iter().zip(parts) {
            let width = value * scale;
            if width >= 0.3 {
                let _ = writeln!(
                    out,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
                );
            }
            x += width;
        }
        let sum: f64 = values.iter().sum();
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{}\">{sum:.digits$}</text>", x + 6.0, y + 13.5);
    }
    out + "</svg>\n"
}
