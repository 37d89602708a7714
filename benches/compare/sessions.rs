//! The stores and their sessions, created through the store traits as a login does, without the password hash.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward::auth::keys;
use doorward::clock::{Clock as _, SystemClock};
use doorward::config::{Algorithm, RedisTopology};
use doorward::id::{Random, SessionId, SystemRandom, UserId, base64url};
use doorward::identity::{ClientKind, Epoch, Login, Roles};
use doorward::secret::Secret;
use doorward::session::redis::{RedisOptions, RedisStore};
use doorward::session::{Record, SessionStore};
use doorward::token::access::{self, FIRST_PARTY_CLIENT, Profile, Subject};
use doorward::token::keyring::KeySet;
use doorward::token::seal::MasterSecret;
use doorward::vault::postgres::PostgresVault;
use doorward::vault::sqlite::{SqliteOptions, SqliteVault};
use doorward::vault::{EndReason, NewSession, Scope, Vault};
use tokio::task::JoinSet;

use crate::eventually::assert_eventually;
use crate::postgres::Server as Postgres;
use crate::redis::RedisServer;

pub(crate) const ISSUER: &str = "http://127.0.0.1:8080";
pub(crate) const AUDIENCE: &str = "doorward";
const TTL: Duration = Duration::from_secs(3600);
/// Number of users.
const USERS: usize = 1000;
const AT_ONCE: usize = 250;

/// A vault, its users and its signing key.
pub(crate) struct Stores {
    vault: Vault,
    sessions: Option<Arc<dyn SessionStore>>,
    keys: Arc<KeySet>,
    users: Vec<UserId>,
}

/// A session and its access token.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) token: String,
}

impl Stores {
    /// On Postgres and Redis.
    pub(crate) async fn shared(
        postgres: &Postgres,
        database: &str,
        redis: &RedisServer,
        master: &str,
    ) -> anyhow::Result<Self> {
        let vault = PostgresVault::open(postgres.options(database)).await?;
        let options = RedisOptions {
            url: crate::redis::url(RedisTopology::Single(redis.host())),
            ca_file: None,
            key_prefix: "dw:".to_owned(),
        };
        let store: Arc<dyn SessionStore> =
            Arc::new(RedisStore::start(options, Arc::new(SystemRandom), Arc::default())?);
        let nobody = SessionId::from_bytes([0; 16]);
        assert_eventually("Redis is used", TTL, async || store.check(nobody).await.is_ok()).await;
        Self::on(vault, Some(store), master, USERS).await
    }

    /// In a file; the gateway caches confirmed sessions.
    pub(crate) async fn embedded(file: &Path, master: &str) -> anyhow::Result<Self> {
        let options = SqliteOptions { statement_timeout: Duration::from_secs(60) };
        let vault = SqliteVault::open(file, Arc::new(SystemClock::new()), options)?;
        Self::on(vault, None, master, 1).await
    }

    async fn on(
        vault: Vault,
        sessions: Option<Arc<dyn SessionStore>>,
        master: &str,
        people: usize,
    ) -> anyhow::Result<Self> {
        let master = MasterSecret::parse(master, "the bench")?;
        let keys = Arc::new(keys::establish(&vault, &master, Algorithm::Es256, &SystemRandom).await?);
        let roles = Roles::parse(["staff"])?;
        let mut users = Vec::new();
        for at in 0..people {
            let login: Login = format!("somebody{at}@example.com").parse()?;
            let id = UserId::random(&SystemRandom);
            vault.users.create(id, &login, &Secret::new("-".to_owned()), &roles).await?;
            users.push(id);
        }
        Ok(Self { vault, sessions, keys, users })
    }

    /// Creates `count` sessions, distributed over the users.
    pub(crate) async fn open(&self, count: usize) -> anyhow::Result<Vec<Opened>> {
        let mut all = Vec::with_capacity(count);
        for first in (0..count).step_by(AT_ONCE) {
            let mut opening = JoinSet::new();
            for at in first..count.min(first + AT_ONCE) {
                let (vault, sessions) = (self.vault.clone(), self.sessions.clone());
                let (keys, user_id) = (Arc::clone(&self.keys), self.users[at % self.users.len()]);
                opening.spawn(async move { open(&vault, sessions.as_deref(), &keys, user_id).await });
            }
            for opened in opening.join_all().await {
                all.push(opened?);
            }
        }
        Ok(all)
    }

    /// Ends a session as `doorward session revoke` does: in the vault, then in Redis.
    pub(crate) async fn revoke(&self, session: &Opened) -> anyhow::Result<()> {
        self.vault.sessions.revoke(Scope::Session(session.id, None), EndReason::Admin).await?;
        if let Some(sessions) = &self.sessions {
            sessions.revoke(session.id, TTL).await?;
        }
        Ok(())
    }

    /// The public keys as a JWKS.
    pub(crate) fn jwks(&self) -> String {
        self.keys.jwks(SystemClock::new().wall()).to_string()
    }

    /// The key's SubjectPublicKeyInfo (RFC 5480) in base64.
    pub(crate) fn public_key(&self) -> anyhow::Result<String> {
        let jwks: serde_json::Value = serde_json::from_str(&self.jwks())?;
        let point = |name: &str| -> anyhow::Result<Vec<u8>> {
            Ok(URL_SAFE_NO_PAD.decode(jwks["keys"][0][name].as_str().context("a P-256 key")?)?)
        };
        let (x, y) = (point("x")?, point("y")?);
        ensure!(x.len() == 32 && y.len() == 32, "a P-256 key");
        Ok(STANDARD.encode([&SPKI_P256[..], &x, &y].concat()))
    }
}

/// Bytes before the two coordinates: the algorithm, the curve, and 4 for an uncompressed point.
const SPKI_P256: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

async fn open(
    vault: &Vault,
    sessions: Option<&dyn SessionStore>,
    keys: &KeySet,
    user_id: UserId,
) -> anyhow::Result<Opened> {
    let random: &dyn Random = &SystemRandom;
    let id = SessionId::random(random);
    let session = NewSession {
        id,
        user_id,
        epoch: Epoch(0),
        client_id: FIRST_PARTY_CLIENT.to_owned(),
        family: random.bytes(),
        refresh_kid: 0,
        idle: TTL * 24,
        absolute: TTL * 24,
        address: None,
        user_agent: None,
    };
    let grant = vault.sessions.open(&session).await?;
    if let Some(sessions) = sessions {
        let idle = Some((grant.ends_at, ClientKind::Program));
        sessions.fill(id, Record { user_id, expires_at: grant.expires_at, idle }, TTL).await?;
    }
    let profile = Profile { issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned(), ttl: TTL };
    let roles = Roles::parse(["staff"])?;
    let subject = Subject { session_id: id, user_id, roles, rights: grant.rights };
    let issued = access::issue(&profile, &subject, grant.now, grant.ends_at, keys, random);
    let token = issued.context("a key that signs")?.token.expose().clone();
    Ok(Opened { id, user_id, token })
}

/// The same claims signed with a shared secret: the cheapest signature HAProxy checks.
pub(crate) fn hs256(token: &str, secret: &str) -> anyhow::Result<String> {
    let claims = token.split('.').nth(1).context("a JWT")?;
    let message = format!("{}.{claims}", base64url(br#"{"alg":"HS256","typ":"at+jwt"}"#));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    Ok(format!("{message}.{}", base64url(hmac::sign(&key, message.as_bytes()))))
}

/// Writes a file with one token per line.
pub(crate) fn write(folder: &Path, sessions: &[Opened]) -> anyhow::Result<PathBuf> {
    let file = folder.join("tokens.txt");
    let lines: Vec<&str> = sessions.iter().map(|session| session.token.as_str()).collect();
    std::fs::write(&file, lines.join("\n") + "\n")?;
    Ok(file)
}
