//! Memory of a gateway: idle, and with 100,000 locally confirmed sessions.
//!
//! Sessions are created through the store traits and their tokens signed with the vault's key, so that no password is
//! hashed; each is then used once. `cargo bench --bench local_memory` (needs redis-server; under a minute).

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward::auth::keys;
use doorward::clock::SystemClock;
use doorward::config::{Algorithm, RedisTopology};
use doorward::demo::app::App;
use doorward::id::{Random, SystemRandom, base64url};
use doorward::token::seal::MasterSecret;
use doorward::vault::Vault;
use doorward::vault::sqlite::{SqliteOptions, SqliteVault};

#[expect(dead_code, reason = "shared with benches that need more of it")]
mod shared;

use shared::first_use::use_each_once;
use shared::gateway::Gateway;
use shared::redis::{self, RedisServer};
use shared::sessions::{Opener, create_users, redis_store};

const SESSIONS: usize = 100_000;
/// Number of users, each with a name and a role.
const USERS: usize = 1000;
const TOKEN_LIFE: Duration = Duration::from_secs(900);

fn main() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let redis = RedisServer::start(redis::NONE).await;
        let app = App::start(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let folder = tempfile::tempdir()?;
        let key = base64url((&SystemRandom as &dyn Random).bytes::<32>());
        let vault = SqliteVault::open(
            &folder.path().join("doorward.db"),
            Arc::new(SystemClock::new()),
            SqliteOptions { statement_timeout: Duration::from_secs(60) },
        )?;
        let tokens = open_sessions(&vault, &MasterSecret::parse(&key, "the bench")?, &redis).await?;
        let gateway = start(folder.path(), &key, redis.port, app.address())?;
        let mut out = std::io::stdout();
        let idle = gateway.resident()?;
        writeln!(out, "idle, before the first request      {:7.1} MiB", idle)?;
        // One session per user first, so that the baseline includes user names, connections and buffers.
        use_each_once(gateway.address, &tokens[..USERS]).await?;
        let warm = gateway.resident()?;
        writeln!(out, "{USERS:6} sessions confirmed locally  {:7.1} MiB", warm)?;
        use_each_once(gateway.address, &tokens[USERS..]).await?;
        let full = gateway.resident()?;
        writeln!(out, "{SESSIONS:6} sessions confirmed locally  {:7.1} MiB", full)?;
        let each = (full - warm) * 1024.0 * 1024.0 / (SESSIONS - USERS) as f64;
        writeln!(out, "so {each:.0} bytes a session, and {:.1} MiB for all of them", full - warm)?;
        Ok(())
    })
}

/// Access tokens of new sessions in the session store and the vault.
async fn open_sessions(
    vault: &Vault,
    master: &MasterSecret,
    redis: &RedisServer,
) -> anyhow::Result<Vec<String>> {
    let opener = Opener {
        vault: vault.clone(),
        store: Some(redis_store(redis::url(RedisTopology::Single(redis.host()))).await?),
        keys: Arc::new(keys::establish(vault, master, Algorithm::EdDsa, &SystemRandom).await?),
        token_life: TOKEN_LIFE,
    };
    let users = create_users(vault, "somebody", USERS).await?;
    // The first tokens cover each user once.
    let owners: Vec<_> = (0..SESSIONS).map(|at| users[at % USERS]).collect();
    Ok(opener.open_all(&owners).await?.into_iter().map(|session| session.token).collect())
}

fn start(folder: &std::path::Path, key: &str, redis: u16, app: SocketAddr) -> anyhow::Result<Gateway> {
    let settings = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = []\n[log]\nlevel = \"error\"\n\
         [vault]\nmaster_key = \"{key}\"\n\
         [sessions]\nurl = \"redis://127.0.0.1:{redis}/0\"\nlocal_cache_bytes = \"128MiB\"\n\
         [upstreams.app]\nservers = [\"http://{app}\"]\n\
         [[routes]]\nname = \"app\"\npath = \"/\"\naccess = \"signed-in\"\nupstream = \"app\"\n"
    );
    Gateway::start(folder, "gateway", &settings)
}
