//! Whether the servers keep what they have answered, and end what nobody waits for; said once, at the start.

use std::sync::Arc;

use super::clients::{Clients, How, Talk};
use super::fault::Fault;
use crate::vault::VaultError;

const LOOK: &str = "
    SELECT current_setting('synchronous_standby_names') AS standbys,
           current_setting('synchronous_commit') AS commit,
           current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS durable,
           current_setting('statement_timeout') <> '0' AS limited";

struct Seen {
    standbys: String,
    commit: String,
    durable: bool,
    limited: bool,
}

/// Warns of what would let an answered revocation be forgotten, or statements pile up.
pub(super) async fn warn(clients: &Arc<Clients>, several: bool) -> Result<(), VaultError> {
    let Seen { standbys, commit, durable, limited } =
        clients.ask(How::AGAIN, (), |talk, ()| Box::pin(look(talk))).await?;
    if !limited {
        tracing::warn!(
            reason = "vault_statements_unlimited",
            "with vault.prepared = false only the server can end a statement that nobody waits for: give the role a limit \
             there, at least twice vault.statement_timeout (ALTER ROLE … SET statement_timeout = '5s')"
        );
    }
    if several && (standbys.is_empty() || matches!(commit.as_str(), "off" | "local")) {
        tracing::warn!(
            reason = "vault_not_synchronous",
            synchronous_standby_names = standbys,
            synchronous_commit = commit,
            "several Postgres servers without synchronous replication: a failover can forget revocations that were \
             answered; set synchronous_standby_names, and synchronous_commit to on"
        );
    }
    if !durable || (!several && commit == "off") {
        tracing::warn!(
            reason = "vault_not_durable",
            synchronous_commit = commit,
            "Postgres may lose what it has answered when the power fails: set fsync, full_page_writes and \
             synchronous_commit to on"
        );
    }
    Ok(())
}

async fn look(talk: &Talk<'_>) -> Result<Seen, Fault> {
    let row = talk.one(LOOK, &[]).await?;
    Ok(Seen {
        standbys: row.try_get("standbys")?,
        commit: row.try_get("commit")?,
        durable: row.try_get("durable")?,
        limited: row.try_get("limited")?,
    })
}
