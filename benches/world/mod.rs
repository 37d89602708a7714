//! Base of the larger benches: private stores, gateway processes, sessions created through the store traits, load, and
//! output of the figures.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use doorward::auth::keys;
use doorward::config::{Algorithm, RedisTopology};
use doorward::demo::app::App;
use doorward::id::{Random, SystemRandom, UserId, base64url};
use doorward::session::SessionStore;
use doorward::token::keyring::KeySet;
use doorward::token::seal::MasterSecret;
use doorward::vault::Vault;
use doorward::vault::postgres::{PostgresOptions, PostgresVault};
use tokio::time::Instant;

use crate::shared::sessions::{Opener, create_users, redis_store};
use crate::shared::{postgres, redis, usage};

pub(crate) mod report;

pub(crate) use report::Report;

/// Lifetime of an access token: the maximum.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// Sessions per batch, before their tokens are written to the file.
const BATCH: usize = 16_000;

/// A Redis, a Postgres and an app, private to this process.
pub(crate) struct World {
    pub(crate) vault: Vault,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) keys: Arc<KeySet>,
    pub(crate) master_key: String,
    pub(crate) redis: redis::RedisServer,
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
        let random: &dyn Random = &SystemRandom;
        let redis = redis::RedisServer::start(redis::NONE).await;
        let memory = format!("shared_buffers = 256MB\nmax_wal_size = 4GB\n{postgres}");
        let postgres = postgres::Server::start(&memory);
        let database = postgres.database();
        let options = PostgresOptions { pool_size: 8, ..postgres.options(&database) };
        let vault = PostgresVault::open(options).await?;
        let master_key = base64url(random.bytes::<32>());
        let master = MasterSecret::parse(&master_key, "the bench")?;
        let keys = Arc::new(keys::establish(&vault, &master, Algorithm::EdDsa, random).await?);
        let store = redis_store(redis::url(RedisTopology::Single(redis.host()))).await?;
        let app = App::start(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let folder = tempfile::tempdir()?;
        Ok(Self { vault, store, keys, master_key, redis, postgres, database, app, folder })
    }

    /// Creates `count` users without password logins.
    pub(crate) async fn users(&self, name: &str, count: usize) -> anyhow::Result<Vec<UserId>> {
        create_users(&self.vault, name, count).await
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
        let opener = Opener {
            vault: self.vault.clone(),
            store: Some(Arc::clone(&self.store)),
            keys: Arc::clone(&self.keys),
            token_life: TOKEN_LIFE,
        };
        for first in (0..count).step_by(BATCH) {
            let batch = first..count.min(first + BATCH);
            let owners: Vec<UserId> = batch.map(|at| users[at % users.len()]).collect();
            for session in opener.open_all(&owners).await? {
                let line = session.token + "\n";
                ensure!(width == 0 || width == line.len(), "tokens of different lengths");
                width = line.len();
                out.write_all(line.as_bytes())?;
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
            self.postgres.url(&self.database),
            self.master_key,
            self.redis.port,
            self.app.address()
        )
    }

    /// CPU microseconds used by Postgres: all its processes, including ended ones.
    pub(crate) fn postgres_cpu(&self) -> anyhow::Result<f64> {
        let file = std::fs::read_to_string(self.postgres.folder().join("data/postmaster.pid"))?;
        let main: u32 = file.lines().next().context("its id")?.trim().parse()?;
        let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children"))?;
        let mut all = usage::cpu_with_ended_children(main)?;
        for child in children.split_whitespace() {
            // A process that just ended is counted by its parent next time.
            all += usage::cpu_micros(child.parse()?).unwrap_or(0.0);
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
