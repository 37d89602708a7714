//! The feed: this replica follows the vault's revocation log and so holds its lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Auth;
use crate::vault::Cursor;

/// The log is read at least this often, whatever the lease: what another process wrote without waking us is seen
/// within it. More often costs wake-ups (one read is microseconds); less often delays a revocation by the CLI.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Forget what no token can need any more, this often.
const PRUNE_EVERY: Duration = Duration::from_secs(30);

/// Follows the log; never ends by itself. Readiness waits for its first success.
pub async fn follow(auth: Arc<Auth>) {
    let mut cursor = None;
    let mut pruned = auth.parts.clock.monotonic();
    let pause = LONGEST_PAUSE.min(auth.lease.length() / 4);
    loop {
        step(&auth, &mut cursor).await;
        let now = auth.parts.clock.monotonic();
        auth.parts.metrics.lease_held.set(i64::from(auth.lease.is_held(now)));
        if now.since(pruned) >= PRUNE_EVERY {
            pruned = now;
            let remaining = auth.live.prune(auth.vault_now());
            auth.parts.metrics.revocation_set.set(i64::try_from(remaining).unwrap_or(i64::MAX));
        }
        tokio::select! {
            () = auth.parts.vault.log.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One read: enter what is new, then renew the lease from when the read was sent.
async fn step(auth: &Auth, cursor: &mut Option<Cursor>) {
    let sent = auth.parts.clock.monotonic();
    let page = match auth.parts.vault.log.read(*cursor).await {
        Ok(page) => page,
        Err(error) => {
            auth.parts.metrics.feed_errors.inc();
            tracing::warn!(%error, "the revocation log cannot be read");
            // A pause of its own: a vault that refuses at once is not asked in a busy loop.
            tokio::time::sleep(LONGEST_PAUSE).await;
            return;
        }
    };
    auth.apply(&page.entries);
    let received = auth.parts.clock.monotonic();
    // What took longer than the lease says little about the vault's clock now, and renews nothing either.
    if received.since(sent) < auth.lease.length() {
        auth.lease.learn(page.now, received);
    }
    // The set is current whatever becomes of the keys: those at hand go on, and one that is not stays undecided.
    let behind =
        page.keys_version != auth.parts.keys.current().version() && auth.reload_keys().await.is_err();
    auth.keys_behind.store(behind, Ordering::Release);
    *cursor = Some(page.cursor);
    auth.lease.renew(sent);
}
