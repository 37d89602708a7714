//! Idle timeouts: every request and all traffic on an open stream counts as use, which is written to the vault.
//!
//! Use is recorded here, on the session, at the cost of a few loads per request. A background task writes it to the
//! vault, many sessions in one statement, at most once per [`idle_grain`] for each session. Other gateways, and this
//! one after a restart, may therefore see a session end early by at most that much. While the vault is away, use seen
//! by this gateway counts here. It is written when the vault is back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::auth::session::live::{Registration, Slot};
use crate::auth::{Auth, Settings};
use crate::clock::Monotonic;

/// Time in which uses are gathered before they are written: one statement for many sessions.
const GATHER_TIME: Duration = Duration::from_millis(250);

/// Maximum number of sessions in one statement: some milliseconds of vault time. More would delay logins behind it.
const MAX_BATCH: usize = 500;

/// Pause between two attempts to write while the vault does not respond.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Maximum time for writing uses when the gateway stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Sessions with use that is not written to the vault yet.
#[derive(Default)]
pub(crate) struct UnwrittenUses {
    slots: Mutex<Vec<Arc<Slot>>>,
    added: Notify,
}

impl UnwrittenUses {
    fn push(&self, slots: impl IntoIterator<Item = Arc<Slot>>) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).extend(slots);
        self.added.notify_one();
    }

    fn take(&self) -> Vec<Arc<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let count = slots.len().min(MAX_BATCH);
        slots.drain(..count).collect()
    }
}

impl Auth {
    /// Records that a session is used now, by a token of this refresh generation; the use is written to the vault
    /// later.
    pub(crate) fn queue_use(&self, slot: &Arc<Slot>, now: Monotonic, generation: u32, settings: &Settings) {
        if slot.end().record_use(self.lease.vault_time(now), generation, settings) {
            self.uses.push([Arc::clone(slot)]);
        }
    }

    /// Records use of a session: traffic on an open stream, or a response that took long to arrive.
    pub fn record_use(&self, registration: &Registration, settings: &Settings) {
        // Its token was recorded when the request was admitted.
        self.queue_use(registration.slot(), self.parts.clock.monotonic(), 0, settings);
    }

    /// Writes all queued uses once; those that fail stay queued. Returns `false` when the vault does not respond.
    async fn write_uses(&self, settings: &Settings) -> bool {
        while self.vault_at_hand().is_ok() {
            let slots = self.uses.take();
            if slots.is_empty() {
                return true;
            }
            let uses: Vec<_> =
                slots.iter().filter_map(|slot| slot.end().unwritten(slot.id(), settings)).collect();
            match self.parts.vault.sessions.touch(&uses).await {
                Ok(ends) => {
                    let mut written = uses.iter().peekable();
                    let mut used_again = Vec::new();
                    for slot in slots {
                        // Both are in the same order; a slot without unwritten use has no entry.
                        let written = written.next_if(|written| written.id == slot.id());
                        if let Some(written) = written {
                            slot.end().settle(written, &ends);
                        }
                        if slot.end().end_write(written, settings) {
                            used_again.push(slot);
                        }
                    }
                    if !used_again.is_empty() {
                        self.uses.push(used_again);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, sessions = slots.len(), "the use of sessions is written later");
                    self.uses.push(slots);
                    return false;
                }
            }
        }
        false
    }

    /// Writes the queued uses before the gateway ends.
    pub async fn settle_uses(&self, settings: &Settings) {
        if tokio::time::timeout(STOP_TIMEOUT, self.write_uses(settings)).await != Ok(true) {
            tracing::warn!(
                reason = "session_use_unwritten",
                "the last use of some sessions was not written to the vault: they end a little early"
            );
        }
    }
}

/// Writes the use of sessions; never returns.
pub async fn write_session_use(auth: Arc<Auth>, settings: impl Fn() -> Settings) {
    loop {
        auth.uses.added.notified().await;
        tokio::time::sleep(GATHER_TIME).await;
        while !auth.write_uses(&settings()).await {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}
