//! The vault in Postgres, shared by every replica.
//!
//! ```text
//!  async callers --> clients   a pool; every question runs in a task of its own, under one deadline
//!  the follower  --> log       a connection of its own, which also listens
//! ```
//!
//! Postgres decides by its own clock, in the statement that changes something. Isolation is READ COMMITTED throughout:
//! what must not change under a statement, that statement locks, a user's row always before sessions, and sessions in
//! order of their id.
//!
//! Statements name every column: a newer doorward may add some while this one runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::{Vault, VaultError};
use crate::config::PostgresUrl;

mod audit;
mod clients;
mod connect;
mod durability;
mod fault;
mod keys;
mod log;
mod renew;
mod renewal;
mod revoke;
mod rotate;
mod rows;
mod schema;
mod sessions;
mod touch;
mod users;

use clients::Clients;
use connect::{Connector, Connectors};
use log::Follower;
pub use renew::Renewal;

/// The current time as a one-row table `clock (now)`. Whole milliseconds, as everywhere in doorward, and read once
/// in a statement, so that what it stores and what it answers are one time.
macro_rules! clock {
    () => {
        "clock AS MATERIALIZED (SELECT date_trunc('milliseconds', clock_timestamp()) AS now)"
    };
}
use clock;

/// How Postgres is reached.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Which servers.
    pub url: PostgresUrl,
    /// Who their certificates must be signed by (PEM); without it, whom this system trusts.
    pub ca_file: Option<PathBuf>,
    /// Connections at most, beside the one that follows the log.
    pub pool_size: usize,
    /// Whether statements are prepared once a connection; false behind a pooler in transaction mode.
    pub prepared: bool,
    /// How long a caller waits for any one answer.
    pub statement_timeout: Duration,
}

/// The vault in Postgres.
pub struct PostgresVault {
    clients: Arc<Clients>,
    follower: Follower,
    connectors: Connectors,
    /// The credentials that are being tried.
    trying: Mutex<Option<AbortHandle>>,
}

impl PostgresVault {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] or [`VaultError::Damaged`]; the text says what to do.
    pub async fn open(options: PostgresOptions) -> Result<Vault, VaultError> {
        Ok(Self::connect(options).await?.into())
    }

    /// The same, for the one who may later change the credentials.
    ///
    /// # Errors
    /// As [`PostgresVault::open`].
    pub async fn connect(options: PostgresOptions) -> Result<Arc<Self>, VaultError> {
        let several = options.url.hosts.len() > 1;
        let connectors = Connectors::new(Connector::new(&options)?);
        let clients = Arc::new(Clients::new(connectors.clone(), &options)?);
        schema::ready(&clients).await?;
        durability::warn(&clients, several).await?;
        let follower = Follower::new(connectors.clone(), &options);
        Ok(Arc::new(Self { clients, follower, connectors, trying: Mutex::default() }))
    }
}

impl From<Arc<PostgresVault>> for Vault {
    fn from(vault: Arc<PostgresVault>) -> Self {
        Self {
            users: vault.clone(),
            sessions: vault.clone(),
            log: vault.clone(),
            keys: vault.clone(),
            audit: vault,
        }
    }
}
