//! Ends live streams when their session ends, or when the revocation list has not been current for too long.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::auth::session::control::Cut;
use crate::auth::session::granted;
use crate::auth::session::live::{LiveSessions, Slot};
use crate::auth::{Auth, Settings};

/// Maximum delay until the end of a session is noticed on an open stream.
const INTERVAL: Duration = Duration::from_millis(500);

/// Watches requests in flight; never returns. `settings` returns those in force.
pub async fn watch_streams(auth: Arc<Auth>, settings: impl Fn() -> Settings) {
    // Vault lookups in flight. A vault that hangs delays only its own results, never a cut that needs none.
    let mut lookups = JoinSet::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        while lookups.try_join_next().is_some() {}
        // After a pause the feed is given time to prove the list current again.
        let (now, _) = auth.lease_when_awake().await;
        let unproven = auth.lease.unproven_for(now);
        let settings = settings();
        let stale = unproven.is_none_or(|span| span >= settings.stream_lease);
        // Requests go on for as long as the session store may confirm them, and while that is being found out: they end
        // by themselves, and soon.
        let all = stale && !auth.pauses.is_waking(now) && !auth.store_may_confirm(now, &settings);
        let may_look_up = lookups.is_empty();
        for slot in auth.live.busy() {
            if all {
                LiveSessions::cut(&slot, Cut::StaleRevocations);
            } else if stale {
                LiveSessions::cut_streams(&slot, Cut::StaleRevocations);
            } else if may_look_up && slot.end().at().is_some_and(|end| end <= auth.vault_now()) {
                let auth = Arc::clone(&auth);
                lookups.spawn(async move {
                    if has_ended(&auth, &slot).await {
                        LiveSessions::cut(&slot, Cut::Expired);
                    }
                });
            }
        }
    }
}

/// Returns whether the session has ended. Its known end has passed, but use or a refresh elsewhere may have moved it,
/// so the vault decides.
async fn has_ended(auth: &Auth, slot: &Slot) -> bool {
    match auth.parts.vault.sessions.find(slot.id()).await {
        Ok(Some(row)) if row.live => {
            granted::learn(slot, &row.grant);
            false
        }
        Ok(_) => {
            slot.end().mark_ended();
            true
        }
        // An unknown state is not an end: the lease bounds how long it may last.
        Err(_) => false,
    }
}
