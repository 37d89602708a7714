//! Gateways that start with nothing known, under full traffic.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::paced::{Outcome, Pace, paced, percentile};
use crate::report::{self, say};
use crate::shared::gateway::Gateway;
use crate::shared::http;
use crate::world::{Report, World};
use crate::{COLUMNS, CONNECTIONS, Plan, row};

/// Requests per second in all, spread over all sessions.
const A_SECOND: f64 = 2000.0;

/// One start: how many gateways at once, and whether Redis is emptied at that moment.
struct Start {
    title: &'static str,
    gateways: usize,
    is_redis_emptied: bool,
}

const STARTS: [Start; 3] = [
    Start { title: "one gateway", gateways: 1, is_redis_emptied: false },
    Start { title: "three at once", gateways: 3, is_redis_emptied: false },
    Start { title: "three at once, Redis emptied", gateways: 3, is_redis_emptied: true },
];

/// Starts gateways under 2,000 requests a second, each of another session than the ones before.
pub(crate) async fn cold(world: &World, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let count = if plan.quick { 20_000 } else { 100_000 };
    let users = world.users("cold", count / 2).await?;
    let (tokens, took) = world.open(&users, count, "cold").await?;
    say(&format!("{count} sessions opened in {:.1} s", took.as_secs_f64()))?;
    let tokens = Arc::new(tokens.first(count)?);
    let seconds = count as f64 / A_SECOND;
    let (mut rows, mut drawn) = (Vec::new(), Vec::new());
    for start in &STARTS {
        if start.is_redis_emptied {
            let _: String = world.redis.ask(&["FLUSHALL"]).await;
        }
        let (mut gateways, mut admins) = (Vec::new(), Vec::new());
        for at in 0..start.gateways {
            let admin = free_address()?;
            let settings = world
                .settings("", "local_cache_bytes = \"256MiB\"\n")
                .replace("[admin]\nlisten = []", &format!("[admin]\nlisten = [\"{admin}\"]"));
            gateways.push(Gateway::start(world.folder.path(), &format!("cold{at}"), &settings)?);
            admins.push(admin);
        }
        let pace = Pace {
            gateways: gateways.iter().map(|gateway| gateway.address).collect(),
            tokens: Arc::clone(&tokens),
            a_second: A_SECOND,
            connections: 4 * CONNECTIONS,
            seconds,
        };
        let outcomes = paced(&pace).await;
        let mut statements = BTreeMap::new();
        for admin in admins {
            for (statement, calls) in vault_statements(admin).await {
                *statements.entry(statement).or_insert(0.0) += calls;
            }
        }
        let of = |name: &str| statements.get(name).copied().unwrap_or(0.0);
        let mut row = row(start.title, &outcomes, seconds);
        row.push(json!(time_to_normal(&outcomes)));
        row.push(json!(of("find_session")));
        row.push(json!(of("touch")));
        rows.push(row);
        drawn.push((start.title, outcomes));
    }
    let more = ["s until normal", "lookups in the vault", "writes of use"];
    let columns: Vec<&str> = COLUMNS.iter().copied().chain(more).collect();
    let title = format!(
        "Cold start: {count} sessions in use, each request of another one (statements, not sessions)"
    );
    report.table("cold", &title, &columns, &rows)?;
    std::fs::write(report::folder()?.join("cold.svg"), chart(&drawn, seconds))?;
    Ok(())
}

/// An address that nobody listens on now.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Vault statements of a gateway since its start, by name.
async fn vault_statements(admin: SocketAddr) -> BTreeMap<String, f64> {
    let page = http::request(admin, "GET", "/metrics", &[], b"").await.text();
    let counts = page.lines().filter_map(|line| {
        let (name, calls) =
            line.strip_prefix("doorward_vault_statement_seconds_count{statement=\"")?.split_once("\"} ")?;
        Some((name.to_owned(), calls.parse().ok()?))
    });
    counts.collect()
}

/// Time from which people notice a wait.
const NOTICED: Duration = Duration::from_millis(100);

/// Seconds until the last request that was refused, or took long enough to be noticed.
fn time_to_normal(outcomes: &[Outcome]) -> f64 {
    let is_normal = |outcome: &&Outcome| outcome.status == 200 && outcome.took < NOTICED;
    let last = outcomes.iter().rev().find(|outcome| !is_normal(outcome));
    last.map_or(0.0, |outcome| outcome.at.as_secs_f64())
}

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 110.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 44.0;
/// Width of a bar, in seconds.
const STEP: f64 = 0.5;

/// Draws, for each start, the 99th percentile of each half second as a line and the refused requests as bars, as SVG
/// readable on light and dark pages.
fn chart(starts: &[(&str, Vec<Outcome>)], seconds: f64) -> String {
    let panel = TOP + HEIGHT + 22.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"cold starts\">\n\
         <style>text{{font:12px system-ui,sans-serif;fill:#24292f}}.t{{font-weight:600;font-size:13px}}\
         line{{stroke:#8b949e;stroke-width:.5}}@media(prefers-color-scheme:dark){{text{{fill:#d5dbe2}}}}</style>\n",
        LEFT + WIDTH + 20.0,
        panel * starts.len() as f64
    );
    for (at, (title, outcomes)) in starts.iter().enumerate() {
        let top = panel * at as f64 + TOP;
        let steps = (seconds / STEP).ceil() as usize;
        let within: Vec<Vec<Outcome>> = (0..steps)
            .map(|step| {
                let from = Duration::from_secs_f64(step as f64 * STEP);
                let until = from + Duration::from_secs_f64(STEP);
                outcomes.iter().filter(|outcome| (from..until).contains(&outcome.at)).copied().collect()
            })
            .collect();
        let p99: Vec<f64> = within.iter().map(|some| percentile(some, 0.99)).collect();
        let most = p99.iter().copied().filter(|figure| figure.is_finite()).fold(1.0, f64::max);
        let refused = |some: &Vec<Outcome>| some.iter().filter(|outcome| outcome.status != 200).count();
        let all_refused: usize = within.iter().map(refused).sum();
        let _ = writeln!(
            out,
            "<text class=\"t\" x=\"{LEFT}\" y=\"{}\">{title}: 99 % within (line, ms), not served (bars): {all_refused} of {}</text>",
            top - 16.0,
            outcomes.len()
        );
        let x = |step: usize| LEFT + WIDTH * step as f64 / steps.max(1) as f64;
        for part in [0.0, 0.5, 1.0] {
            let level = top + HEIGHT * (1.0 - part);
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{level:.1}\" y2=\"{level:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.1}</text>",
                LEFT + WIDTH,
                LEFT - 6.0,
                level + 4.0,
                most * part
            );
        }
        for (step, some) in within.iter().enumerate().filter(|(_, some)| !some.is_empty()) {
            let height = HEIGHT * refused(some) as f64 / some.len() as f64;
            if height > 0.0 {
                let _ = writeln!(
                    out,
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"#c2554d\"/>",
                    x(step),
                    top + HEIGHT - height,
                    WIDTH / steps as f64
                );
            }
        }
        let line = p99.iter().enumerate().filter(|(_, figure)| figure.is_finite());
        let line: Vec<String> = line
            .map(|(step, figure)| format!("{:.1},{:.1}", x(step), top + HEIGHT * (1.0 - figure / most)))
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#3b7dd8\" stroke-width=\"2\"/>\
             <text x=\"{LEFT}\" y=\"{:.1}\">0</text><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{seconds:.0} s</text>",
            line.join(" "),
            top + HEIGHT + 15.0,
            LEFT + WIDTH,
            top + HEIGHT + 15.0
        );
    }
    out + "</svg>\n"
}
