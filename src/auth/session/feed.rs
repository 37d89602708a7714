//! The feed: this replica follows the vault's revocation log and so holds its lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::auth::Auth;
use crate::clock::Monotonic;
use crate::vault::Cursor;

/// The log is read at least this often, however long the lease: a hint that was lost on its way delays a revocation
/// by no more. More often would only be work; the lease is renewed four times in its length anyway.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A vault that refuses at once is not asked in a busy loop, and one that is back is noticed within this.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Forget what no token can need any more, this often.
const PRUNE_EVERY: Duration = Duration::from_secs(30);

/// Follows the log; never ends by itself. Readiness waits for its first success.
pub async fn follow(auth: Arc<Auth>) {
    let mut cursor = None;
    let mut pruned = auth.parts.clock.monotonic();
    let mut lost: Option<Monotonic> = None;
    let pause = LONGEST_PAUSE.min(auth.lease.length() / 4);
    loop {
        let read = step(&auth, &mut cursor, lost.is_some()).await;
        let now = auth.parts.clock.monotonic();
        match (read, lost) {
            (true, Some(since)) => {
                let away_ms = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
                tracing::info!(reason = "vault_back", away_ms, "the vault is back");
                lost = None;
                auth.undecided.store(false, Ordering::Relaxed);
            }
            (false, None) => lost = Some(now),
            _ => {}
        }
        let held = auth.lease.is_held(now);
        auth.vault_silent.store(!read, Ordering::Release);
        auth.vault_lost.store(!read && !held, Ordering::Release);
        auth.renewals.expire(now);
        if now.since(pruned) >= PRUNE_EVERY {
            pruned = now;
            auth.live.prune(auth.vault_now());
        }
        tokio::select! {
            () = auth.parts.vault.log.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One read: enter what is new, then renew the lease from when the read was sent. Whether it succeeded.
async fn step(auth: &Arc<Auth>, cursor: &mut Option<Cursor>, lost: bool) -> bool {
    let sent = auth.parts.clock.monotonic();
    let page = match auth.parts.vault.log.read(*cursor).await {
        Ok(page) => page,
        Err(error) => {
            auth.parts.metrics.revocation.feed_errors.inc();
            // Once an outage: it is tried ten times a second.
            if !lost {
                tracing::warn!(
                    reason = "vault_lost",
                    cause = %error,
                    "the vault is away: nobody can sign in or refresh, and a shared session store vouches for a while"
                );
            }
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            return false;
        }
    };
    let new = auth.apply(&page.entries);
    if cursor.is_some() && !new.is_empty() {
        auth.observe_revocations(&new);
        // Somebody else's, who may have had no session store at hand (the command line) or died before it was told:
        // replicas that lose the vault rely on the tombstones. Beside the feed, which does not wait for it.
        let (auth, now) = (Arc::clone(auth), page.now);
        tokio::spawn(async move { auth.entomb(new, now).await });
    }
    let received = auth.parts.clock.monotonic();
    // What took longer than the lease says little about the vault's clock now, and renews nothing either.
    if received.since(sent) < auth.lease.length() {
        auth.lease.learn(page.now, received);
    }
    *cursor = Some(page.cursor);
    // The set is current whatever becomes of the keys: those at hand go on, and one that is not stays undecided.
    let changed = page.keys_version != auth.parts.keys.current().version();
    auth.keys_behind.store(changed, Ordering::Release);
    auth.lease.renew(sent);
    if changed && auth.reload_keys().await.is_ok() {
        auth.keys_behind.store(false, Ordering::Release);
    }
    true
}
