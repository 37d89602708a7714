//! Delay between the acknowledgement of a revocation and its effect. Three gateways on one Redis and one Postgres,
//! under load.
//!
//! In each round one session is used continuously at every gateway (with a pause of a millisecond between two requests,
//! or with none, which keeps both cores of a small machine busy), and is then signed out at one of them. The delay runs
//! from the moment the client has the acknowledgement until the last client has received its last accepted response; it
//! is zero when none came later.
//!
//! The same for a person whom an identity provider signs out or disables (OpenID Connect Back-Channel Logout 1.0): the
//! delay runs from the moment the provider begins its call, before it connects, so the goal of 50 ms includes the call.
//! `cargo bench --bench revocation` (needs redis-server and PostgreSQL; about three minutes).

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use doorward::auth::keys;
use doorward::config::Algorithm;
use doorward::demo::app::App;
use doorward::id::{Random, SystemRandom, UserId, base64url};
use doorward::identity::Roles;
use doorward::secret::Secret;
use doorward::token::refresh::{FamilyId, RefreshToken};
use doorward::token::seal::MasterSecret;
use doorward::vault::postgres::PostgresVault;
use doorward::vault::{NewUser, Vault};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

#[path = "revocation/provider.rs"]
mod provider;
#[expect(dead_code, reason = "shared with benches that need more of it")]
mod shared;

use provider::Provider;
use shared::gateway::Gateway;
use shared::http::{self, Client};
use shared::sessions::new_session;
use shared::{postgres, redis};

const GATEWAYS: usize = 3;
/// Revocations of each kind: enough for a 99th percentile.
const ROUNDS: usize = 300;
/// Background clients per gateway: together about 900 requests per second.
const OTHERS: usize = 3;
const PACE: Duration = Duration::from_millis(10);
/// Pause between two requests of the session to be revoked.
const PAUSE: Duration = Duration::from_millis(1);

/// Way in which a session ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its user signs out at a gateway.
    SignOut,
    /// The provider announces the end of the session (`sid`).
    SessionEnded,
    /// The provider announces that the person may use none any more (`sub` alone), as when an administrator disables it.
    PersonDisabled,
}

/// A session to be ended.
struct Session {
    bearer: String,
    /// Its person at the provider.
    person: String,
}

struct World {
    provider: Provider,
    vault: Vault,
    master: MasterSecret,
    master_key: String,
    user: UserId,
    redis: redis::RedisServer,
    postgres: postgres::Server,
    database: String,
    app: App,
    folder: tempfile::TempDir,
}

fn main() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start().await?;
        let say = |line: String| writeln!(std::io::stdout(), "{line}");
        say(format!("{GATEWAYS} gateways, {ROUNDS} revocations each; acknowledged -> last accept received"))?;
        let gateways = world.gateways("")?;
        for gateway in &gateways {
            world.provider.introduce(gateway.address).await?;
        }
        let out = Way::SignOut;
        say(world.measure("Redis up", &gateways, PAUSE, out).await?)?;
        say(world.measure("Redis up, no pause", &gateways, Duration::ZERO, out).await?)?;
        say("logout token of the provider; its call begins -> last accept received".to_owned())?;
        say(world.measure("session ended", &gateways, PAUSE, Way::SessionEnded).await?)?;
        say(world.measure("person disabled", &gateways, PAUSE, Way::PersonDisabled).await?)?;
        say(world.measure("disabled, no pause", &gateways, Duration::ZERO, Way::PersonDisabled).await?)?;
        world.redis.kill();
        say(world.measure("disabled, no Redis", &gateways, PAUSE, Way::PersonDisabled).await?)?;
        say("signed out; acknowledged -> last accept received".to_owned())?;
        say(world.measure("Redis down", &gateways, PAUSE, out).await?)?;
        drop(gateways);
        world.redis.spawn().await;
        let gateways = world.gateways("prepared = false\n")?;
        say(world.measure("NOTIFY off", &gateways, PAUSE, out).await?)?;
        Ok(())
    })
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let random: &dyn Random = &SystemRandom;
        let provider = Provider::start().await?;
        let redis = redis::RedisServer::start(redis::NONE).await;
        let postgres = postgres::Server::start("");
        let database = postgres.database();
        let vault = PostgresVault::open(postgres.options(&database)).await?;
        let master_key = base64url(random.bytes::<32>());
        let master = MasterSecret::parse(&master_key, "the bench")?;
        let user = UserId::random(random);
        // No password login in this bench.
        let no_password = Secret::new("-".to_owned());
        let new = NewUser::new(user, "bench".parse()?, no_password, Roles::default());
        vault.users.create(&new).await?;
        let app = App::start(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        Ok(Self {
            provider,
            vault,
            master,
            master_key,
            user,
            redis,
            postgres,
            database,
            app,
            folder: tempfile::tempdir()?,
        })
    }

    fn gateways(&self, vault: &str) -> anyhow::Result<Vec<Gateway>> {
        let one = |at| Gateway::start(self.folder.path(), &format!("gateway{at}"), &self.settings(vault));
        (0..GATEWAYS).map(one).collect()
    }

    fn settings(&self, vault: &str) -> String {
        format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[server.limits]\nconnections_per_ip = 10000\n\
             [admin]\nlisten = []\n[log]\nlevel = \"error\"\n\
             [vault]\nurl = \"{}\"\nmaster_key = \"{}\"\n{vault}\
             [sessions]\nurl = \"redis://127.0.0.1:{}/0\"\n\
             [upstreams.app]\nservers = [\"http://{}\"]\n\
             [[routes]]\nname = \"app\"\npath = \"/\"\naccess = \"signed-in\"\nupstream = \"app\"\n{}",
            self.postgres.url(&self.database),
            self.master_key,
            self.redis.port,
            self.app.address(),
            self.provider.table()
        )
    }

    /// New sessions, each of another person at the provider, created through the store traits and refreshed once at a gateway.
    async fn sessions(&self, count: usize, gateway: SocketAddr) -> anyhow::Result<Vec<Session>> {
        let random: &dyn Random = &SystemRandom;
        let keys = keys::establish(&self.vault, &self.master, Algorithm::EdDsa, random).await?;
        let mut client = Client::connect(gateway).await;
        let mut sessions = Vec::new();
        for _ in 0..count {
            let token = RefreshToken { family: FamilyId::random(random), generation: 0 };
            let session = new_session(self.user, token.family.digest());
            let person = session.id.to_string();
            let part = self.provider.part(&person);
            self.vault.identities.link(&part.account, self.user).await?;
            let grant = self.vault.identities.open(&session, &part).await?;
            let token = token.encode(0, &keys, grant.now).context("the first key")?;
            let body = json!({ "refresh_token": token.expose() }).to_string();
            let headers = [("Content-Type", "application/json")];
            let response = client.request("POST", "/auth/refresh", &headers, body.as_bytes()).await;
            ensure!(response.status == 200, "{}", response.text());
            sessions.push(Session { bearer: response.member("access_token"), person });
        }
        Ok(sessions)
    }

    async fn measure(
        &self,
        what: &str,
        gateways: &[Gateway],
        pause: Duration,
        way: Way,
    ) -> anyhow::Result<String> {
        let addresses: Vec<_> = gateways.iter().map(|gateway| gateway.address).collect();
        let others = self.sessions(OTHERS, addresses[0]).await?;
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut load = JoinSet::new();
        for &address in &addresses {
            for other in &others {
                let (stop, served, bearer) = (Arc::clone(&stop), Arc::clone(&served), other.bearer.clone());
                load.spawn(async move {
                    let mut client = Client::connect(address).await;
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(get(&mut client, &bearer).await, Some(200), "nobody else notices");
                        served.fetch_add(1, Ordering::Relaxed);
                        sleep(PACE).await;
                    }
                });
            }
        }
        let began = Instant::now();
        let mut late = Vec::new();
        for (round, session) in self.sessions(ROUNDS, addresses[0]).await?.into_iter().enumerate() {
            late.push(self.one(&addresses, round % GATEWAYS, &session, pause, way).await?);
        }
        stop.store(true, Ordering::Relaxed);
        load.join_all().await;
        late.sort();
        let at = |part: usize| late[(late.len() - 1) * part / 100].as_secs_f64() * 1000.0;
        let none = late.iter().filter(|late| late.is_zero()).count();
        Ok(format!(
            "{what:19} p50 {:6.2} ms   p99 {:6.2} ms   max {:6.2} ms   none at all in {none} of {ROUNDS}   ({:.0} other requests/s)",
            at(50),
            at(99),
            at(100),
            served.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
        ))
    }

    /// One revocation at the gateway `by`. Returns the delay until the last accepted response.
    async fn one(
        &self,
        gateways: &[SocketAddr],
        by: usize,
        session: &Session,
        pause: Duration,
        way: Way,
    ) -> anyhow::Result<Duration> {
        let mut users = JoinSet::new();
        for &address in gateways {
            let bearer = session.bearer.clone();
            users.spawn(async move {
                let mut client = Client::connect(address).await;
                let mut last = None;
                while get(&mut client, &bearer).await == Some(200) {
                    last = Some(Instant::now());
                    if !pause.is_zero() {
                        sleep(pause).await;
                    }
                }
                last
            });
        }
        let mut owner = Client::connect(gateways[by]).await;
        ensure!(get(&mut owner, &session.bearer).await == Some(200), "it lives");
        // At a different phase of the gateways' timers each time.
        sleep(Duration::from_micros(
            20_000 + u64::from(u16::from_le_bytes((&SystemRandom as &dyn Random).bytes())),
        ))
        .await;
        let from = if way == Way::SignOut {
            let bearer = format!("Bearer {}", session.bearer);
            let headers = [("Authorization", bearer.as_str())];
            let response = owner.request("POST", "/auth/logout", &headers, b"").await;
            ensure!(response.status == 200, "{}", response.text());
            Instant::now()
        } else {
            let begun = Instant::now();
            self.provider.announce(gateways[by], &session.person, way == Way::PersonDisabled).await?;
            begun
        };
        let last =
            users.join_all().await.into_iter().flatten().max().context("every client was served before")?;
        Ok(last.saturating_duration_since(from))
    }
}

/// Status of the next response; `None` when the connection is closed instead.
async fn get(client: &mut Client, bearer: &str) -> Option<u16> {
    let bearer = format!("Bearer {bearer}");
    let message = http::message("GET", "/", &[("Authorization", &bearer)], b"");
    if !client.try_send(&message).await {
        return None;
    }
    client.response("GET").await.map(|response| response.status)
}
