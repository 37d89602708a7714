//! Refreshes per second: through a gateway, through the vault trait, and the same statement in pgbench on the same
//! server, which is the maximum of this Postgres. Also the cost of a login and of the first use of a session.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use doorward::clock::{Clock as _, SystemClock};
use doorward::id::{SystemRandom, UserId};
use doorward::token::access::FIRST_PARTY_CLIENT;
use doorward::token::refresh::{FamilyId, RefreshToken};
use doorward::vault::postgres::PostgresVault;
use doorward::vault::{Presented, REVOCATION_LIFE, Rotation};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::SECONDS;
use super::world::{Report, World};
use crate::shared::gateway::Gateway;
use crate::shared::http::Client;
use crate::shared::sessions::new_session;

/// Concurrent clients: as many as a gateway has connections to Postgres.
const CLIENTS: usize = 8;
/// Sessions of each client, used in turn, so that no client waits for another's lock.
const EACH: usize = 1000;
const GRACE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let world = World::start("").await?;
    let statement = statement(&world).await?;
    let mut rows = Vec::new();
    for fsync in ["off", "on"] {
        world.postgres.psql("postgres", &format!("ALTER SYSTEM SET fsync = {fsync}"));
        world.postgres.psql("postgres", &format!("ALTER SYSTEM SET full_page_writes = {fsync}"));
        world.postgres.reload();
        let user = world.users(&format!("fsync-{fsync}"), 1).await?[0];
        let bare = pgbench(&world, &statement, user).await?;
        let by_trait = by_trait(&world, user).await?;
        let by_gateway = by_gateway(&world, user).await?;
        for (what, run) in [("pgbench", &bare), ("vault trait", &by_trait), ("gateway", &by_gateway)] {
            rows.push(run.row(what, fsync, &bare));
        }
        for (what, run) in [
            ("login (vault trait)", &logins(&world, user).await?),
            ("session unknown to Redis (vault trait)", &sights(&world, user).await?),
        ] {
            rows.push(run.row(what, fsync, run));
        }
    }
    report.table(
        "refreshes",
        "Refreshes on one Postgres (8 at a time; µs of CPU each; all on the same cores)",
        &["what", "fsync", "a second", "of pgbench", "Postgres µs", "gateway µs"],
        &rows,
    )
}

/// Results of one run.
struct Run {
    count: f64,
    seconds: f64,
    postgres: f64,
    gateway: Option<f64>,
}

impl Run {
    fn a_second(&self) -> f64 {
        self.count / self.seconds
    }

    fn row(&self, what: &str, fsync: &str, bare: &Self) -> Vec<Value> {
        vec![
            json!(what),
            json!(fsync),
            json!(self.a_second()),
            if what.starts_with(['l', 'f']) { Value::Null } else { json!(self.a_second() / bare.a_second()) },
            json!(self.postgres / self.count),
            self.gateway.map_or(Value::Null, |gateway| json!(gateway / self.count)),
        ]
    }
}

/// The SQL statement of a rotation, taken from the server's log.
async fn statement(world: &World) -> anyhow::Result<String> {
    let user = world.users("logged", 1).await?[0];
    let family = [7; 32];
    open(world, user, vec![vec![family]]).await?;
    let log =
        |what: &str| world.postgres.psql("postgres", &format!("ALTER DATABASE {} {what}", world.database));
    log("SET log_statement = 'all'");
    // Connections opened from now on are logged.
    let vault = PostgresVault::open(world.postgres.options(&world.database)).await?;
    vault.sessions.rotate(&presented(family, 0)).await?;
    log("RESET log_statement");
    let text = std::fs::read_to_string(world.postgres.folder().join("log"))?;
    // Continuation lines of a log entry start with a tab.
    let text = text.replace("\n\t", "\n ");
    let entry =
        text.split("\n2").find(|entry| entry.contains("execute ") && entry.contains("rotated_before"));
    let entry = entry.context("Postgres has logged no rotation")?;
    let begin = entry.find("WITH clock").context("its beginning")?;
    Ok(entry[begin..].trim().to_owned())
}

fn presented(family: [u8; 32], generation: u32) -> Presented {
    let client_id = FIRST_PARTY_CLIENT.to_owned();
    Presented { family, generation, client_id, refresh_kid: 0, grace: GRACE, grace_unused: DAY, idle: DAY }
}

/// A family that pgbench can compute: these digits, in hexadecimal.
fn numbered(number: usize) -> [u8; 32] {
    let digits = format!("{number:064}");
    let mut family = [0; 32];
    for (at, byte) in family.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("decimal digits");
    }
    family
}

/// Creates sessions for each client, with these families.
async fn open(world: &World, user: UserId, families: Vec<Vec<[u8; 32]>>) -> anyhow::Result<()> {
    let mut opening = JoinSet::new();
    for some in families {
        let vault = world.vault.clone();
        opening.spawn(async move {
            for family in some {
                vault.sessions.open(&new_session(user, family)).await?;
            }
            anyhow::Ok(())
        });
    }
    opening.join_all().await.into_iter().collect()
}

/// Creates numbered sessions, starting at `from`.
async fn numbered_sessions(world: &World, user: UserId, from: usize) -> anyhow::Result<()> {
    let of = |client| (0..EACH).map(|at| numbered(from + client * EACH + at)).collect();
    open(world, user, (0..CLIENTS).map(of).collect()).await
}

/// First free number: sessions of another run have other generations.
fn numbers(world: &World) -> anyhow::Result<usize> {
    let count = world.postgres.psql(&world.database, "SELECT coalesce(max(place), 0) FROM sessions");
    Ok(count.trim().parse::<usize>()? * 10 + 1)
}

async fn pgbench(world: &World, statement: &str, user: UserId) -> anyhow::Result<Run> {
    let from = numbers(world)?;
    numbered_sessions(world, user, from).await?;
    let mut sql = statement.to_owned();
    // The parameters as pgbench sends them; each family is the digits of a number.
    let values = [
        ("$1", "decode(lpad(:s::text, 64, '0'), 'hex')".to_owned()),
        ("$2", ":g".to_owned()),
        ("$3", ":kid".to_owned()),
        ("$4", ":grace".to_owned()),
        ("$5", ":idle".to_owned()),
        ("$6", ":client".to_owned()),
        ("$7", ":life".to_owned()),
    ];
    for (parameter, value) in &values {
        ensure!(sql.contains(parameter), "the statement has no {parameter}");
        sql = sql.replace(parameter, value);
    }
    let script = format!(
        "\\set i :i + 1\n\\set s {from} + :client_id * {EACH} + :i % {EACH}\n\\set g :i / {EACH}\n{sql};\n"
    );
    let file = world.folder.path().join("rotate.sql");
    std::fs::write(&file, script)?;
    let (clients, seconds) = (CLIENTS.to_string(), (2 * SECONDS).to_string());
    let defined: Vec<String> = [
        ("i", "-1".to_owned()),
        ("kid", "0".to_owned()),
        ("grace", GRACE.as_millis().to_string()),
        ("idle", DAY.as_millis().to_string()),
        ("client", FIRST_PARTY_CLIENT.to_owned()),
        ("life", REVOCATION_LIFE.as_millis().to_string()),
    ]
    .into_iter()
    .map(|(name, value)| format!("-D{name}={value}"))
    .collect();
    let before = world.postgres_cpu()?;
    let (socket, port) = (world.postgres.socket(), world.postgres.port.to_string());
    let mut command = Command::new("pgbench");
    command.args(["-h", &socket, "-p", &port, "-U", "postgres", "-n", "-M", "prepared", "-j", "2"]);
    command.args(["-c", &clients, "-T", &seconds, "-f"]).arg(&file).args(&defined).arg(&world.database);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .context("cannot run pgbench: install postgresql")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    let after = |what: &str| printed.lines().find_map(|line| line.strip_prefix(what)).map(str::trim);
    let count = after("number of transactions actually processed:").context("a count")?;
    let count: f64 = count.split('/').next().unwrap_or_default().parse()?;
    let rate = after("tps =").and_then(|text| text.split(' ').next()).context("a rate")?;
    let postgres = world.postgres_cpu()? - before;
    // Every rotation was granted: none counted as reuse, and the generations add up.
    let sum = format!(
        "SELECT sum(generation), count(*) FILTER (WHERE ended_at IS NOT NULL) FROM sessions WHERE family BETWEEN \
         decode(lpad('{from}', 64, '0'), 'hex') AND decode(lpad('{}', 64, '0'), 'hex')",
        from + CLIENTS * EACH - 1
    );
    let sum = world.postgres.psql(&world.database, &sum);
    ensure!(sum.trim() == format!("{count}|0"), "{count} rotations, and generations add up to {sum}");
    Ok(Run { count, seconds: count / rate.parse::<f64>()?, postgres, gateway: None })
}

/// Runs `CLIENTS` tasks until the time is up and counts the operations.
async fn run<F>(world: &World, gateway: Option<&Gateway>, clients: Vec<F>) -> anyhow::Result<Run>
where
    F: Future<Output = anyhow::Result<usize>> + Send + 'static,
{
    let cpu = || gateway.map(Gateway::cpu).transpose();
    let (postgres, at_gateway, began) = (world.postgres_cpu()?, cpu()?, Instant::now());
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(client);
    }
    let counts: Vec<usize> = running.join_all().await.into_iter().collect::<anyhow::Result<_>>()?;
    Ok(Run {
        count: counts.into_iter().sum::<usize>() as f64,
        seconds: began.elapsed().as_secs_f64(),
        postgres: world.postgres_cpu()? - postgres,
        gateway: cpu()?.zip(at_gateway).map(|(after, before)| after - before),
    })
}

fn until() -> Instant {
    Instant::now() + Duration::from_secs(2 * SECONDS)
}

async fn by_trait(world: &World, user: UserId) -> anyhow::Result<Run> {
    let from = numbers(world)?;
    numbered_sessions(world, user, from).await?;
    let until = until();
    let clients = (0..CLIENTS).map(|client| {
        let vault = world.vault.clone();
        async move {
            let mut count = 0;
            while Instant::now() < until {
                let family = numbered(from + client * EACH + count % EACH);
                let generation = u32::try_from(count / EACH)?;
                let rotation = vault.sessions.rotate(&presented(family, generation)).await?;
                ensure!(
                    matches!(rotation, Rotation::Granted { age: Some(_), .. }),
                    "not rotated: {rotation:?}"
                );
                count += 1;
            }
            Ok(count)
        }
    });
    run(world, None, clients.collect()).await
}

async fn by_gateway(world: &World, user: UserId) -> anyhow::Result<Run> {
    let gateway = Gateway::start(world.folder.path(), "refreshes", &world.settings("", ""))?;
    let token = || RefreshToken { family: FamilyId::random(&SystemRandom), generation: 0 };
    let tokens: Vec<Vec<RefreshToken>> =
        (0..CLIENTS).map(|_| std::iter::repeat_with(token).take(EACH).collect()).collect();
    let digests = |some: &Vec<RefreshToken>| some.iter().map(|token| token.family.digest()).collect();
    open(world, user, tokens.iter().map(digests).collect()).await?;
    let now = SystemClock::new().wall();
    let text = |token: RefreshToken| token.encode(0, &world.keys, now).map(|text| text.expose().clone());
    let texts = |some: Vec<RefreshToken>| some.into_iter().map(text).collect::<Option<Vec<_>>>();
    let tokens: Vec<_> = tokens.into_iter().map(texts).collect::<Option<_>>().context("the first key")?;
    let (until, address) = (until(), gateway.address);
    let clients = tokens.into_iter().map(|mut tokens| async move {
        let (mut client, mut count) = (Client::connect(address).await, 0);
        while Instant::now() < until {
            let token = &mut tokens[count % EACH];
            let body = json!({ "refresh_token": token }).to_string();
            let headers = [("Content-Type", "application/json")];
            let response = client.request("POST", "/auth/refresh", &headers, body.as_bytes()).await;
            ensure!(response.status == 200, "not refreshed: {}", response.text());
            *token = response.member("refresh_token");
            count += 1;
        }
        Ok(count)
    });
    run(world, Some(&gateway), clients.collect()).await
}

async fn logins(world: &World, user_id: UserId) -> anyhow::Result<Run> {
    let until = until();
    let clients = (0..CLIENTS).map(|_| {
        let vault = world.vault.clone();
        async move {
            let mut count = 0;
            while Instant::now() < until {
                vault.sessions.open(&new_session(user_id, FamilyId::random(&SystemRandom).digest())).await?;
                count += 1;
            }
            Ok(count)
        }
    });
    run(world, None, clients.collect()).await
}

async fn sights(world: &World, user_id: UserId) -> anyhow::Result<Run> {
    let mut ids = Vec::with_capacity(EACH);
    for _ in 0..EACH {
        let session = new_session(user_id, FamilyId::random(&SystemRandom).digest());
        world.vault.sessions.open(&session).await?;
        ids.push(session.id);
    }
    let (until, ids) = (until(), Arc::new(ids));
    let clients = (0..CLIENTS).map(|client| {
        let (vault, ids) = (world.vault.clone(), Arc::clone(&ids));
        async move {
            let mut count = 0;
            while Instant::now() < until {
                // As many in a statement as a gateway asks about at most.
                let some = (0..256).map(|at| ids[(client + count + at) % EACH]);
                let some: Vec<_> = some.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
                let rows = vault.sessions.find_many(&some).await?;
                ensure!(rows.len() == some.len() && rows.iter().all(|row| row.live), "they live");
                count += rows.len();
            }
            Ok(count)
        }
    });
    run(world, None, clients.collect()).await
}
