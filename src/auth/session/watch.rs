//! Live streams end with their session: at its end, or when the set has not been current for too long.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::auth::Auth;
use crate::auth::session::authenticate;
use crate::auth::session::control::Cut;
use crate::auth::session::live::{LiveSessions, Slot};

/// How late the end of a session may be noticed on an open stream.
const EVERY: Duration = Duration::from_millis(500);

/// Watches requests in flight; never ends by itself. `stream_lease` is the one in force.
pub async fn watch_streams(auth: Arc<Auth>, stream_lease: impl Fn() -> Duration) {
    // LookupLimiter under way: a vault that hangs delays only its own answers, never a cut that needs none.
    let mut asking = JoinSet::new();
    loop {
        tokio::time::sleep(EVERY).await;
        while asking.try_join_next().is_some() {}
        let unproven = auth.lease.unproven_for(auth.parts.clock.monotonic());
        let stale = unproven.is_none_or(|span| span >= stream_lease());
        let may_ask = asking.is_empty();
        for slot in auth.live.busy() {
            if stale {
                LiveSessions::cut(&slot, Cut::Unproven);
            } else if may_ask && slot.end().at().is_some_and(|end| end <= auth.vault_now()) {
                let auth = Arc::clone(&auth);
                asking.spawn(async move {
                    if has_ended(&auth, &slot).await {
                        LiveSessions::cut(&slot, Cut::Expired);
                    }
                });
            }
        }
    }
}

/// The end this replica knows of has come. Use or a refresh elsewhere may have moved it: the vault says.
async fn has_ended(auth: &Auth, slot: &Slot) -> bool {
    match auth.parts.vault.sessions.find(slot.id()).await {
        Ok(Some(row)) if row.live => {
            authenticate::learn(slot, &row.grant);
            false
        }
        Ok(_) => {
            slot.end().is_over();
            true
        }
        // Unknown is not ended: the lease decides how long that may last.
        Err(_) => false,
    }
}
