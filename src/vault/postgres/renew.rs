//! Other credentials, or another authority for certificates, without a restart.
//!
//! The new ones are tried beside the old, and taken once they have led to the vault: whether the role's password or the
//! file with it is changed first, there is a way in at any time. Then idle connections are closed, and made anew as they
//! are needed; what is in use, and the one that listens, stays until it breaks.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::connect::Connector;
use super::fault::Fault;
use super::{PostgresOptions, PostgresVault, clients};
use crate::vault::VaultError;

/// How often refused credentials are tried again: within what it takes to type the other half of the change. Each try is
/// a line in the server's log.
const AGAIN: Duration = Duration::from_secs(2);

/// Credentials that can be tried.
pub struct Renewal {
    /// Trying does not keep a vault that nobody else needs.
    vault: Weak<PostgresVault>,
    connector: Connector,
    options: PostgresOptions,
}

impl PostgresVault {
    /// Reads what the options name. The servers and the database are those of the running vault.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] for a `ca_file` that is none.
    pub fn renewal(self: &Arc<Self>, options: PostgresOptions) -> Result<Renewal, VaultError> {
        let connector = Connector::new(&options)?;
        Ok(Renewal { vault: Arc::downgrade(self), connector, options })
    }
}

impl Renewal {
    /// Begins to try them, on the current runtime; others that were being tried are given up.
    pub fn begin(self) {
        let Some(vault) = self.vault.upgrade() else { return };
        let trying = tokio::spawn(self.until_taken()).abort_handle();
        let mut place = vault.trying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = place.replace(trying) {
            before.abort();
        }
    }

    async fn until_taken(self) {
        let mut said = false;
        while let Err(error) = self.lead_to_the_vault().await {
            if !said {
                said = true;
                tracing::warn!(
                    reason = "vault_credentials_refused",
                    cause = %error,
                    "what the file now says does not lead to the vault; the connections go on with what it said before, \
                     and it is tried again every {} s",
                    AGAIN.as_secs()
                );
            }
            tokio::time::sleep(AGAIN).await;
            if self.vault.strong_count() == 0 {
                return;
            }
        }
        let Some(vault) = self.vault.upgrade() else { return };
        vault.connectors.replace(self.connector);
        vault.clients.renew(self.options.pool_size);
        tracing::info!(
            reason = "vault_credentials",
            "new connections to the vault are made as the file now says"
        );
    }

    /// One connection, and a look: another role may see other tables.
    async fn lead_to_the_vault(&self) -> Result<(), VaultError> {
        let look = async {
            let Connector { config, tls, .. } = self.connector.clone();
            let (client, connection) = config.connect(tls).await.map_err(Fault::Unreached)?;
            let looked = async { Ok(client.batch_execute("SELECT version FROM keys_version").await?) };
            tokio::select! {
                looked = looked => looked,
                // It ends only after the client is dropped, or when it is broken: the look fails then.
                _ = connection => Err(Fault::Late("closed the connection".into())),
            }
        };
        let timeout = self.options.statement_timeout;
        match tokio::time::timeout(timeout, look).await {
            Ok(looked) => looked.map_err(|fault| fault.at(&self.connector.place)),
            Err(_) => Err(clients::late(&self.connector.place, timeout)),
        }
    }
}
