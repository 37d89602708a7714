//! Checks at startup whether the servers are durable and limit statements, and warns if not.

use std::sync::Arc;

use super::connection::clients::{Clients, Connection, Mode};
use super::fault::Fault;
use crate::vault::VaultError;

const SETTINGS: &str = "
    SELECT current_setting('synchronous_standby_names') AS standbys,
           current_setting('synchronous_commit') AS commit,
           current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS durable,
           current_setting('statement_timeout') <> '0' AS limited";

struct Settings {
    standbys: String,
    commit: String,
    durable: bool,
    limited: bool,
}

/// Warns about settings that could lose a confirmed revocation or let statements pile up.
pub(super) async fn warn(clients: &Arc<Clients>, several: bool) -> Result<(), VaultError> {
    let Settings { standbys, commit, durable, limited } =
        clients.query(Mode::IDEMPOTENT, (), |connection, ()| Box::pin(read_settings(connection))).await?;
    if !limited {
        tracing::warn!(
            reason = "vault_statements_unlimited",
            "with vault.prepared = false only the server can cancel an abandoned statement: give the role a timeout \
             there, at least twice vault.statement_timeout (ALTER ROLE … SET statement_timeout = '5s')"
        );
    }
    if several && (standbys.is_empty() || matches!(commit.as_str(), "off" | "local")) {
        tracing::warn!(
            reason = "vault_not_synchronous",
            synchronous_standby_names = standbys,
            synchronous_commit = commit,
            "several Postgres servers without synchronous replication: a failover can lose confirmed revocations; set \
             synchronous_standby_names, and synchronous_commit to on"
        );
    }
    if !durable || (!several && commit == "off") {
        tracing::warn!(
            reason = "vault_not_durable",
            synchronous_commit = commit,
            "Postgres may lose committed data at a power failure: set fsync, full_page_writes and \
             synchronous_commit to on"
        );
    }
    Ok(())
}

async fn read_settings(connection: &Connection<'_>) -> Result<Settings, Fault> {
    let row = connection.one(SETTINGS, &[]).await?;
    Ok(Settings {
        standbys: row.try_get("standbys")?,
        commit: row.try_get("commit")?,
        durable: row.try_get("durable")?,
        limited: row.try_get("limited")?,
    })
}
