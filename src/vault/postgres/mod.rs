//! The vault in Postgres, shared by every replica.

use std::path::PathBuf;
use std::time::Duration;

use super::{Vault, VaultError};
use crate::config::PostgresUrl;

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
pub struct PostgresVault {}

impl PostgresVault {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] or [`VaultError::Damaged`]; the text says what to do.
    pub async fn open(_options: PostgresOptions) -> Result<Vault, VaultError> {
        Err(VaultError::Unavailable(String::new()))
    }
}
