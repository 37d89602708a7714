//! The feed: this gateway follows the vault's revocation log and thereby holds its lease.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::auth::Auth;
use crate::auth::session::pauses::Failures;
use crate::clock::Monotonic;
use crate::vault::Cursor;

/// Maximum pause between two reads of the log, however long the lease. A lost notification delays a revocation by at
/// most this. Shorter would only add load, since the lease is renewed four times in its length anyway.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Pause after a failed read. It prevents a busy loop on a vault that refuses at once, and bounds the time until its
/// return is noticed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Silence of the vault, in tenths of a lease, after which those who wait for it get their 503. With the pause before
/// the read they wait for less than a lease, a second by default. Less would give up a vault that is only busy.
const SILENCE: u32 = 7;

/// Interval at which revocations that no token needs any more are dropped.
const PRUNE_EVERY: Duration = Duration::from_secs(30);

/// Follows the log; never returns. The gateway becomes ready with the first successful read.
pub async fn follow(auth: Arc<Auth>) {
    let mut cursor = None;
    let mut pruned = auth.parts.clock.monotonic();
    let mut lost: Option<Monotonic> = None;
    let mut failures = Failures::default();
    let pause = MAX_PAUSE.min(auth.lease.length() / 4);
    loop {
        let begun = auth.pauses.begin_read(auth.parts.clock.monotonic());
        let read = step_or_silence(&auth, &mut cursor, lost.is_some()).await;
        failures.record(&auth.pauses, begun, read);
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
        set_lost(&auth, !read && !held);
        if held {
            auth.parts.sessions.set_only_source(false);
        }
        auth.renewals.expire(now);
        if now.since(pruned) >= PRUNE_EVERY {
            pruned = now;
            auth.live.prune(auth.vault_now());
        }
        tokio::select! {
            () = auth.parts.vault.log.wait_for_change() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// As [`step`]. While the vault is silent, those who wait for it are told.
async fn step_or_silence(auth: &Arc<Auth>, cursor: &mut Option<Cursor>, lost: bool) -> bool {
    let mut reading = pin!(step(auth, cursor, lost));
    tokio::select! {
        biased;
        read = &mut reading => return read,
        () = silence(auth.lease.length()) => {}
    }
    auth.vault_silent.store(true, Ordering::Release);
    set_lost(auth, true);
    reading.await
}

/// Ends after [`SILENCE`]. Many short sleeps: on a starved machine each is late, and so is the vault.
async fn silence(lease: Duration) {
    for _ in 0..SILENCE {
        tokio::time::sleep(lease / 10).await;
    }
}

fn set_lost(auth: &Auth, lost: bool) {
    auth.vault_lost.send_if_modified(|before| std::mem::replace(before, lost) != lost);
}

/// Reads the log once, applies new entries, then renews the lease from the time the read was sent. Returns whether it
/// succeeded.
async fn step(auth: &Arc<Auth>, cursor: &mut Option<Cursor>, lost: bool) -> bool {
    let sent = auth.parts.clock.monotonic();
    let page = match auth.parts.vault.log.read(*cursor).await {
        Ok(page) => page,
        Err(error) => {
            auth.parts.metrics.revocation.feed_errors.inc();
            // Logged once per outage: the read is retried ten times a second.
            if !lost {
                tracing::warn!(
                    reason = "vault_lost",
                    cause = %error,
                    "the vault is away: logins and refreshes fail, and a shared session store confirms sessions for a limited time"
                );
            }
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            return false;
        }
    };
    let new = auth.apply(&page.entries);
    if cursor.is_some() && !new.is_empty() {
        auth.observe_revocations(&new);
        // Written by another process, which may have no session store (the command line) or may have died before it
        // wrote the tombstones. Gateways that lose the vault rely on them. The feed does not wait for this task.
        let (auth, now) = (Arc::clone(auth), page.now);
        tokio::spawn(async move { auth.write_tombstones(new, now).await });
    }
    let received = auth.parts.clock.monotonic();
    // A read that took longer than the lease is no measure of the vault's clock and renews nothing.
    if received.since(sent) < auth.lease.length() {
        auth.lease.learn(page.now, received);
    }
    *cursor = Some(page.cursor);
    // The list is current even when the keys are not. Loaded keys stay in use; a token under another key is undecided.
    let changed = page.keys_version != auth.parts.keys.current().version();
    auth.keys_behind.store(changed, Ordering::Release);
    auth.lease.renew(sent);
    if changed && auth.reload_keys().await.is_ok() {
        auth.keys_behind.store(false, Ordering::Release);
    }
    true
}
