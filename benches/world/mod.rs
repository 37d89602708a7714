//! Base of the larger benches: private stores, gateway processes, sessions created through the store traits, load, and
//! output of the figures.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use doorward::auth::keys;
use doorward::config::{Algorithm, RedisTopology};
use doorward::demo::app::App;
use doorward::id::{Random, SessionId, SystemRandom, UserId, base64url};
use doorward::identity::{ClientKind, Epoch, Roles};
use doorward::secret::Secret;
use doorward::session::redis::{RedisOptions, RedisStore};
use doorward::session::{Record, SessionStore};
use doorward::token::access::{self, FIRST_PARTY_CLIENT, Profile, Subject};
use doorward::token::keyring::KeySet;
use doorward::token::refresh::FamilyId;
use doorward::token::seal::MasterSecret;
use doorward::vault::postgres::{PostgresOptions, PostgresVault};
use doorward::vault::{NewSession, Vault};
use tokio::time::Instant;

pub(crate) mod gateway;
#[path = "../../tests/support/http.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
pub(crate) mod http;
pub(crate) mod load;
#[path = "../../tests/support/stores/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
pub(crate) mod postgres;
pub(crate) mod report;
#[path = "../../tests/support/stores/redis.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
pub(crate) mod servers;

pub(crate) use gateway::Gateway;
pub(crate) use report::Report;

/// Lifetime of a session and of its Redis record: longer than any run.
const LIFE: Duration = Duration::from_secs(86_400);
/// Lifetime of an access token: the maximum.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
const ISSUER: &str = "http://127.0.0.1:8080";
/// Sessions created concurrently: enough to keep the connections of a vault busy.
const AT_ONCE: usize = 32;
/// Sessions per batch, before their tokens are written to the file.
const BATCH: usize = 16_000;

/// A Redis, a Postgres and an app, private to this process.
pub(crate) struct World {
    pub(crate) vault: Vault,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) keys: Arc<KeySet>,
    pub(crate) master_key: String,
    pub(crate) redis: servers::RedisServer,
    pub(crate) postgres: postgres::Server,
    pub(crate) database: String,
    pub(crate) app: App,
    pub(crate) folder: tempfile::TempDir,
}

/// A file of access tokens, one per line, all of one length.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) file: std::path::PathBuf,
    /// Bytes per line, including its end.
    pub(crate) width: usize,
    pub(crate) count: usize,
}

impl Tokens {
    /// The first `count` tokens, in memory.
    pub(crate) fn first(&self, count: usize) -> anyhow::Result<Vec<String>> {
        use std::io::Read as _;
        let mut text = String::new();
        let bytes = (self.width * count.min(self.count)) as u64;
        std::fs::File::open(&self.file)?.take(bytes).read_to_string(&mut text)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl World {
    /// Postgres runs without waiting for its disk unless `postgres` says otherwise.
    pub(crate) async fn start(postgres: &str) -> anyhow::Result<Self> {
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let redis = servers::RedisServer::start(servers::NONE).await;
        let memory = format!("shared_buffers = 256MB\nmax_wal_size = 4GB\n{postgres}");
        let postgres = postgres::Server::start(&memory);
        let database = postgres.database();
        let options = PostgresOptions { pool_size: 8, ..postgres.options(&database) };
        let vault = PostgresVault::open(options).await?;
        let master_key = base64url(random.bytes::<32>());
        let master = MasterSecret::parse(&master_key, "the bench")?;
        let keys = Arc::new(keys::establish(&vault, &master, Algorithm::EdDsa, random.as_ref()).await?);
        let options = RedisOptions {
            url: servers::url(RedisTopology::Single(redis.host())),
            ca_file: None,
            key_prefix: "dw:".to_owned(),
        };
        let store: Arc<dyn SessionStore> = Arc::new(RedisStore::start(options, random, Arc::default())?);
        let nobody = SessionId::from_bytes([0; 16]);
        let is_used = async || store.check(nobody).await.is_ok();
        crate::eventually::assert_eventually("Redis is used", Duration::from_secs(20), is_used).await;
        let app = App::start(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let folder = tempfile::tempdir()?;
        Ok(Self { vault, store, keys, master_key, redis, postgres, database, app, folder })
    }

    /// Creates `count` users without password logins.
    pub(crate) async fn users(&self, name: &str, count: usize) -> anyhow::Result<Vec<UserId>> {
        let each = async |at: usize| {
            let id = UserId::random(&SystemRandom);
            let login = format!("{name}{at:07}@example.com").parse()?;
            self.vault.users.create(id, &login, &Secret::new("-".to_owned()), &roles()?).await?;
            Ok::<_, anyhow::Error>(id)
        };
        let mut users = Vec::with_capacity(count);
        for at in 0..count {
            users.push(each(at).await?);
        }
        Ok(users)
    }

    /// Creates sessions for these users in turn through the store traits; only the password check is skipped. Their
    /// tokens are appended to `file` in that order.
    pub(crate) async fn open(
        &self,
        users: &[UserId],
        count: usize,
        name: &str,
    ) -> anyhow::Result<(Tokens, Duration)> {
        use std::io::Write as _;
        let file = self.folder.path().join(name);
        let mut out = std::io::BufWriter::new(std::fs::File::create(&file)?);
        let began = Instant::now();
        let mut width = 0;
        for first in (0..count).step_by(BATCH) {
            let batch: Vec<usize> = (first..count.min(first + BATCH)).collect();
            let mut opening = Vec::new();
            for some in batch.chunks(batch.len().div_ceil(AT_ONCE)) {
                let (vault, store, keys) =
                    (self.vault.clone(), Arc::clone(&self.store), Arc::clone(&self.keys));
                let owners: Vec<UserId> = some.iter().map(|at| users[at % users.len()]).collect();
                opening.push(tokio::spawn(async move {
                    let mut lines = String::new();
                    for user in owners {
                        lines.push_str(&open_one(&vault, store.as_ref(), &keys, user).await?);
                        lines.push('\n');
                    }
                    Ok::<_, anyhow::Error>(lines)
                }));
            }
            for some in opening {
                let lines = some.await??;
                width = lines.find('\n').context("a line")? + 1;
                ensure!(lines.len() % width == 0, "tokens of different lengths");
                out.write_all(lines.as_bytes())?;
            }
        }
        out.flush()?;
        Ok((Tokens { file, width, count }, began.elapsed()))
    }

    /// Configuration of a gateway: one signed-in route, and one that queries Redis on every request.
    pub(crate) fn settings(&self, server: &str, sessions: &str) -> String {
        format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n{server}\
             [server.limits]\nconnections_per_ip = 10000\nrequests_per_connection = 100000000\n\
             [admin]\nlisten = []\n[log]\nlevel = \"error\"\n\
             [vault]\nurl = \"{}\"\nmaster_key = \"{}\"\n\
             [sessions]\nurl = \"redis://127.0.0.1:{}/0\"\n{sessions}\
             [tokens]\naccess_ttl = \"1h\"\n\
             [upstreams.app]\nservers = [\"http://{}\"]\n\
             [[routes]]\nname = \"app\"\npath = \"/\"\naccess = \"signed-in\"\nupstream = \"app\"\n\
             [[routes]]\nname = \"fresh\"\npath = \"/fresh\"\naccess = \"signed-in\"\nalways_revalidate = true\nupstream = \"app\"\n\
             [[routes]]\nname = \"public\"\npath = \"/public\"\naccess = \"public\"\nupstream = \"app\"\n",
            self.url(),
            self.master_key,
            self.redis.port,
            self.app.address()
        )
    }

    fn url(&self) -> String {
        let password: String = postgres::ROLE_PASSWORD.bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("postgres://{}:{password}@127.0.0.1:{}/{}", postgres::ROLE, self.postgres.port, self.database)
    }

    /// CPU microseconds used by Postgres: all its processes, including ended ones.
    pub(crate) fn postgres_cpu(&self) -> anyhow::Result<f64> {
        let file = std::fs::read_to_string(self.postgres.folder().join("data/postmaster.pid"))?;
        let main: u32 = file.lines().next().context("its id")?.trim().parse()?;
        let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children"))?;
        let mut all = gateway::cpu_with_ended_children(main)?;
        for child in children.split_whitespace() {
            // A process that just ended is counted by its parent next time.
            all += gateway::cpu_micros(child.parse()?).unwrap_or(0.0);
        }
        Ok(all)
    }

    /// A value of Redis `INFO`.
    pub(crate) async fn redis_info(&self, name: &str) -> anyhow::Result<f64> {
        let info: String = self.redis.ask(&["INFO"]).await;
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.with_context(|| format!("no {name} in INFO"))?.trim().parse()?)
    }
}

fn roles() -> anyhow::Result<Roles> {
    Ok(Roles::parse(["staff"])?)
}

/// A sign-in after the password check.
async fn open_one(
    vault: &Vault,
    store: &dyn SessionStore,
    keys: &KeySet,
    user_id: UserId,
) -> anyhow::Result<String> {
    let random: &dyn Random = &SystemRandom;
    let session = NewSession {
        id: SessionId::random(random),
        user_id,
        epoch: Epoch(0),
        client_id: FIRST_PARTY_CLIENT.to_owned(),
        family: FamilyId::random(random).digest(),
        refresh_kid: 0,
        idle: LIFE,
        absolute: LIFE,
        address: None,
        user_agent: None,
    };
    let grant = vault.sessions.open(&session).await?;
    let idle = Some((grant.ends_at, ClientKind::Program));
    let record = Record { user_id, expires_at: grant.expires_at, idle };
    // A Redis that shares its core is late at times; missing sessions would not be counted.
    let mut tries = 0;
    while let Err(error) = store.fill(session.id, record, LIFE).await {
        tries += 1;
        ensure!(tries < 100, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let profile = Profile { issuer: ISSUER.to_owned(), audience: "doorward".to_owned(), ttl: TOKEN_LIFE };
    let subject =
        Subject { session_id: session.id, user_id, roles: grant.roles.clone(), rights: grant.rights };
    let issued = access::issue(&profile, &subject, grant.now, grant.ends_at, keys, random);
    Ok(issued.context("a key that signs")?.token.expose().clone())
}
