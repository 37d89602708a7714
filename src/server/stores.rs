//! Opens the stores that a configuration names: the only place that knows which backend is used.

use std::path::Path;
use std::sync::Arc;

use super::{StartError, Surroundings};
use crate::auth::keys;
use crate::config::{Config, MasterKey, PostgresUrl, RedisUrl, SessionsUrl, VaultUrl};
use crate::id::Random;
use crate::session::SessionStore;
use crate::session::memory::MemoryStore;
use crate::session::redis::{RedisOptions, RedisStore, Renewal as SessionsRenewal};
use crate::token::seal::{MasterSecret, MasterSecretError};
use crate::vault::Vault;
use crate::vault::postgres::{PostgresOptions, PostgresVault, Renewal as VaultRenewal};
use crate::vault::sqlite::{SqliteOptions, SqliteVault};

/// The stores of a gateway.
#[derive(Clone)]
pub struct Stores {
    /// The vault.
    pub vault: Vault,
    /// The session store.
    pub sessions: Arc<dyn SessionStore>,
    /// Handles for changing the credentials.
    pub credentials: Credentials,
}

impl Stores {
    /// Opens the stores that the configuration names.
    ///
    /// # Errors
    /// The vault cannot be opened. A session store that is down is no error: it is reconnected in the background.
    pub async fn open(config: &Config, surroundings: &Surroundings) -> Result<Self, StartError> {
        let mut credentials = Credentials::default();
        let sessions: Arc<dyn SessionStore> = match &config.sessions.url {
            SessionsUrl::Memory => Arc::new(MemoryStore::new(Arc::clone(&surroundings.clock))),
            SessionsUrl::Redis(url) => {
                let (random, metrics) = (Arc::clone(&surroundings.random), Arc::clone(&surroundings.metrics));
                let store = Arc::new(RedisStore::start(redis_options(config, url), random, metrics)?);
                credentials.redis = Some(Arc::clone(&store));
                store
            }
        };
        let vault = match &config.vault.url {
            VaultUrl::Sqlite(_) => open_vault(config, surroundings).await?,
            VaultUrl::Postgres(url) => {
                let vault = PostgresVault::connect(postgres_options(config, url)).await?;
                credentials.postgres = Some(Arc::clone(&vault));
                vault.into()
            }
        };
        Ok(Self { vault, sessions, credentials })
    }
}

/// Handles for changing credentials and CAs of running stores.
#[derive(Clone, Default)]
pub struct Credentials {
    postgres: Option<Arc<PostgresVault>>,
    redis: Option<Arc<RedisStore>>,
}

/// Stores whose connection settings have changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChangedStores {
    pub(super) vault: bool,
    pub(super) sessions: bool,
}

/// New credentials that have been read.
#[derive(Default)]
pub(super) struct NewCredentials {
    postgres: Option<VaultRenewal>,
    redis: Option<SessionsRenewal>,
}

impl Credentials {
    /// Reads the new credentials from a configuration with the same stores.
    ///
    /// # Errors
    /// The first unusable setting.
    pub(super) fn read(&self, config: &Config, changed: ChangedStores) -> Result<NewCredentials, StartError> {
        let mut new = NewCredentials::default();
        if let (Some(vault), VaultUrl::Postgres(url)) = (&self.postgres, &config.vault.url)
            && changed.vault
        {
            new.postgres = Some(vault.renewal(postgres_options(config, url))?);
        }
        if let (Some(store), SessionsUrl::Redis(url)) = (&self.redis, &config.sessions.url)
            && changed.sessions
        {
            new.redis = Some(store.renewal(redis_options(config, url))?);
        }
        Ok(new)
    }
}

impl NewCredentials {
    /// Starts using the new credentials for new connections, once they work.
    pub(super) fn begin(self) {
        if let Some(renewal) = self.postgres {
            renewal.begin();
        }
        if let Some(renewal) = self.redis {
            renewal.begin();
        }
    }
}

fn redis_options(config: &Config, url: &RedisUrl) -> RedisOptions {
    RedisOptions {
        url: url.clone(),
        ca_file: config.sessions.ca_file.clone(),
        key_prefix: config.sessions.key_prefix.clone(),
        timeout: config.sessions.timeout,
    }
}

fn postgres_options(config: &Config, url: &PostgresUrl) -> PostgresOptions {
    PostgresOptions {
        url: url.clone(),
        ca_file: config.vault.ca_file.clone(),
        pool_size: config.vault.pool_size,
        prepared: config.vault.prepared,
        statement_timeout: config.vault.statement_timeout,
    }
}

/// Returns the file of an embedded vault if it does not exist yet.
pub fn missing_vault(config: &Config) -> Option<&Path> {
    match &config.vault.url {
        // Other errors are reported when the file is opened.
        VaultUrl::Sqlite(path) => path.try_exists().is_ok_and(|exists| !exists).then_some(path),
        VaultUrl::Postgres(_) => None,
    }
}

/// Opens only the vault, as the command line does beside a running gateway.
///
/// # Errors
/// The vault cannot be opened.
pub async fn open_vault(config: &Config, surroundings: &Surroundings) -> Result<Vault, StartError> {
    match &config.vault.url {
        VaultUrl::Sqlite(path) => {
            let options = SqliteOptions { statement_timeout: config.vault.statement_timeout };
            Ok(SqliteVault::open(path, Arc::clone(&surroundings.clock), options)?)
        }
        VaultUrl::Postgres(url) => Ok(PostgresVault::open(postgres_options(config, url)).await?),
    }
}

/// Opens only a session store that other processes share, as the command line does; `None` if the gateway's is its own. The
/// connection is made in the background.
///
/// # Errors
/// The CA certificates cannot be read.
pub fn open_shared_sessions(
    config: &Config,
    surroundings: &Surroundings,
) -> Result<Option<Arc<dyn SessionStore>>, StartError> {
    match &config.sessions.url {
        SessionsUrl::Memory => Ok(None),
        SessionsUrl::Redis(url) => {
            let (random, metrics) = (Arc::clone(&surroundings.random), Arc::clone(&surroundings.metrics));
            Ok(Some(Arc::new(RedisStore::start(redis_options(config, url), random, metrics)?)))
        }
    }
}

/// Checks the files that a configuration names, without opening a store. Returns every problem that would keep `serve`
/// from starting.
pub fn examine(config: &Config) -> Vec<StartError> {
    let mut problems = Vec::new();
    if let MasterKey::File(path) = &config.vault.master_key {
        match MasterSecret::read(path) {
            // An embedded vault creates it.
            Err(MasterSecretError::Missing(_)) if !config.vault.url.is_shared() => {}
            Err(missing @ MasterSecretError::Missing(_)) => {
                problems.push(StartError::MasterSecretNeeded(missing));
            }
            Err(error) => problems.push(error.into()),
            Ok(_) => {}
        }
    }
    for (key, file) in
        [("vault.ca_file", &config.vault.ca_file), ("sessions.ca_file", &config.sessions.ca_file)]
    {
        let Some(file) = file else { continue };
        if let Err(source) = std::fs::read(file) {
            problems.push(StartError::Certificates { key, file: file.clone(), source });
        }
    }
    problems
}

/// Reads the master key; creates it on the very first start of an embedded vault.
///
/// # Errors
/// It is malformed or readable by others, or missing although the vault has keys or is shared.
pub async fn master_secret(
    config: &Config,
    vault: &Vault,
    random: &dyn Random,
) -> Result<MasterSecret, StartError> {
    match &config.vault.master_key {
        MasterKey::Value(text) => Ok(MasterSecret::parse(text.expose(), "vault.master_key")?),
        MasterKey::File(path) => match MasterSecret::read(path) {
            Err(missing @ MasterSecretError::Missing(_)) => {
                if keys::exist(vault).await? {
                    return Err(StartError::MasterSecretLost { missing });
                }
                if config.vault.url.is_shared() {
                    return Err(StartError::MasterSecretNeeded(missing));
                }
                Ok(MasterSecret::create(path, random)?)
            }
            read => Ok(read?),
        },
    }
}
