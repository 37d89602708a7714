//! Growth of cost with threads, sessions, gateways on the same stores, and refreshes.
//!
//! `make bench-scale` (needs redis-server, PostgreSQL with pgbench, and wrk; about seven minutes), or `cargo bench
//! --bench scale -- --quick` (about two, sessions up to 100,000). Select parts by name: `threads`, `sessions`,
//! `gateways`, `refreshes`. Gateways, Redis and Postgres are separate processes whose CPU time is read from the system.
//! Load and app run in other processes and in this one, on the same cores, so the figures are CPU per request rather
//! than requests per second.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use doorward::id::UserId;
use serde_json::{Value, json};
use tokio::task::JoinSet;

#[path = "scale/curve.rs"]
mod curve;
#[path = "scale/flood.rs"]
mod flood;
#[path = "scale/model.rs"]
mod model;
#[path = "scale/refreshes.rs"]
mod refreshes;
#[expect(dead_code, reason = "shared with benches that need more of it")]
mod shared;
mod world;

use flood::{Flood, Wrk, flood, present};
use report::say;
use shared::gateway::Gateway;
use shared::usage;
use world::{Report, Tokens, World, report};

/// Number of users; sessions are distributed over them.
const USERS: usize = 1000;
const CONNECTIONS: usize = 64;
/// Seconds per round: about two seconds of CPU time, read in hundredths of a second.
pub(crate) const SECONDS: u64 = 2;

/// Parts to measure, and their size.
struct Plan {
    quick: bool,
    parts: BTreeSet<String>,
}

impl Plan {
    fn read() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let parts = words.iter().filter(|word| !word.starts_with('-')).cloned().collect();
        Self { quick: words.iter().any(|word| word == "--quick"), parts }
    }

    fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.contains(part)
    }

    fn rounds(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }
}

fn main() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let plan = Plan::read();
        let mut report = Report::new("scale")?;
        if plan.has("threads") || plan.has("sessions") || plan.has("gateways") {
            let world = World::start("").await?;
            report.note("Postgres", world.postgres.psql("postgres", "SHOW server_version").trim())?;
            let users = world.users("somebody", USERS).await?;
            if plan.has("threads") {
                threads(&world, &users, &plan, &mut report).await?;
            }
            if plan.has("gateways") {
                gateways(&world, &users, &mut report).await?;
            }
            if plan.has("sessions") {
                sessions(&world, &users, &plan, &mut report).await?;
            }
        }
        if plan.has("refreshes") {
            refreshes::measure(&mut report).await?;
        }
        model::print(&mut report)?;
        report.end()
    })
}

/// Cost of a load, in CPU microseconds per request.
struct Cost {
    gateway: f64,
    redis: f64,
    flood: Flood,
}

/// The round with the median gateway cost, starting with session `first`.
async fn cost(
    world: &World,
    gateway: &Gateway,
    tokens: &Tokens,
    (path, mut first): (&'static str, usize),
    plan: &Plan,
) -> anyhow::Result<Cost> {
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds() {
        let before = (gateway.cpu()?, redis_cpu(world)?);
        let how = Wrk { connections: CONNECTIONS, seconds: SECONDS, first, path };
        let flood = flood(gateway.address, tokens, how).await?;
        anyhow::ensure!(flood.refused == 0.0, "{} requests refused", flood.refused);
        first += flood.requests as usize;
        let each = |after: f64, before: f64| (after - before) / flood.requests;
        rounds.push(Cost {
            gateway: each(gateway.cpu()?, before.0),
            redis: each(redis_cpu(world)?, before.1),
            flood,
        });
    }
    rounds.sort_by(|one, other| one.gateway.total_cmp(&other.gateway));
    Ok(rounds.swap_remove(rounds.len() / 2))
}

/// One to two worker threads of one gateway.
async fn threads(world: &World, users: &[UserId], plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let (tokens, _) = world.open(users, USERS, "threads").await?;
    let mut rows = Vec::new();
    for threads in [1, 2] {
        let settings = world.settings(&format!("threads = {threads}\n"), "");
        let gateway = Gateway::start(world.folder.path(), "threads", &settings)?;
        present(gateway.address, &tokens, USERS, USERS).await?;
        for path in ["/public", "/", "/fresh"] {
            let cost = cost(world, &gateway, &tokens, (path, 0), plan).await?;
            rows.push(vec![
                json!(threads),
                json!(named(path)),
                json!(cost.flood.requests / cost.flood.seconds),
                json!(cost.gateway),
                json!(cost.redis),
                json!(cost.flood.p50_ms),
                json!(cost.flood.p99_ms),
            ]);
        }
    }
    report.table(
        "threads",
        "Threads of one gateway (1,000 sessions in turn, 64 connections; load and app on the same cores)",
        &["threads", "route", "requests/s", "gateway µs", "Redis µs", "p50 ms", "p99 ms"],
        &rows,
    )
}

fn named(path: &str) -> &'static str {
    match path {
        "/public" => "public",
        "/fresh" => "Redis asked each time",
        _ => "signed-in",
    }
}

/// One to eight single-threaded gateways on one Redis and one Postgres.
async fn gateways(world: &World, users: &[UserId], report: &mut Report) -> anyhow::Result<()> {
    let (tokens, _) = world.open(users, USERS, "gateways").await?;
    let mut rows = Vec::new();
    for count in [1, 2, 4, 8] {
        let settings = world.settings("threads = 1\n", "");
        let start = |at| Gateway::start(world.folder.path(), &format!("gateway{at}"), &settings);
        let gateways: Vec<Gateway> = (0..count).map(start).collect::<anyhow::Result<_>>()?;
        for gateway in &gateways {
            present(gateway.address, &tokens, USERS, USERS).await?;
        }
        let idle = idle(world, &gateways).await?;
        let mut row = vec![json!(count)];
        for path in ["/", "/fresh"] {
            let (gateway, redis) = together(world, &gateways, &tokens, path).await?;
            row.extend([json!(gateway), json!(redis)]);
        }
        row.extend(idle);
        rows.push(row);
    }
    report.table(
        "gateways",
        "Gateways on one Redis and one Postgres (CPU µs a request, all gateways loaded at once; then CPU ms a second while \
         nobody asks anything)",
        &[
            "gateways",
            "signed-in: gateway µs",
            "Redis µs",
            "asked each time: gateway µs",
            "Redis µs (asked)",
            "idle: each gateway ms/s",
            "Redis ms/s",
            "Postgres ms/s",
        ],
        &rows,
    )
}

/// Cost of idle gateways.
async fn idle(world: &World, gateways: &[Gateway]) -> anyhow::Result<[Value; 3]> {
    let all = || gateways.iter().map(Gateway::cpu).sum::<anyhow::Result<f64>>();
    let read = || anyhow::Ok((all()?, redis_cpu(world)?, world.postgres_cpu()?));
    let (before, span) = (read()?, Duration::from_secs(3 * SECONDS));
    tokio::time::sleep(span).await;
    let after = read()?;
    let a_second = |after: f64, before: f64| (after - before) / 1000.0 / span.as_secs_f64();
    Ok([
        json!(a_second(after.0, before.0) / gateways.len() as f64),
        json!(a_second(after.1, before.1)),
        json!(a_second(after.2, before.2)),
    ])
}

/// CPU microseconds per request of gateways and Redis, with all gateways under load at once.
async fn together(
    world: &World,
    gateways: &[Gateway],
    tokens: &Tokens,
    path: &'static str,
) -> anyhow::Result<(f64, f64)> {
    let all = || gateways.iter().map(Gateway::cpu).sum::<anyhow::Result<f64>>();
    let before = (all()?, redis_cpu(world)?);
    let connections = (CONNECTIONS / gateways.len()).max(8);
    let how = Wrk { connections, seconds: SECONDS, first: 0, path };
    let mut floods = JoinSet::new();
    for gateway in gateways {
        let (address, tokens) = (gateway.address, tokens.clone());
        floods.spawn(async move { flood(address, &tokens, how).await });
    }
    let mut requests = 0.0;
    for flood in floods.join_all().await {
        let flood = flood?;
        anyhow::ensure!(flood.refused == 0.0, "{} requests refused", flood.refused);
        requests += flood.requests;
    }
    Ok(((all()? - before.0) / requests, (redis_cpu(world)? - before.1) / requests))
}

/// A thousand to a million sessions, used in turn: the worst access pattern for any cache.
async fn sessions(world: &World, users: &[UserId], plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let sizes: &[usize] =
        if plan.quick { &[1000, 10_000, 100_000] } else { &[1000, 10_000, 100_000, 1_000_000] };
    let mut rows = Vec::new();
    for &count in sizes {
        let before = (world.redis_info("used_memory").await?, table_bytes(world)?);
        let (tokens, took) = world.open(users, count, "sessions").await?;
        let each = |after: f64, before: f64| (after - before) / count as f64;
        let redis_each = each(world.redis_info("used_memory").await?, before.0);
        let postgres_each = each(table_bytes(world)?, before.1);
        say(&format!("{count} sessions opened in {:.1} s", took.as_secs_f64()))?;
        // The default caches some 50,000 sessions; with more sessions, both the default and a sufficient size are
        // measured.
        let caches: &[&str] = if count > 50_000 { &["64MiB", "1500MiB"] } else { &["64MiB"] };
        for cache in caches {
            let settings = world.settings("", &format!("local_cache_bytes = \"{cache}\"\n"));
            let gateway = Gateway::start(world.folder.path(), "sessions", &settings)?;
            let idle = gateway.resident()?;
            let shown = if *cache == "64MiB" { count.min(100_000) } else { count };
            present(gateway.address, &tokens, USERS, shown).await?;
            let cost = cost(world, &gateway, &tokens, ("/", shown), plan).await?;
            let resident = gateway.resident()?;
            let beside = self::idle(world, std::slice::from_ref(&gateway)).await?;
            rows.push(vec![
                json!(count),
                json!(cache),
                json!(cost.gateway),
                json!(cost.redis),
                json!(idle),
                json!(resident),
                beside[0].clone(),
                json!(world.redis_info("used_memory_rss").await? / 1_048_576.0),
                json!(redis_each),
                json!(postgres_each),
                json!(took.as_secs_f64()),
            ]);
        }
        std::fs::remove_file(&tokens.file)?;
    }
    report.table(
        "sessions",
        "Sessions, each in its turn (µs of CPU a request; MiB resident; bytes a session)",
        &[
            "sessions",
            "local cache",
            "gateway µs",
            "Redis µs",
            "gateway MiB before",
            "MiB with all seen",
            "idle then ms/s",
            "Redis MiB",
            "Redis bytes each",
            "Postgres bytes each",
            "opened in s",
        ],
        &rows,
    )?;
    let drawn = curve::sessions(&report.sections["sessions"]["rows"]);
    Ok(std::fs::write(report::folder()?.join("scale.svg"), drawn)?)
}

/// CPU microseconds used by Redis.
fn redis_cpu(world: &World) -> anyhow::Result<f64> {
    let process =
        world.redis.process.lock().map_err(|_| anyhow::anyhow!("a panic while Redis was started"))?;
    usage::cpu_micros(process.as_ref().context("Redis runs")?.id())
}

/// Bytes of the session and audit tables in Postgres, including indexes.
fn table_bytes(world: &World) -> anyhow::Result<f64> {
    let sql = "SELECT pg_total_relation_size('sessions') + pg_total_relation_size('audit')";
    Ok(world.postgres.psql(&world.database, sql).trim().parse()?)
}
