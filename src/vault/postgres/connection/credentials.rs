//! New credentials or CAs without a restart.
//!
//! New credentials are tried beside the old ones and used once a connection succeeds. So the role's password and the
//! file can be changed in either order. Then idle connections are closed, and new ones are opened on demand.
//! Connections in use, and the one that listens, stay until they break.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::clients;
use super::connect::Connector;
use crate::vault::VaultError;
use crate::vault::postgres::fault::Fault;
use crate::vault::postgres::{PostgresOptions, PostgresVault};

/// Retry interval of rejected credentials: about the time between the two halves of the change. Each attempt is a line
/// in the server's log.
const RETRY: Duration = Duration::from_secs(2);

/// New credentials to try.
pub struct Renewal {
    /// Weak, so that an attempt does not keep an unused vault alive.
    vault: Weak<PostgresVault>,
    connector: Connector,
    options: PostgresOptions,
}

impl PostgresVault {
    /// Reads the files that the options name. The servers and the database are those of the running vault.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] for an invalid `ca_file`.
    pub fn renewal(self: &Arc<Self>, options: PostgresOptions) -> Result<Renewal, VaultError> {
        let connector = Connector::new(&options)?;
        Ok(Renewal { vault: Arc::downgrade(self), connector, options })
    }
}

impl Renewal {
    /// Starts trying the credentials on the current runtime; an earlier attempt is aborted.
    pub fn begin(self) {
        let Some(vault) = self.vault.upgrade() else { return };
        let trying = tokio::spawn(self.retry_until_accepted()).abort_handle();
        let mut slot = vault.trying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = slot.replace(trying) {
            before.abort();
        }
    }

    async fn retry_until_accepted(self) {
        let mut warned = false;
        while let Err(error) = self.check().await {
            if !warned {
                warned = true;
                tracing::warn!(
                    reason = "vault_credentials_refused",
                    cause = %error,
                    "the new credentials do not reach the vault; the old ones stay in use, and the new ones are tried \
                     again every {} s",
                    RETRY.as_secs()
                );
            }
            tokio::time::sleep(RETRY).await;
            if self.vault.strong_count() == 0 {
                return;
            }
        }
        let Some(vault) = self.vault.upgrade() else { return };
        vault.connectors.replace(self.connector);
        vault.clients.renew(self.options.pool_size);
        tracing::info!(reason = "vault_credentials", "new connections to the vault use the new credentials");
    }

    /// Makes one connection and reads a table: another role may see other tables.
    async fn check(&self) -> Result<(), VaultError> {
        let check = async {
            let Connector { config, tls, .. } = self.connector.clone();
            let (client, connection) = config.connect(tls).await.map_err(Fault::Connect)?;
            let read = async { Ok(client.batch_execute("SELECT version FROM keys_version").await?) };
            tokio::select! {
                result = read => result,
                // It ends only after the client is dropped, or when it is broken, and then the check fails.
                _ = connection => Err(Fault::Unavailable("closed the connection".into())),
            }
        };
        let timeout = self.options.statement_timeout;
        match tokio::time::timeout(timeout, check).await {
            Ok(result) => result.map_err(|fault| fault.at(&self.connector.server_names)),
            Err(_) => Err(clients::timed_out(&self.connector.server_names, timeout)),
        }
    }
}
