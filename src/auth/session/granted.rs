//! Effects of a grant of the vault: on the session's slot here, and in the session store.

use crate::auth::session::live::Slot;
use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::identity::ClientKind;
use crate::session::{Record, SessionStore};
use crate::vault::Grant;

/// Updates a slot from a vault grant.
pub(crate) fn learn(slot: &Slot, grant: &Grant) {
    slot.set_owner(grant.user_id);
    slot.end().learn(grant);
}

/// Writes a session to the session store. A failed write costs only the next lookup.
pub(crate) async fn fill(sessions: &dyn SessionStore, id: SessionId, grant: &Grant, until: Timestamp) {
    // Both times come from the vault's clock.
    let keep = until.since(grant.now);
    let idle = Some((grant.ends_at, ClientKind::of(&grant.client_id)));
    let record = Record { user_id: grant.user_id, expires_at: grant.expires_at, idle };
    let filled = match sessions.fill(id, record, keep).await {
        Ok(()) => sessions.extend(id, keep).await,
        Err(error) => Err(error),
    };
    if let Err(error) = filled {
        // The store itself logs its loss and its return once.
        tracing::debug!(%error, "a session was not written to the session store");
    }
}
