//! Whether the servers keep what they have answered; said once, at the start.

use std::sync::Arc;

use super::clients::{Clients, How, Talk};
use super::fault::Fault;
use crate::vault::VaultError;

const LOOK: &str = "
    SELECT current_setting('synchronous_standby_names') AS standbys,
           current_setting('synchronous_commit') AS commit,
           current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS durable";

/// Warns of what would let an answered revocation be forgotten.
pub(super) async fn warn(clients: &Arc<Clients>, several: bool) -> Result<(), VaultError> {
    let (standbys, commit, durable) = clients.ask(How::AGAIN, (), |talk, ()| Box::pin(look(talk))).await?;
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

async fn look(talk: &Talk<'_>) -> Result<(String, String, bool), Fault> {
    let row = talk.one(LOOK, &[]).await?;
    Ok((row.try_get("standbys")?, row.try_get("commit")?, row.try_get("durable")?))
}
