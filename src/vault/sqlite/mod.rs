//! The embedded vault: one SQLite file, for one machine.
//!
//! ```text
//!  async callers --queue--> writer thread    one connection, one commit for many changes
//!                --queue--> reader threads   one connection each, one snapshot per query
//!                --queue--> follower thread  one connection: the revocation log, and commits of other processes
//! ```
//!
//! Other processes may write the same file at the same time (the command line beside a running gateway). So nothing is
//! cached here that a transaction does not check again. The threads end when the vault is dropped, after the jobs
//! already queued.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Vault, VaultError};
use crate::clock::Clock;

mod audit;
mod fault;
mod identities;
mod keys;
mod log;
mod queue;
mod reader;
mod renew;
mod revoke;
mod rotate;
mod rows;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;
mod users;
mod writer;

use fault::Fault;
use log::Follower;
use reader::Readers;
use writer::Writer;

/// Options of an embedded vault.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Maximum time a caller waits for a result, and for another process's lock.
    pub statement_timeout: Duration,
}

impl Default for SqliteOptions {
    /// Two seconds: far more than a commit takes on a slow disk, and short enough for a waiting client.
    fn default() -> Self {
        Self { statement_timeout: Duration::from_secs(2) }
    }
}

/// A vault in one SQLite file.
pub struct SqliteVault {
    path: Arc<Path>,
    options: SqliteOptions,
    writer: Writer,
    readers: Readers,
    follower: Follower,
}

impl SqliteVault {
    /// Opens the file, creates it (readable by this user only) if it is absent, and migrates its schema. Blocks for a
    /// few milliseconds: meant for the start of a process.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] if the file belongs to another program, is damaged, or has a newer version; otherwise
    /// [`VaultError::Unavailable`]. The text names the file and says what to do.
    pub fn open(path: &Path, clock: Arc<dyn Clock>, options: SqliteOptions) -> Result<Vault, VaultError> {
        let vault = Arc::new(Self::start(path, &clock, options).map_err(|fault| fault.at(path))?);
        Ok(Vault {
            users: vault.clone(),
            identities: vault.clone(),
            factors: vault.clone(),
            mail: vault.clone(),
            sessions: vault.clone(),
            log: vault.clone(),
            keys: vault.clone(),
            audit: vault.clone(),
            trail: vault,
        })
    }

    fn start(path: &Path, clock: &Arc<dyn Clock>, options: SqliteOptions) -> Result<Self, Fault> {
        let timeout = options.statement_timeout;
        let connection = schema::open(path, timeout)?;
        let path: Arc<Path> = path.into();
        let wake = Arc::new(Notify::new());
        Ok(Self {
            writer: Writer::start(connection, &path, clock, &wake, timeout)?,
            readers: Readers::start(&path, clock, timeout)?,
            follower: Follower::start(&path, clock, wake, timeout)?,
            path,
            options,
        })
    }
}
