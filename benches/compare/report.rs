//! Results as tables and as raw data.

use std::fmt::Write as _;

use crate::contender::Name;
use crate::measure::{Cell, Measured, median, spread};

/// A claim: CPU (or p99) of one contender relative to another, in the same round. It is met or missed if every round says so,
/// and not decided otherwise: seven rounds that agree are right about the median with 98 % (2 x 0.5^7).
pub(crate) struct Claim {
    what: &'static str,
    of: Name,
    against: Name,
    must: Option<f64>,
    goal: f64,
    latency: bool,
}

/// Design section 7 and the issue behind it.
pub(crate) const CLAIMS: &[Claim] = &[
    Claim {
        what: "CPU: confirmed locally / bare Pingora",
        of: Name::Local,
        against: Name::BarePingora,
        must: Some(1.20),
        goal: 1.15,
        latency: false,
    },
    Claim {
        what: "CPU: confirmed locally / public route",
        of: Name::Local,
        against: Name::Public,
        must: Some(1.05),
        goal: 1.03,
        latency: false,
    },
    Claim {
        what: "CPU: confirmed locally / nginx + Lua, opaque token, one GET",
        of: Name::Local,
        against: Name::NginxLuaOpaque,
        must: Some(0.75),
        goal: 0.75,
        latency: false,
    },
    Claim {
        what: "CPU: confirmed locally / nginx + Lua, Redis every time",
        of: Name::Local,
        against: Name::NginxLua,
        must: Some(0.70),
        goal: 0.60,
        latency: false,
    },
    Claim {
        what: "CPU: Redis every time / nginx + Lua, Redis every time",
        of: Name::Fresh,
        against: Name::NginxLua,
        must: Some(0.95),
        goal: 0.95,
        latency: false,
    },
    Claim {
        what: "CPU: confirmed locally / HAProxy jwt_verify HS256",
        of: Name::Local,
        against: Name::HaproxyHs256,
        must: Some(1.65),
        goal: 1.00,
        latency: false,
    },
    Claim {
        what: "CPU: confirmed locally / HAProxy jwt_verify ES256",
        of: Name::Local,
        against: Name::HaproxyEs256,
        must: None,
        goal: 1.00,
        latency: false,
    },
    Claim {
        what: "p99 at a fixed rate: confirmed locally / nginx + Lua, Redis every time",
        of: Name::Local,
        against: Name::NginxLua,
        must: Some(1.00),
        goal: 1.00,
        latency: true,
    },
];

impl Claim {
    /// Minimum, median and maximum of the ratio over all rounds. `None` if one of the two was not measured.
    pub(crate) fn ratios(&self, base: &Measured) -> Option<[f64; 3]> {
        let (of, against) = (base.cell(self.of)?, base.cell(self.against)?);
        let pairs: Vec<f64> = if self.latency {
            of.paced.iter().zip(&against.paced).map(|(of, other)| of.load.p99 / other.load.p99).collect()
        } else {
            of.saturated
                .iter()
                .zip(&against.saturated)
                .map(|(of, other)| of.total() / other.total())
                .collect()
        };
        Some(spread(pairs))
    }
}

fn verdict(least: f64, most: f64, limit: f64) -> &'static str {
    match () {
        () if most <= limit => "met",
        () if least > limit => "missed",
        () => "not decided",
    }
}

/// The claims with their results, in Markdown.
pub(crate) fn claims(base: &Measured) -> String {
    let mut out =
        String::from("| ratio, round by round | median (least to most) | must | goal |\n|---|---|---|---|\n");
    for claim in CLAIMS {
        let Some([least, middle, most]) = claim.ratios(base) else { continue };
        let limit = |limit: f64| format!("{limit:.2}: {}", verdict(least, most, limit));
        let must = claim.must.map_or("-".to_owned(), limit);
        let _ = writeln!(
            out,
            "| {} | **{middle:.3}** ({least:.3} to {most:.3}) | {must} | {} |",
            claim.what,
            limit(claim.goal)
        );
    }
    out
}

/// Table of one group, in Markdown.
pub(crate) fn table(measured: &Measured) -> String {
    let mut out = format!("### {}\n\n", measured.group.title());
    let cpu = "CPU a request, µs (gateway + service asked + Redis)";
    let paced = measured.rate.map(|rate| format!(" p50 / p99 / p99.9 at {rate}/s, ms | CPU there, µs |"));
    let _ = writeln!(
        out,
        "| | requests/s | {cpu} | of nginx + Lua | p50 / p99 / p99.9 at full load, ms |{} MiB |",
        paced.as_deref().unwrap_or_default()
    );
    let _ = writeln!(out, "|---|---|---|---|---|---|{}", if paced.is_some() { "---|---|" } else { "" });
    let reference = measured.cell(Name::NginxLua);
    for cell in &measured.cells {
        let _ = writeln!(out, "{}", row(cell, reference, measured.rate));
    }
    out
}

fn row(cell: &Cell, reference: Option<&Cell>, rate: Option<f64>) -> String {
    let [_, per_second, _] = spread(cell.saturated.iter().map(|run| run.load.per_second));
    let [least, total, most] = spread(cell.saturated.iter().map(super::measure::Run::total));
    let part = |of: fn(&super::measure::Run) -> f64| median(cell.saturated.iter().map(of));
    let mut parts = format!("{:.1}", part(|run| run.cpu.gateway));
    for more in [part(|run| run.cpu.helper), part(|run| run.cpu.redis)] {
        if more >= 0.05 {
            let _ = write!(parts, " + {more:.1}");
        }
    }
    let against = reference.map_or("-".to_owned(), |reference| {
        let pairs = cell.saturated.iter().zip(&reference.saturated);
        format!("{:.2}", median(pairs.map(|(run, other)| run.total() / other.total())))
    });
    let name = if cell.name == Name::Local {
        format!("**{}**", cell.name.title())
    } else {
        cell.name.title().into()
    };
    let mut out = format!(
        "| {name} | {per_second:.0} | **{total:.1}** ({least:.1} to {most:.1}): {parts} | {against} | {} |",
        latencies(&cell.saturated)
    );
    if let Some(rate) = rate {
        let kept = median(cell.paced.iter().map(|run| run.load.per_second));
        if kept < rate * 0.97 {
            let _ = write!(out, " {kept:.0}/s at most | - |");
        } else {
            let cpu = median(cell.paced.iter().map(super::measure::Run::total));
            let _ = write!(out, " {} | {cpu:.1} |", latencies(&cell.paced));
        }
    }
    let _ = write!(out, " {:.0} |", cell.resident_mib);
    out
}

fn latencies(runs: &[super::measure::Run]) -> String {
    let of = |time: fn(&super::measure::Run) -> f64| median(runs.iter().map(time)) / 1000.0;
    format!("{:.2} / {:.2} / {:.2}", of(|run| run.load.p50), of(|run| run.load.p99), of(|run| run.load.p999))
}

/// Table of each contender's check and its reaction to a revocation.
pub(crate) fn checks(noticed: &[(Name, Option<f64>)]) -> String {
    let mut out = String::from("| | checks | a revoked session was refused after |\n|---|---|---|\n");
    for (name, seconds) in noticed {
        let after = match seconds {
            _ if !name.has_check() => "-".to_owned(),
            Some(seconds) if *seconds < 0.1 => "its first request".to_owned(),
            Some(seconds) => format!("{seconds:.1} s"),
            None => "not until its token runs out".to_owned(),
        };
        let _ = writeln!(out, "| {} | {} | {after} |", name.title(), name.checks());
    }
    out
}

/// Converts Markdown to plain columns.
pub(crate) fn plain(markdown: &str) -> String {
    let mut out = String::new();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with('|') {
            let _ = writeln!(out, "{}", line.trim_start_matches('#').trim());
            continue;
        }
        let mut rows = vec![cells(line)];
        while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
            if !line.starts_with("|---") {
                rows.push(cells(line));
            }
        }
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
        for row in rows {
            let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let _ = writeln!(out, "  {}", padded.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
    out
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().replace("**", "")).collect()
}
