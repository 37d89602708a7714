//! Idle timeouts: every request and all traffic on an open stream is use, and the vault is told of it.
//!
//! Use is noted here, on the session, with a few loads for each request. It is written to the vault in the background, for many
//! sessions in one statement, at most once in an [`idle_grain`] for each session: so other gateways, and this one after a
//! restart, see a session end at most that much early. While the vault is away, what this gateway has seen counts here,
//! and is written when the vault is back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::auth::session::live::{Registration, Slot};
use crate::auth::{Auth, Settings};
use crate::clock::Monotonic;

/// Uses are gathered for this long before they are written: one statement for many sessions.
const GATHER: Duration = Duration::from_millis(250);

/// Sessions in one statement: some milliseconds of a vault. More would keep logins waiting behind it.
const BATCH: usize = 500;

/// Between two tries to write while the vault does not answer.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// How long uses may take to be written when the gateway stops.
const AT_STOP: Duration = Duration::from_secs(2);

/// Sessions whose use is to be written.
#[derive(Default)]
pub(crate) struct UnwrittenUses {
    slots: Mutex<Vec<Arc<Slot>>>,
    more: Notify,
}

impl UnwrittenUses {
    fn push(&self, slots: impl IntoIterator<Item = Arc<Slot>>) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).extend(slots);
        self.more.notify_one();
    }

    fn take(&self) -> Vec<Arc<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = slots.len().min(BATCH);
        slots.drain(..rest).collect()
    }
}

impl Auth {
    /// Notes that a session is used now, for the vault to be told in time.
    pub(crate) fn note_use(&self, slot: &Arc<Slot>, now: Monotonic, settings: &Settings) {
        if slot.end().used(self.lease.vault_time(now), settings) {
            self.uses.push([Arc::clone(slot)]);
        }
    }

    /// Notes traffic on an open stream, or an answer that was waited for: its session is in use.
    pub fn is_used(&self, registration: &Registration, settings: &Settings) {
        self.note_use(registration.slot(), self.parts.clock.monotonic(), settings);
    }

    /// Writes what waits, once; what cannot be written waits on. `false` when the vault does not answer.
    async fn write_uses(&self, settings: &Settings) -> bool {
        while self.vault_at_hand().is_ok() {
            let slots = self.uses.take();
            if slots.is_empty() {
                return true;
            }
            let uses: Vec<_> =
                slots.iter().filter_map(|slot| slot.end().unwritten(slot.id(), settings)).collect();
            match self.parts.vault.sessions.touch(&uses).await {
                Ok(told) => {
                    for slot in &slots {
                        slot.end().settle(slot.id(), &told);
                        slot.end().queued.store(false, Ordering::Release);
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

    /// Writes what waits, before the gateway ends.
    pub async fn settle_uses(&self, settings: &Settings) {
        if tokio::time::timeout(AT_STOP, self.write_uses(settings)).await != Ok(true) {
            tracing::warn!(
                reason = "session_use_unwritten",
                "the vault was not told of the last use of some sessions: they end a little early"
            );
        }
    }
}

/// Writes the use of sessions; never ends by itself.
pub async fn write_session_use(auth: Arc<Auth>, settings: impl Fn() -> Settings) {
    loop {
        auth.uses.more.notified().await;
        tokio::time::sleep(GATHER).await;
        while !auth.write_uses(&settings()).await {
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }
}
