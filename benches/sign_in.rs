//! Sign-ins: whether refused ones differ in time, and what 300 at once cost everybody else.
//!
//! `make bench-sign-in` (needs redis-server and PostgreSQL; about three minutes). Select parts by name: `times`, `load`. Load,
//! app, gateway and stores share the cores of this machine: the ratios count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use doorward::id::{FactorId, Random, SystemRandom, UserId};
use doorward::identity::Roles;
use doorward::password::{Hasher, Password};
use doorward::secret::Secret;
use doorward::vault::{NewTotp, NewUser};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

#[path = "scenarios/paced.rs"]
mod paced;
#[path = "sign_in/ranks.rs"]
mod ranks;
#[expect(dead_code, reason = "shared with benches that need more of it")]
mod shared;
#[expect(dead_code, reason = "shared with benches that need more of it")]
mod world;

use paced::{Outcome, Pace, paced, percentile};
use ranks::{median, same_distribution};
use shared::first_use::use_each_once;
use shared::gateway::{Gateway, PASSWORD};
use shared::http::{Client, Response};
use shared::usage;
use world::{Report, World};

/// Timed sign-ins of each kind.
const EACH: usize = 300;
/// Clients that sign in at once.
const AT_ONCE: usize = 300;
/// Proxied requests a second beside them.
const A_SECOND: f64 = 500.0;
/// Seconds of each phase, with and without sign-ins in turn.
const SECONDS: f64 = 10.0;
const ROUNDS: usize = 4;
/// Memory of one argon2id hash with the gateway's parameters, in MiB.
const HASH_MIB: f64 = 19.0;
/// Memory of a client that waits for its hash, in MiB, at most (docs/capacity.md).
const CLIENT_MIB: f64 = 1.0 / 8.0;
/// Hashing threads of the gateway: the default. Each keeps a core busy.
const HASH_THREADS: f64 = 1.0;
/// Limits that one client with hundreds of accounts would meet.
const LOGIN: &str = "[login]\nattempts_per_address = 100000\n";

fn main() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
        let has = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
        let mut report = Report::new("sign-in")?;
        let world = World::start("").await?;
        if has("times") {
            times(&world, &mut report).await?;
        }
        if has("load") {
            load(&world, &mut report).await?;
        }
        report.end()
    })
}

/// A hash of [`PASSWORD`] as the gateway makes it.
async fn hash() -> anyhow::Result<Secret<String>> {
    let hasher = Hasher::start(1, 1, Arc::new(SystemRandom))?;
    Ok(hasher.hash(Password::new(PASSWORD)?).await?)
}

/// Creates a user of whom everybody knows the password.
async fn user(world: &World, login: &str, hash: &Secret<String>, disabled: bool) -> anyhow::Result<UserId> {
    let id = UserId::random(&SystemRandom);
    let new = NewUser::new(id, login.parse()?, hash.clone(), Roles::parse(["staff"])?);
    world.vault.users.create(&NewUser { disabled, ..new }).await?;
    Ok(id)
}

/// Kinds of refused sign-ins, and the password that each is tried with.
const KINDS: [(&str, &str); 4] = [
    ("wrong password", "wrong"),
    ("unknown user", "unknown"),
    ("disabled user", "disabled"),
    ("user with TOTP", "totp"),
];

/// Whether the time, the body or the headers of a refused sign-in tell why it was refused.
async fn times(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let (hash, random): (_, &dyn Random) = (hash().await?, &SystemRandom);
    for at in 0..EACH {
        user(world, &format!("wrong{at}@example.com"), &hash, false).await?;
        user(world, &format!("disabled{at}@example.com"), &hash, true).await?;
        let id = user(world, &format!("totp{at}@example.com"), &hash, false).await?;
        let sealed = random.bytes::<48>().to_vec();
        let name = "Authenticator app".to_owned();
        let factor = NewTotp { id: FactorId::random(&SystemRandom), user_id: id, name, sealed, step: 0 };
        world.vault.factors.add_totp(&factor).await?;
    }
    let settings = world.settings("", "") + LOGIN;
    let gateway = Gateway::start(world.folder.path(), "times", &settings)?;
    let mut client = Client::connect(gateway.address).await;
    for at in 0..20 {
        sign_in(&mut client, &format!("warm{at}@example.com"), "not the password").await;
    }
    let mut took: [Vec<f64>; 4] = Default::default();
    let mut seen: Option<String> = None;
    for at in 0..EACH {
        for kind in shuffled() {
            let (name, login) = KINDS[kind];
            let began = Instant::now();
            let response =
                sign_in(&mut client, &format!("{login}{at}@example.com"), "not the password").await;
            took[kind].push(began.elapsed().as_secs_f64() * 1000.0);
            let told = told(&response);
            let first = seen.get_or_insert_with(|| told.clone());
            ensure!(*first == told, "{name} differs:\n{told}\nfrom\n{first}");
        }
    }
    let medians: Vec<f64> = took.iter().map(|times| median(times)).collect();
    let lowest = medians.iter().copied().fold(f64::INFINITY, f64::min);
    let mut rows = Vec::new();
    for ((name, _), (times, middle)) in KINDS.iter().zip(took.iter().zip(&medians)) {
        let least = took.iter().filter(|other| !std::ptr::eq(*other, times));
        let least = least.map(|other| same_distribution(times, other)).fold(1.0, f64::min);
        let more = (middle / lowest - 1.0) * 100.0;
        rows.push(vec![json!(name), json!(times.len()), json!(middle), json!(more), json!(least)]);
    }
    let columns =
        ["refused sign-in", "count", "median ms", "% above the lowest", "least p of the rank tests"];
    report.table("times", "Do refused sign-ins differ in time?", &columns, &rows)?;
    let most = rows.iter().filter_map(|row| row[3].as_f64()).fold(0.0, f64::max);
    let least = rows.iter().filter_map(|row| row[4].as_f64()).fold(1.0, f64::min);
    let same = "bodies and headers are the same but for date and request id";
    report.note(
        "refused sign-ins",
        &format!("medians within {most:.1} % (5 allowed), p at least {least:.3} (above 0.01); {same}"),
    )
}

/// The kinds in random order, so that none profits from what came before it.
fn shuffled() -> [usize; 4] {
    let random: &dyn Random = &SystemRandom;
    let mut order = [0, 1, 2, 3];
    for at in (1..order.len()).rev() {
        let [byte] = random.bytes::<1>();
        order.swap(at, usize::from(byte) % (at + 1));
    }
    order
}

async fn sign_in(client: &mut Client, login: &str, password: &str) -> Response {
    let body = json!({ "username": login, "password": password }).to_string();
    client.request("POST", "/auth/login", &[("Content-Type", "application/json")], body.as_bytes()).await
}

/// Response as a client sees it, without what differs in each.
fn told(response: &Response) -> String {
    let id = response.header("x-request-id").unwrap_or_default();
    let mut fields: Vec<String> = response
        .headers
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("date") && !name.eq_ignore_ascii_case("x-request-id"))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    fields.sort_unstable();
    let body = if id.is_empty() { response.text() } else { response.text().replace(id, "-") };
    format!("{}\n{}\n\n{body}", response.status, fields.join("\n"))
}

#[derive(Default)]
struct SignIns {
    done: usize,
    told_to_wait: usize,
    failed: usize,
}

/// Cost of 300 clients that sign in at once, for the requests of people who are signed in.
async fn load(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let hash = hash().await?;
    for at in 0..AT_ONCE {
        user(world, &format!("crowd{at}@example.com"), &hash, false).await?;
    }
    let users = world.users("reader", 100).await?;
    let (tokens, _) = world.open(&users, 1000, "readers").await?;
    let settings = world.settings("", "") + LOGIN;
    let gateway = Gateway::start(world.folder.path(), "load", &settings)?;
    let tokens = Arc::new(tokens.first(1000)?);
    use_each_once(gateway.address, &tokens).await?;
    let pace = Pace {
        gateways: vec![gateway.address],
        tokens,
        a_second: A_SECOND,
        connections: 64,
        seconds: SECONDS,
    };
    let (mut without, mut with, mut all) = (Vec::new(), Vec::new(), SignIns::default());
    paced(&pace).await;
    let before = usage::peak_mib(gateway.id())?;
    for _ in 0..ROUNDS {
        without.extend(paced(&pace).await);
        let (stop, mut crowd) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for at in 0..AT_ONCE {
            crowd.spawn(keep_signing_in(gateway.address, at, Arc::clone(&stop)));
        }
        with.extend(paced(&pace).await);
        stop.store(true, Ordering::Relaxed);
        for some in crowd.join_all().await {
            all.done += some.done;
            all.told_to_wait += some.told_to_wait;
            all.failed += some.failed;
        }
    }
    let peak = usage::peak_mib(gateway.id())?;
    let row = |phase: &str, outcomes: &[Outcome]| -> Vec<Value> {
        let refused = outcomes.iter().filter(|outcome| outcome.status != 200).count();
        let (p50, p99) = (percentile(outcomes, 0.5), percentile(outcomes, 0.99));
        vec![
            json!(phase),
            json!(outcomes.len()),
            json!(p50),
            json!(p99),
            json!(percentile(outcomes, 1.0)),
            json!(refused),
        ]
    };
    let rows = [row("without", &without), row("with 300 sign-ins at once", &with)];
    let columns = ["proxied requests", "count", "p50 ms", "p99 ms", "max ms", "not 200"];
    report.table("load", "What 300 sign-ins at once cost everybody else", &columns, &rows)?;
    let ratio = percentile(&with, 0.99) / percentile(&without, 0.99);
    report.note("p99 with sign-ins / without", &format!("{ratio:.2} (1.5 at most)"))?;
    let bound = HASH_MIB * HASH_THREADS + CLIENT_MIB * AT_ONCE as f64;
    report.note(
        "peak memory",
        &format!(
            "{before:.0} MiB before, {peak:.0} MiB after; {:.0} more, {bound:.0} at most",
            peak - before
        ),
    )?;
    let a_second = all.done as f64 / (SECONDS * ROUNDS as f64) / HASH_THREADS;
    report.note(
        "sign-ins",
        &format!(
            "{a_second:.1} a second on the core of the hashing thread, {} told to come back, {} failed otherwise",
            all.told_to_wait, all.failed
        ),
    )
}

/// A client that signs in, waits if it is told to, and signs in again.
async fn keep_signing_in(gateway: std::net::SocketAddr, at: usize, stop: Arc<AtomicBool>) -> SignIns {
    let (mut count, login) = (SignIns::default(), format!("crowd{at}@example.com"));
    let Ok(mut client) = Client::try_connect(gateway).await else { return SignIns { failed: 1, ..count } };
    while !stop.load(Ordering::Relaxed) {
        let response = sign_in(&mut client, &login, PASSWORD).await;
        match (response.status, response.header("retry-after").and_then(|value| value.parse().ok())) {
            (200, _) => count.done += 1,
            (429 | 503, Some(seconds)) => {
                count.told_to_wait += 1;
                sleep(Duration::from_secs(seconds)).await;
            }
            _ => count.failed += 1,
        }
    }
    count
}
