//! Memory of a gateway: idle, and with 100,000 locally confirmed sessions.
//!
//! Sessions are created through the store traits and their tokens signed with the vault's key, so that no password is
//! hashed; each is then used once. `cargo bench --bench local_memory` (needs redis-server; under a minute).

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use doorward::auth::keys;
use doorward::clock::SystemClock;
use doorward::config::{Algorithm, RedisTopology};
use doorward::demo::app::App;
use doorward::id::{Random, SessionId, SystemRandom, UserId, base64url};
use doorward::identity::{ClientKind, Epoch, Login, Roles};
use doorward::secret::Secret;
use doorward::session::redis::{RedisOptions, RedisStore};
use doorward::session::{Record, SessionStore};
use doorward::token::access::{self, FIRST_PARTY_CLIENT, Profile, Subject};
use doorward::token::seal::MasterSecret;
use doorward::vault::sqlite::{SqliteOptions, SqliteVault};
use doorward::vault::{NewSession, UserKey, Vault};
use tokio::task::JoinSet;

#[path = "../tests/support/eventually.rs"]
mod eventually;
#[path = "../tests/support/http.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod http;
#[path = "../tests/support/stores/redis.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod servers;

use http::Client;

const SESSIONS: usize = 100_000;
/// Number of users, each with a name and a role.
const USERS: usize = 1000;
const AT_ONCE: usize = 16;
const TTL: Duration = Duration::from_secs(900);
const ISSUER: &str = "http://127.0.0.1:8080";

/// A gateway process, stopped when dropped.
struct Gateway {
    child: Child,
    address: SocketAddr,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let redis = servers::RedisServer::start(servers::NONE).await;
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
        let idle = resident(&gateway)?;
        writeln!(out, "idle, before the first request      {:7.1} MiB", idle / 1024.0)?;
        // One session per user first, so that the baseline includes user names, connections and buffers.
        present(gateway.address, &tokens[..USERS]).await?;
        let warm = resident(&gateway)?;
        writeln!(out, "{USERS:6} sessions confirmed locally  {:7.1} MiB", warm / 1024.0)?;
        present(gateway.address, &tokens[USERS..]).await?;
        let full = resident(&gateway)?;
        writeln!(out, "{SESSIONS:6} sessions confirmed locally  {:7.1} MiB", full / 1024.0)?;
        let each = (full - warm) * 1024.0 / (SESSIONS - USERS) as f64;
        writeln!(out, "so {each:.0} bytes a session, and {:.1} MiB for all of them", (full - warm) / 1024.0)?;
        Ok(())
    })
}

/// Access tokens of new sessions in the session store and the vault.
async fn open_sessions(
    vault: &Vault,
    master: &MasterSecret,
    redis: &servers::RedisServer,
) -> anyhow::Result<Vec<String>> {
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let keys = Arc::new(keys::establish(vault, master, Algorithm::EdDsa, random.as_ref()).await?);
    let options = RedisOptions {
        url: servers::url(RedisTopology::Single(redis.host())),
        ca_file: None,
        key_prefix: "dw:".to_owned(),
    };
    let store: Arc<dyn SessionStore> =
        Arc::new(RedisStore::start(options, Arc::clone(&random), Arc::default())?);
    let nobody = SessionId::from_bytes([0; 16]);
    eventually::assert_eventually("Redis is used", TTL, async || store.check(nobody).await.is_ok()).await;
    let roles = Roles::parse(["staff"])?;
    let mut users = Vec::new();
    for at in 0..USERS {
        let login: Login = format!("somebody{at}@example.com").parse()?;
        let id = UserId::random(random.as_ref());
        vault.users.create(id, &login, &Secret::new("-".to_owned()), &roles).await?;
        ensure!(vault.users.find(&UserKey::Id(id)).await?.is_some());
        users.push(id);
    }
    let mut tokens = Vec::with_capacity(SESSIONS);
    for first in (0..SESSIONS).step_by(250) {
        let mut opening = JoinSet::new();
        for at in first..first + 250 {
            let (vault, store, keys) = (vault.clone(), Arc::clone(&store), Arc::clone(&keys));
            let (random, user_id, roles) = (Arc::clone(&random), users[at % USERS], roles.clone());
            opening.spawn(async move {
                let session = NewSession {
                    id: SessionId::random(random.as_ref()),
                    user_id,
                    epoch: Epoch(0),
                    client_id: FIRST_PARTY_CLIENT.to_owned(),
                    family: random.bytes(),
                    refresh_kid: 0,
                    idle: TTL * 96,
                    absolute: TTL * 96,
                    address: None,
                    user_agent: None,
                };
                let grant = vault.sessions.open(&session).await?;
                let idle = Some((grant.ends_at, ClientKind::Program));
                let record = Record { user_id, expires_at: grant.expires_at, idle };
                store.fill(session.id, record, TTL).await?;
                let profile =
                    Profile { issuer: ISSUER.to_owned(), audience: "doorward".to_owned(), ttl: TTL };
                let subject = Subject { session_id: session.id, user_id, roles, rights: grant.rights };
                let issued =
                    access::issue(&profile, &subject, grant.now, grant.ends_at, &keys, random.as_ref());
                Ok::<_, anyhow::Error>(issued.context("a key that signs")?.token.expose().clone())
            });
        }
        for token in opening.join_all().await {
            tokens.push(token?);
        }
    }
    // The first tokens cover each user once: sessions were created in turn.
    Ok(tokens)
}

/// Uses each token once.
async fn present(gateway: SocketAddr, tokens: &[String]) -> anyhow::Result<()> {
    let mut clients = JoinSet::new();
    for some in tokens.chunks(tokens.len().div_ceil(AT_ONCE)) {
        let some = some.to_vec();
        clients.spawn(async move {
            let mut client = Client::connect(gateway).await;
            for token in some {
                let bearer = format!("Bearer {token}");
                loop {
                    let answer = client.request("GET", "/", &[("Authorization", &bearer)], b"").await;
                    match answer.status {
                        200 => break,
                        // More new sessions than the vault lookup limit per second.
                        503 => tokio::time::sleep(Duration::from_millis(50)).await,
                        _ => anyhow::bail!("{}", answer.text()),
                    }
                }
            }
            Ok(())
        });
    }
    clients.join_all().await.into_iter().collect()
}

/// In kibibytes.
fn resident(gateway: &Gateway) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn start(folder: &std::path::Path, key: &str, redis: u16, app: SocketAddr) -> anyhow::Result<Gateway> {
    let file = folder.join("gateway.toml");
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = []\n[log]\nlevel = \"error\"\n\
         [vault]\nmaster_key = \"{key}\"\n\
         [sessions]\nurl = \"redis://127.0.0.1:{redis}/0\"\nlocal_cache_bytes = \"128MiB\"\n\
         [upstreams.app]\nservers = [\"http://{app}\"]\n\
         [[routes]]\nname = \"app\"\npath = \"/\"\naccess = \"signed-in\"\nupstream = \"app\"\n"
    );
    fs::write(&file, text)?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .arg("--config")
        .arg(&file)
        .arg("serve")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
    let address = address_in(&line);
    Ok(Gateway { child, address: address.with_context(|| format!("no address in `{line}`"))? })
}

/// Address in the first line of a gateway: `{"reason":"listening","address":"127.0.0.1:8080",…}`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let told: serde_json::Value = serde_json::from_str(line).ok()?;
    told["address"].as_str()?.parse().ok()
}
