//! Rounds: the contenders of a group take turns, so that other activity on the machine affects all of them.

use std::path::Path;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::contender::{Field, Name, Spent};
use crate::load::{self, Load, Target};
use crate::plan::Group;
use crate::process::Cores;

/// One load run on one contender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) load: Load,
    /// CPU microseconds per request.
    pub(crate) cpu: Spent,
}

impl Run {
    /// Total of all processes involved.
    pub(crate) fn total(&self) -> f64 {
        self.cpu.gateway + self.cpu.helper + self.cpu.redis
    }

    fn raw(&self) -> Value {
        let (load, cpu) = (&self.load, &self.cpu);
        json!({
            "requests": load.requests, "per_second": load.per_second, "errors": load.errors,
            "p50_us": load.p50, "p99_us": load.p99, "p999_us": load.p999,
            "cpu_us": { "gateway": cpu.gateway, "helper": cpu.helper, "redis": cpu.redis },
        })
    }
}

/// Runs of a contender in a group.
pub(crate) struct Cell {
    pub(crate) name: Name,
    pub(crate) saturated: Vec<Run>,
    pub(crate) paced: Vec<Run>,
    pub(crate) resident_mib: f64,
}

/// A group and its results.
pub(crate) struct Measured {
    pub(crate) group: Group,
    /// Requests per second of the paced runs.
    pub(crate) rate: Option<f64>,
    pub(crate) cells: Vec<Cell>,
}

impl Measured {
    pub(crate) fn cell(&self, name: Name) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.name == name)
    }

    pub(crate) fn raw(&self) -> Value {
        let cells = self.cells.iter().map(|cell| {
            json!({
                "contender": cell.name.key(), "title": cell.name.title(), "checks": cell.name.checks(),
                "resident_mib": cell.resident_mib,
                "saturated": cell.saturated.iter().map(Run::raw).collect::<Vec<_>>(),
                "paced": cell.paced.iter().map(Run::raw).collect::<Vec<_>>(),
            })
        });
        json!({
            "group": self.group.key, "title": self.group.title(), "rate": self.rate,
            "cells": cells.collect::<Vec<_>>(),
        })
    }
}

/// The median.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    spread(values)[1]
}

/// Minimum, median and maximum.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted.get(((sorted.len().max(1) - 1) as f64 * part).round() as usize).copied();
    [0.0, 0.5, 1.0].map(|part| at(part).unwrap_or(f64::NAN))
}

/// Maximum number of warm-up runs that may meet a refusal.
const WARMING: usize = 20;

/// Measures a group.
pub(crate) fn measure(
    field: &Field,
    group: Group,
    cores: &Cores,
    tokens: Option<&Path>,
    say: &dyn Fn(&str),
) -> anyhow::Result<Measured> {
    let tokens = tokens.filter(|_| group.sessions > 1);
    let target = |name: Name| field.target(name, group.protocol, group.at_once, group.large, tokens);
    for name in group.names {
        warm(&target(*name)?, *name, cores, field.folder(), group.sessions)?;
    }
    let mut cells: Vec<Cell> = group
        .names
        .iter()
        .map(|name| Cell { name: *name, saturated: Vec::new(), paced: Vec::new(), resident_mib: 0.0 })
        .collect();
    for round in 0..group.rounds {
        say(&format!("{}: round {} of {}", group.title(), round + 1, group.rounds));
        for cell in &mut cells {
            let target = target(cell.name)?;
            let run = observe(field, cell.name, &group, || {
                load::saturate(&target, group.seconds.0, &cores.rest, field.folder())
            })?;
            cell.saturated.push(run);
        }
    }
    // Half of the maximum throughput of nginx with Lua, or of the first contender.
    let of = |name: Name| cells.iter().find(|cell| cell.name == name);
    let reference = of(Name::NginxLua).or(cells.first());
    let most = reference.map(|cell| median(cell.saturated.iter().map(|run| run.load.per_second)));
    let rate =
        most.filter(|_| group.seconds.1 > 0.0).map(|most| (most / 2.0 / 100.0).round().max(1.0) * 100.0);
    if let Some(rate) = rate {
        for round in 0..group.rounds {
            say(&format!("{}: at {rate}/s, round {} of {}", group.title(), round + 1, group.rounds));
            for cell in &mut cells {
                let target = target(cell.name)?;
                let run = observe(field, cell.name, &group, || {
                    load::pace(&target, rate, group.seconds.1, &cores.rest, field.folder())
                })?;
                cell.paced.push(run);
            }
        }
    }
    for cell in &mut cells {
        cell.resident_mib = field.resident(cell.name, group.protocol)?;
    }
    Ok(Measured { group, rate, cells })
}

/// Runs load until no request is refused: with many sessions, vault lookups are limited per second.
fn warm(target: &Target, name: Name, cores: &Cores, folder: &Path, sessions: usize) -> anyhow::Result<()> {
    let seconds = if sessions > 1 { 5.0 } else { 1.0 };
    for _ in 0..WARMING {
        if load::saturate(target, seconds, &cores.rest, folder)?.errors == 0.0 {
            return Ok(());
        }
    }
    anyhow::bail!("{} goes on refusing requests of {}", name.title(), target.url)
}

/// One run with its cost.
fn observe(
    field: &Field,
    name: Name,
    group: &Group,
    run: impl FnOnce() -> anyhow::Result<Load>,
) -> anyhow::Result<Run> {
    let before = field.spent(name, group.protocol)?;
    let load = run()?;
    let after = field.spent(name, group.protocol)?;
    ensure!(load.errors == 0.0, "{}, {}: {} requests failed", name.title(), group.title(), load.errors);
    let each = |after: f64, before: f64| (after - before) / load.requests;
    let cpu = Spent {
        gateway: each(after.gateway, before.gateway),
        helper: each(after.helper, before.helper),
        redis: each(after.redis, before.redis),
    };
    Ok(Run { load, cpu })
}
