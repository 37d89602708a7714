//! Sessions created through the store traits as a login does, without the password hash.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use doorward::config::RedisUrl;
use doorward::id::{Random, SessionId, SystemRandom, UserId};
use doorward::identity::{ClientKind, Epoch, Roles};
use doorward::secret::Secret;
use doorward::session::redis::{RedisOptions, RedisStore};
use doorward::session::{Record, SessionStore};
use doorward::token::access::{self, FIRST_PARTY_CLIENT, Profile, Subject};
use doorward::token::keyring::KeySet;
use doorward::vault::{NewSession, NewUser, Vault};
use tokio::time::sleep;

use super::eventually::assert_eventually;

/// Lifetime of a session and of its Redis record: longer than any run.
pub(crate) const LIFE: Duration = Duration::from_secs(86_400);
pub(crate) const ISSUER: &str = "http://127.0.0.1:8080";
pub(crate) const AUDIENCE: &str = "doorward";
/// Sessions created concurrently: enough to keep the connections of a vault busy.
const CONCURRENCY: usize = 32;

/// A session and its access token.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) token: String,
}

/// Stores and keys to create sessions with.
#[derive(Clone)]
pub(crate) struct Opener {
    pub(crate) vault: Vault,
    pub(crate) store: Option<Arc<dyn SessionStore>>,
    pub(crate) keys: Arc<KeySet>,
    /// Lifetime of the access tokens.
    pub(crate) token_life: Duration,
}

impl Opener {
    /// Creates sessions for these owners. The result is in their order.
    pub(crate) async fn open_all(&self, owners: &[UserId]) -> anyhow::Result<Vec<Opened>> {
        let mut opening = Vec::new();
        for some in owners.chunks(owners.len().div_ceil(CONCURRENCY).max(1)) {
            let (opener, some) = (self.clone(), some.to_vec());
            opening.push(tokio::spawn(async move {
                let mut opened = Vec::with_capacity(some.len());
                for user_id in some {
                    opened.push(opener.open(user_id).await?);
                }
                Ok::<_, anyhow::Error>(opened)
            }));
        }
        let mut all = Vec::with_capacity(owners.len());
        for some in opening {
            all.extend(some.await??);
        }
        Ok(all)
    }

    async fn open(&self, user_id: UserId) -> anyhow::Result<Opened> {
        let random: &dyn Random = &SystemRandom;
        let session = new_session(user_id, random.bytes());
        let grant = self.vault.sessions.open(&session).await?;
        if let Some(store) = &self.store {
            let idle = Some((grant.ends_at, ClientKind::Program));
            let record = Record { user_id, expires_at: grant.expires_at, idle };
            // A Redis that shares its core is late at times; missing sessions would not be counted.
            let mut failed = 0;
            while let Err(error) = store.fill(session.id, record, LIFE).await {
                failed += 1;
                ensure!(failed < 100, "{error}");
                sleep(Duration::from_millis(20)).await;
            }
        }
        let profile = Profile {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            ttl: self.token_life,
            encrypted_claims: None,
        };
        let subject = Subject {
            session_id: session.id,
            user_id,
            roles: grant.roles.clone(),
            rights: grant.rights,
            generation: 0,
            login: Some(grant.login.clone()),
            attributes: grant.attributes.clone(),
            proof: grant.proof,
        };
        let issued = access::issue(&profile, &subject, grant.now, grant.ends_at, &self.keys, random);
        let token = issued.context("a key that signs")?.token.expose().clone();
        Ok(Opened { id: session.id, user_id, token })
    }
}

/// A session as a login creates it, with the digest of its refresh tokens' family.
pub(crate) fn new_session(user_id: UserId, family: [u8; 32]) -> NewSession {
    NewSession {
        id: SessionId::random(&SystemRandom),
        user_id,
        epoch: Epoch(0),
        client_id: FIRST_PARTY_CLIENT.to_owned(),
        family,
        refresh_kid: 0,
        idle: LIFE,
        absolute: LIFE,
        address: None,
        user_agent: None,
        methods: doorward::identity::Methods::PASSWORD,
        proven_ago: Duration::ZERO,
    }
}

/// Creates `count` users without password logins.
pub(crate) async fn create_users(vault: &Vault, name: &str, count: usize) -> anyhow::Result<Vec<UserId>> {
    let roles = Roles::parse(["staff"])?;
    let mut users = Vec::with_capacity(count);
    for at in 0..count {
        let id = UserId::random(&SystemRandom);
        let login = format!("{name}{at:07}@example.com").parse()?;
        let new = NewUser::new(id, login, Secret::new("-".to_owned()), roles.clone());
        vault.users.create(&new).await?;
        users.push(id);
    }
    Ok(users)
}

/// The session store on a Redis, once it is connected.
pub(crate) async fn redis_store(url: RedisUrl) -> anyhow::Result<Arc<dyn SessionStore>> {
    let options = RedisOptions {
        url,
        ca_file: None,
        key_prefix: "dw:".to_owned(),
        timeout: Duration::from_millis(100),
    };
    let store: Arc<dyn SessionStore> =
        Arc::new(RedisStore::start(options, Arc::new(SystemRandom), Arc::default())?);
    let nobody = SessionId::from_bytes([0; 16]);
    let is_connected = async || store.check(nobody).await.is_ok();
    assert_eventually("Redis is used", Duration::from_secs(20), is_connected).await;
    Ok(store)
}
