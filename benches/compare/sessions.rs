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
use doorward::id::{SystemRandom, UserId, base64url};
use doorward::session::SessionStore;
use doorward::token::seal::MasterSecret;
use doorward::vault::postgres::PostgresVault;
use doorward::vault::sqlite::{SqliteOptions, SqliteVault};
use doorward::vault::{EndReason, Scope, Vault};

use crate::shared::postgres::Server as Postgres;
use crate::shared::redis;
use crate::shared::sessions::{Opened, Opener, create_users, redis_store};

/// Lifetime of the access tokens.
const TTL: Duration = Duration::from_secs(3600);
/// Number of users.
const USERS: usize = 1000;

/// A vault, its users and its signing key.
pub(crate) struct Stores {
    opener: Opener,
    users: Vec<UserId>,
}

impl Stores {
    /// On Postgres and Redis.
    pub(crate) async fn shared(
        postgres: &Postgres,
        database: &str,
        redis: &redis::RedisServer,
        master: &str,
    ) -> anyhow::Result<Self> {
        let vault = PostgresVault::open(postgres.options(database)).await?;
        let store = redis_store(redis::url(RedisTopology::Single(redis.host()))).await?;
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
        store: Option<Arc<dyn SessionStore>>,
        master: &str,
        count: usize,
    ) -> anyhow::Result<Self> {
        let master = MasterSecret::parse(master, "the bench")?;
        let keys = Arc::new(keys::establish(&vault, &master, Algorithm::Es256, &SystemRandom).await?);
        let users = create_users(&vault, "somebody", count).await?;
        Ok(Self { opener: Opener { vault, store, keys, token_life: TTL }, users })
    }

    /// Creates `count` sessions, distributed over the users.
    pub(crate) async fn open(&self, count: usize) -> anyhow::Result<Vec<Opened>> {
        let owners: Vec<UserId> = (0..count).map(|at| self.users[at % self.users.len()]).collect();
        self.opener.open_all(&owners).await
    }

    /// Ends a session as `doorward session revoke` does: in the vault, then in Redis.
    pub(crate) async fn revoke(&self, session: &Opened) -> anyhow::Result<()> {
        self.opener.vault.sessions.revoke(Scope::Session(session.id, None), EndReason::Admin).await?;
        if let Some(store) = &self.opener.store {
            store.revoke(session.id, TTL).await?;
        }
        Ok(())
    }

    /// The public keys as a JWKS.
    pub(crate) fn jwks(&self) -> String {
        self.opener.keys.jwks(SystemClock::new().wall()).to_string()
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
