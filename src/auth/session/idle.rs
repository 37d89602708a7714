//! Idle timeouts: every request and all traffic on an open stream is use, and the vault is told of it.
//!
//! Use is noted here, on the session, with a few loads for each request. It is written to the vault in the background, for many
//! sessions in one statement, at most once in an [`idle_grain`] for each session: so other gateways, and this one after a
//! restart, see a session end at most that much early. While the vault is away, what this gateway has seen counts here,
//! and is written when the vault is back.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::auth::session::live::{Registration, Slot};
use crate::auth::{Auth, Settings};
use crate::clock::{Monotonic, Timestamp};
use crate::id::SessionId;
use crate::identity::ClientKind;
use crate::session::Record;
use crate::vault::{Grant, SessionUse, idle_grain};

/// Uses are gathered for this long before they are written: one statement for many sessions.
const GATHER: Duration = Duration::from_millis(250);

/// Sessions in one statement: some milliseconds of a vault. More would keep logins waiting behind it.
const BATCH: usize = 500;

/// Between two tries to write while the vault does not answer.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// How long uses may take to be written when the gateway stops.
const AT_STOP: Duration = Duration::from_secs(2);

/// An end that is less than this later is not worth a store to memory that all cores share.
const WORTH_NOTING: Duration = Duration::from_secs(1);

/// `at` of a session that the vault says has ended: long ago.
const OVER: i64 = 1;

/// What this replica knows of the end of one session. Times are the vault's, in milliseconds; 0 = not known.
#[derive(Debug, Default)]
pub(crate) struct SessionEnd {
    /// The earlier of absolute end and idle end, by everything that was heard and seen here.
    at: AtomicI64,
    /// The end that the vault has stored, as it last told.
    stored: AtomicI64,
    absolute: AtomicI64,
    kind: AtomicU8,
    /// Waits to be written, or is being written.
    queued: AtomicBool,
}

impl SessionEnd {
    /// The end, if it is known.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        Self::time(self.at.load(Ordering::Acquire))
    }

    fn time(millis: i64) -> Option<Timestamp> {
        (millis != 0).then(|| Timestamp::from_millis(millis))
    }

    /// The vault has told.
    pub(crate) fn learn(&self, grant: &Grant) {
        self.tell(grant.ends_at, grant.expires_at, ClientKind::of(&grant.client_id));
    }

    /// The session store has told; it knows the idle end of some time ago, or none.
    pub(crate) fn learn_record(&self, record: &Record) {
        if let Some((idle_end, kind)) = record.idle {
            self.tell(idle_end.min(record.expires_at), record.expires_at, kind);
        }
    }

    fn tell(&self, stored: Timestamp, absolute: Timestamp, kind: ClientKind) {
        self.kind.store(kind.to_u8(), Ordering::Relaxed);
        self.absolute.store(absolute.millis(), Ordering::Relaxed);
        self.stored.fetch_max(stored.millis(), Ordering::AcqRel);
        // Last: who sees an end sees what belongs to it. What was seen here since is not taken back.
        self.at.fetch_max(stored.millis(), Ordering::AcqRel);
    }

    /// The vault says that it has ended.
    pub(crate) fn is_over(&self) {
        self.at.store(OVER, Ordering::Release);
    }

    /// It is used at `now`. `true`: the vault is to be told, by whoever asked. A session that has ended is not used.
    fn used(&self, now: Timestamp, settings: &Settings) -> bool {
        let end = self.at.load(Ordering::Acquire);
        let Some(kind) = ClientKind::from_u8(self.kind.load(Ordering::Relaxed)) else { return false };
        if end <= now.millis() {
            return false;
        }
        let idle = settings.idle_of(kind);
        let absolute = self.absolute.load(Ordering::Relaxed);
        let new = (now + idle).millis().min(absolute);
        if Timestamp::from_millis(new).since(Timestamp::from_millis(end)) < WORTH_NOTING {
            return false;
        }
        // Only from the end that was looked at: the vault may just have said that it is over.
        if self.at.compare_exchange(end, new, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        let stored = self.stored.load(Ordering::Acquire);
        let late = Timestamp::from_millis(new).since(Timestamp::from_millis(stored));
        late > idle_grain(idle) && !self.queued.swap(true, Ordering::AcqRel)
    }

    /// What the vault is to be told; `None` when it knows, or the session is over.
    fn unwritten(&self, id: SessionId, settings: &Settings) -> Option<SessionUse> {
        let (at, stored) = (self.at.load(Ordering::Acquire), self.stored.load(Ordering::Acquire));
        let idle = settings.idle_of(ClientKind::from_u8(self.kind.load(Ordering::Relaxed))?);
        let (until, known) = (Timestamp::from_millis(at), Timestamp::from_millis(stored));
        (at > stored).then_some(SessionUse { id, until, known, idle })
    }

    /// What the vault is to be told before it is asked about the session: the end it has stored has passed, though the
    /// session was used here since, and it would take it for ended.
    pub(crate) fn overdue(&self, id: SessionId, now: Timestamp, settings: &Settings) -> Option<SessionUse> {
        self.unwritten(id, settings).filter(|unwritten| unwritten.known <= now && now < unwritten.until)
    }

    /// What the vault has answered, when it was told of `id`'s use.
    pub(crate) fn settle(&self, id: SessionId, told: &[(SessionId, Timestamp)]) {
        match told.iter().find(|(known, _)| *known == id) {
            Some((_, end)) => {
                self.stored.fetch_max(end.millis(), Ordering::AcqRel);
                self.at.fetch_max(end.millis(), Ordering::AcqRel);
            }
            None => self.is_over(),
        }
    }
}

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

impl Settings {
    /// How long a session of this kind may be idle.
    pub(crate) const fn idle_of(&self, kind: ClientKind) -> Duration {
        match kind {
            ClientKind::Program | ClientKind::RememberedBrowser => self.idle_timeout,
            ClientKind::Browser => self.browser_idle,
        }
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

#[cfg(test)]
mod tests;
