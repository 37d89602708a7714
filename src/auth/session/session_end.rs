//! The end of a session as this replica knows it: what the vault said, moved by use seen here.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use crate::auth::Settings;
use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::identity::ClientKind;
use crate::session::Record;
use crate::vault::{Grant, SessionUse, idle_grain};

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
    pub(crate) queued: AtomicBool,
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
    pub(crate) fn used(&self, now: Timestamp, settings: &Settings) -> bool {
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
    pub(crate) fn unwritten(&self, id: SessionId, settings: &Settings) -> Option<SessionUse> {
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

impl Settings {
    /// How long a session of this kind may be idle.
    pub(crate) const fn idle_of(&self, kind: ClientKind) -> Duration {
        match kind {
            ClientKind::Program | ClientKind::RememberedBrowser => self.idle_timeout,
            ClientKind::Browser => self.browser_idle,
        }
    }
}

#[cfg(test)]
mod tests;
