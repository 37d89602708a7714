//! Four scenarios: a flash sale, a viral day, an incident, a cold start. They run on private stores and the real program, with
//! requests at a fixed rate whose times are those a client would see.
//!
//! `make bench-scenarios` (needs redis-server and PostgreSQL; about five minutes), or `cargo bench --bench scenarios --
//! --quick` (under two). Select parts by name: `sale`, `viral`, `incident`, `cold`. Load, app, gateways and stores share the
//! cores of this machine, so the rates are small: the ratios count.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

#[path = "scenarios/cold.rs"]
mod cold;
#[path = "scenarios/paced.rs"]
mod paced;
#[expect(dead_code, reason = "shared with benches that need more of it")]
mod shared;
mod world;

use paced::{Outcome, Pace, ask, paced, percentile};
use report::say;
use shared::first_use::use_each_once;
use shared::gateway;
use shared::gateway::Gateway;
use shared::gateway::{PASSWORD, add_user};
use shared::http::Client;
use world::{Report, World, report};

/// Requests per second on an ordinary day.
const A_SECOND: f64 = 150.0;
const CONNECTIONS: usize = 64;

struct Plan {
    quick: bool,
    parts: BTreeSet<String>,
}

impl Plan {
    fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.contains(part)
    }

    /// Duration of one phase.
    fn seconds(&self) -> f64 {
        if self.quick { 8.0 } else { 20.0 }
    }
}

fn main() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let parts = words.iter().filter(|word| !word.starts_with('-')).cloned().collect();
        let plan = Plan { quick: words.iter().any(|word| word == "--quick"), parts };
        let mut report = Report::new("scenarios")?;
        let world = World::start("").await?;
        report.note("Postgres", world.postgres.psql("postgres", "SHOW server_version").trim())?;
        if plan.has("sale") {
            sale(&world, &plan, &mut report).await?;
        }
        if plan.has("viral") {
            viral(&world, &plan, &mut report).await?;
        }
        if plan.has("incident") {
            incident(&world, &plan, &mut report).await?;
        }
        if plan.has("cold") {
            cold::cold(&world, &plan, &mut report).await?;
        }
        report.end()
    })
}

const COLUMNS: [&str; 7] = ["phase", "requests/s", "p50 ms", "p99 ms", "max ms", "refused", "unanswered"];

fn row(phase: &str, outcomes: &[Outcome], seconds: f64) -> Vec<Value> {
    let count = |is: fn(u16) -> bool| outcomes.iter().filter(|outcome| is(outcome.status)).count();
    vec![
        json!(phase),
        json!(outcomes.len() as f64 / seconds),
        json!(percentile(outcomes, 0.5)),
        json!(percentile(outcomes, 0.99)),
        json!(percentile(outcomes, 1.0)),
        json!(count(|status| status >= 400)),
        json!(count(|status| status == 0)),
    ]
}

/// Ten times the traffic, then the same with as many logins as the gateway accepts.
async fn sale(world: &World, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let users = world.users("buyer", 500).await?;
    let (tokens, _) = world.open(&users, 5000, "sale").await?;
    let gateway = Gateway::start(world.folder.path(), "sale", &world.settings("", ""))?;
    add_user(&world.folder.path().join("sale.toml"), "sale-login", "staff")?;
    let tokens = Arc::new(tokens.first(5000)?);
    use_each_once(gateway.address, &tokens).await?;
    let pace = |a_second| Pace {
        gateways: vec![gateway.address],
        tokens: Arc::clone(&tokens),
        a_second,
        connections: CONNECTIONS,
        seconds: plan.seconds(),
    };
    let mut rows = vec![row("ordinary", &paced(&pace(A_SECOND)).await, plan.seconds())];
    // Each twice, alternating, so that other activity on the machine affects both.
    let (mut without, mut with, mut logins) = (Vec::new(), Vec::new(), Logins::default());
    for _ in 0..2 {
        without.extend(paced(&pace(10.0 * A_SECOND)).await);
        let (stop, mut floods) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for _ in 0..16 {
            floods.spawn(log_in(gateway.address, Arc::clone(&stop)));
        }
        with.extend(paced(&pace(10.0 * A_SECOND)).await);
        stop.store(true, Ordering::Relaxed);
        for some in floods.join_all().await {
            logins.done += some.done;
            logins.refused += some.refused;
        }
    }
    rows.push(row("10 x traffic", &without, 2.0 * plan.seconds()));
    rows.push(row("10 x traffic, login burst", &with, 2.0 * plan.seconds()));
    report.table("sale", "Flash sale", &COLUMNS, &rows)?;
    let ratio = percentile(&with, 0.99) / percentile(&without, 0.99);
    let a_second = |count: usize| count as f64 / (2.0 * plan.seconds());
    report.note(
        "p99 with logins / without",
        &format!(
            "{ratio:.2} (2.0 at most); {:.1} logins a second granted, {:.1} asked to come back",
            a_second(logins.done),
            a_second(logins.refused)
        ),
    )
}

#[derive(Default)]
struct Logins {
    done: usize,
    refused: usize,
}

/// A client that logs in continuously.
async fn log_in(gateway: std::net::SocketAddr, stop: Arc<AtomicBool>) -> Logins {
    let (mut logins, mut client) = (Logins::default(), Client::connect(gateway).await);
    let body = json!({ "username": "sale-login", "password": PASSWORD }).to_string();
    while !stop.load(Ordering::Relaxed) {
        let headers = [("Content-Type", "application/json")];
        let response = client.request("POST", "/auth/login", &headers, body.as_bytes()).await;
        if response.status == 200 {
            logins.done += 1;
        } else {
            logins.refused += 1;
            sleep(Duration::from_millis(100)).await;
        }
    }
    logins
}

/// Ten times the sessions, most of users new to this gateway, and ten times the traffic.
async fn viral(world: &World, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let (few, many) = if plan.quick { (2000, 20_000) } else { (10_000, 100_000) };
    let gateway = Gateway::start(world.folder.path(), "viral", &world.settings("", ""))?;
    let before = world.redis_info("used_memory").await?;
    // Two sessions per user.
    let users = world.users("early", few / 2).await?;
    let (early, _) = world.open(&users, few, "early").await?;
    let users = world.users("late", (many - few) / 2).await?;
    let (late, took) = world.open(&users, many - few, "late").await?;
    say(&format!("{} sessions opened in {:.1} s", many - few, took.as_secs_f64()))?;
    let early = early.first(few)?;
    use_each_once(gateway.address, &early).await?;
    let pace = |tokens: &Arc<Vec<String>>, a_second| Pace {
        gateways: vec![gateway.address],
        tokens: Arc::clone(tokens),
        a_second,
        connections: CONNECTIONS,
        seconds: plan.seconds(),
    };
    let mut rows = Vec::new();
    let mut phase = async |what: &str, tokens: &Arc<Vec<String>>, a_second: f64| {
        let cpu = gateway.cpu()?;
        let outcomes = paced(&pace(tokens, a_second)).await;
        let mut row = row(what, &outcomes, plan.seconds());
        row.push(json!((gateway.cpu()? - cpu) / outcomes.len() as f64));
        row.push(json!(gateway.resident()?));
        rows.push(row);
        anyhow::Ok(())
    };
    let known = Arc::new(early.clone());
    phase("ordinary", &known, A_SECOND).await?;
    // All sessions in turn, new ones first: each request is the first use of its session at this gateway.
    let all = Arc::new(late.first(many - few)?.into_iter().chain(early).collect::<Vec<_>>());
    phase("10 x, all strangers", &all, 10.0 * A_SECOND).await?;
    let again = use_each_once(gateway.address, &all).await?;
    say(&format!("then all were presented; {again} were told to come back first"))?;
    phase("10 x, all known", &all, 10.0 * A_SECOND).await?;
    let columns: Vec<&str> = COLUMNS.iter().copied().chain(["gateway µs", "gateway MiB"]).collect();
    let title = format!("Viral day: {few} sessions become {many} (local cache of 64 MiB)");
    report.table("viral", &title, &columns, &rows)?;
    let bytes = (world.redis_info("used_memory").await? - before) / many as f64;
    report.note("Redis bytes a session", &format!("{bytes:.0}"))
}

/// One command ends 100,000 sessions of one account, with two gateways under traffic.
async fn incident(world: &World, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let count = if plan.quick { 20_000 } else { 100_000 };
    let settings = world.settings("", "local_cache_bytes = \"256MiB\"\n");
    let start = |at| Gateway::start(world.folder.path(), &format!("incident{at}"), &settings);
    let gateways: Vec<Gateway> = (0..2).map(start).collect::<anyhow::Result<_>>()?;
    let addresses: Vec<_> = gateways.iter().map(|gateway| gateway.address).collect();
    let stolen = world.users("stolen", 1).await?;
    let (stolen, took) = world.open(&stolen, count, "stolen").await?;
    say(&format!("{count} sessions opened in {:.1} s", took.as_secs_f64()))?;
    let users = world.users("untouched", 500).await?;
    let (others, _) = world.open(&users, 1000, "untouched").await?;
    let (stolen, others) = (Arc::new(stolen.first(count)?), Arc::new(others.first(1000)?));
    for &address in &addresses {
        use_each_once(address, &others).await?;
        use_each_once(address, &stolen).await?;
    }
    let seconds = plan.seconds();
    let pace = Pace {
        gateways: addresses.clone(),
        tokens: Arc::clone(&others),
        a_second: 2.0 * A_SECOND,
        connections: CONNECTIONS,
        seconds,
    };
    let ordinary = paced(&pace).await;
    let load = tokio::spawn({
        let pace = pace.clone();
        async move { paced(&pace).await }
    });
    let stop = Arc::new(AtomicBool::new(false));
    let mut thieves = JoinSet::new();
    for (at, &address) in addresses.iter().cycle().take(8).enumerate() {
        thieves.spawn(steal(address, Arc::clone(&stolen), at, Arc::clone(&stop)));
    }
    sleep(Duration::from_secs_f64(seconds / 4.0)).await;
    let (started, cpu) = (Instant::now(), world.postgres_cpu()?);
    let mut revoke = gateway::program(&world.folder.path().join("incident0.toml"));
    let name = "stolen0000000@example.com";
    revoke.args(["session", "revoke", "--user", name]);
    let output = tokio::task::spawn_blocking(move || revoke.output()).await??;
    let acknowledged = Instant::now();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        printed.trim() == format!("sessions ended: {count}"),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Every one of them, at each gateway, from now on.
    let mut accepted = 0;
    for &address in &addresses {
        accepted += accepted_now(address, &stolen).await?;
    }
    let outcomes = load.await?;
    stop.store(true, Ordering::Relaxed);
    let last = thieves.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let last = last.into_iter().max().context("they were served before")?;
    let cpu = world.postgres_cpu()? - cpu;
    let rows = [row("before", &ordinary, seconds), row("while they are revoked", &outcomes, seconds)];
    report.table("incident", "Incident: what sessions that were not touched felt", &COLUMNS, &rows)?;
    let millis = |span: Duration| span.as_secs_f64() * 1000.0;
    let late = millis(last.saturating_duration_since(acknowledged));
    let rows = [vec![
        json!(count),
        json!(millis(acknowledged - started)),
        json!(millis(last.saturating_duration_since(started))),
        json!(late),
        json!(accepted),
        json!(cpu / 1000.0),
    ]];
    report.table(
        "revoked",
        "Incident: `doorward session revoke --user`, two gateways",
        &[
            "sessions",
            "command ms",
            "last accepted, ms after it began",
            "ms after it was acknowledged",
            "accepted when all were tried after it",
            "Postgres ms of CPU in all",
        ],
        &rows,
    )
}

/// Uses stolen sessions in turn until stopped. Returns the time of the last accepted response.
async fn steal(
    gateway: std::net::SocketAddr,
    stolen: Arc<Vec<String>>,
    at: usize,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Instant> {
    let (mut client, mut last, mut number) = (Client::connect(gateway).await, Instant::now(), at);
    while !stop.load(Ordering::Relaxed) {
        match ask(&mut client, &stolen[number % stolen.len()]).await {
            Some(200) => last = Instant::now(),
            Some(_) => {}
            // The request in flight was cut.
            None => client = Client::try_connect(gateway).await?,
        }
        number += 7919;
        sleep(Duration::from_millis(2)).await;
    }
    Ok(last)
}

/// Uses each session once. Returns the number of accepted requests.
async fn accepted_now(gateway: std::net::SocketAddr, stolen: &[String]) -> anyhow::Result<usize> {
    let mut clients = JoinSet::new();
    for some in stolen.chunks(stolen.len().div_ceil(16)) {
        let some = some.to_vec();
        clients.spawn(async move {
            let (mut client, mut accepted) = (Client::connect(gateway).await, 0);
            for token in some {
                match ask(&mut client, &token).await {
                    Some(200) => accepted += 1,
                    Some(_) => {}
                    None => client = Client::try_connect(gateway).await?,
                }
            }
            anyhow::Ok(accepted)
        });
    }
    clients.join_all().await.into_iter().sum()
}
