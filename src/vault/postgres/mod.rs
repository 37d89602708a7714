//! The vault in Postgres, shared by all gateways.
//!
//! ```text
//!  async callers --> clients   a pool; every query runs in its own task, with one deadline
//!  the follower  --> log       its own connection, which also listens
//! ```
//!
//! Postgres decides by its own clock, in the statement that changes something. Isolation is READ COMMITTED throughout.
//! Rows that must not change during a statement are locked by it: a user's row always before sessions, and sessions in
//! order of their id.
//!
//! Statements name every column, because a newer doorward may add columns while this one runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::{Vault, VaultError};
use crate::config::PostgresUrl;

mod audit;
mod connection;
mod durability;
mod fault;
mod identities;
mod keys;
mod log;
mod renew;
mod revoke;
mod rotate;
mod rows;
mod schema;
mod sessions;
mod touch;
mod users;

use connection::clients::Clients;
use connection::connect::{Connector, Connectors};
pub use connection::credentials::Renewal;
use log::Follower;

/// The current time as a one-row table `clock (now)`. Whole milliseconds, as everywhere in doorward. Read once per
/// statement, so that stored and returned times are the same.
macro_rules! clock {
    () => {
        "clock AS MATERIALIZED (SELECT date_trunc('milliseconds', clock_timestamp()) AS now)"
    };
}
use clock;

/// A record in the write-ahead log and nothing else. Its commit waits for the standby like any other, so a primary that
/// was cut off and replaced without knowing it cannot say that there is nothing to do, or that the log has no new rows.
macro_rules! proof {
    () => {
        "pg_logical_emit_message(true, 'doorward', '')"
    };
}
use proof;

/// Origin of a change: actor, address and request id, from parameter `$n`, which is the connection's `origin`.
macro_rules! origin {
    ($n:literal) => {
        concat!("($", $n, "::text[])[1], ($", $n, "::text[])[2], ($", $n, "::text[])[3]")
    };
}
use origin;

/// Writes an audit row: name of the event, then SQL for its time, user and cause, number of the parameter with the
/// origin, and the tables that these come from.
macro_rules! audited {
    ($event:literal, $at:literal, $user:literal, $cause:literal, $origin:literal, $from:literal) => {
        concat!(
            "INSERT INTO audit (at, event, user_id, cause, actor, address, request_id) SELECT ",
            $at,
            ", '",
            $event,
            "', ",
            $user,
            ", ",
            $cause,
            ", ",
            origin!($origin),
            " FROM ",
            $from
        )
    };
}
use audited;

/// Connection settings of Postgres.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Servers, database and credentials.
    pub url: PostgresUrl,
    /// CA certificates (PEM) for the servers; `None` = the system trust store.
    pub ca_file: Option<PathBuf>,
    /// Maximum number of connections, not counting the one that follows the log.
    pub pool_size: usize,
    /// True if statements are prepared once per connection; false behind a pooler in transaction mode.
    pub prepared: bool,
    /// Maximum time a caller waits for a query.
    pub statement_timeout: Duration,
}

/// The vault in Postgres.
pub struct PostgresVault {
    clients: Arc<Clients>,
    follower: Follower,
    connectors: Connectors,
    /// Task that is trying new credentials.
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

    /// Same as [`PostgresVault::open`], for callers that may later change the credentials.
    ///
    /// # Errors
    /// Same as [`PostgresVault::open`].
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
            identities: vault.clone(),
            factors: vault.clone(),
            mail: vault.clone(),
            sessions: vault.clone(),
            log: vault.clone(),
            keys: vault.clone(),
            audit: vault.clone(),
            trail: vault,
        }
    }
}
