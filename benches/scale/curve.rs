//! Charts of CPU, memory and Redis by number of sessions: one panel each, sessions on a logarithmic axis.

use std::fmt::Write as _;

use serde_json::Value;

/// Width of a panel without its margins.
const WIDTH: f64 = 200.0;
const HEIGHT: f64 = 150.0;
/// Margins of a panel.
const LEFT: f64 = 54.0;
const TOP: f64 = 46.0;

const PANELS: [(&str, &str); 3] =
    [("gateway µs", "CPU a request, µs"), ("MiB with all seen", "gateway, MiB"), ("Redis MiB", "Redis, MiB")];

/// The session table as SVG, readable on light and dark pages.
pub(crate) fn sessions(rows: &Value) -> String {
    let total = (LEFT + WIDTH + 16.0) * PANELS.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total} {}\" role=\"img\" aria-label=\"growth with sessions\">\n\
         <style>text{{font:12px system-ui,sans-serif;fill:#24292f}}.t{{font-weight:600;font-size:13px}}\
         line{{stroke:#8b949e;stroke-width:.5}}@media(prefers-color-scheme:dark){{text{{fill:#d5dbe2}}}}</style>\n",
        TOP + HEIGHT + 40.0
    );
    for (at, (column, title)) in PANELS.iter().enumerate() {
        let left = LEFT + (LEFT + WIDTH + 16.0) * at as f64;
        panel(&mut out, left, title, &points(rows, column));
    }
    out + "</svg>\n"
}

/// Sessions and values of a column, for the largest cache measured.
fn points(rows: &Value, column: &str) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for row in rows.as_array().into_iter().flatten() {
        let (Some(sessions), Some(figure)) = (row["sessions"].as_f64(), row[column].as_f64()) else {
            continue;
        };
        points.retain(|(known, _)| *known != sessions);
        points.push((sessions, figure));
    }
    points
}

fn panel(out: &mut String, left: f64, title: &str, points: &[(f64, f64)]) {
    let most = points.iter().map(|point| point.1).fold(f64::MIN_POSITIVE, f64::max);
    let exponents = points.iter().map(|point| point.0.log10());
    let (first, last) = exponents.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
    let x = |sessions: f64| left + WIDTH * (sessions.log10() - first) / (last - first).max(1.0);
    let y = |figure: f64| TOP + HEIGHT * (1.0 - figure / most);
    let _ = writeln!(out, "<text class=\"t\" x=\"{left}\" y=\"22\">{title}</text>");
    for part in [0.0, 0.5, 1.0] {
        let (level, figure) = (y(most * part), most * part);
        let _ = writeln!(
            out,
            "<line x1=\"{left}\" x2=\"{}\" y1=\"{level:.1}\" y2=\"{level:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{figure:.0}</text>",
            left + WIDTH,
            left - 6.0,
            level + 4.0
        );
    }
    let line: Vec<String> =
        points.iter().map(|(sessions, figure)| format!("{:.1},{:.1}", x(*sessions), y(*figure))).collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#3b7dd8\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for (sessions, figure) in points {
        let (x, y) = (x(*sessions), y(*figure));
        let count = match *sessions {
            many if many >= 1e6 => format!("{:.0} M", many / 1e6),
            some => format!("{:.0} k", some / 1e3),
        };
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#3b7dd8\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{count}</text>",
            TOP + HEIGHT + 18.0
        );
    }
}
