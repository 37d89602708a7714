//! End of a session as this gateway knows it, and its use that the vault does not know yet.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, Ordering, fence};
use std::time::Duration;

use crate::auth::Settings;
use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::identity::ClientKind;
use crate::session::Record;
use crate::vault::{Grant, SessionUse, idle_grain};

/// Smallest move of the end that is stored. A smaller one is not worth a write to memory that all cores share.
const MIN_MOVE: Duration = Duration::from_secs(1);

/// Value of `at` for a session that the vault reports as ended: a time long ago.
const ENDED: i64 = 1;

/// End of one session. Times are by the vault's clock, in milliseconds; 0 = unknown.
#[derive(Debug, Default)]
pub(crate) struct SessionEnd {
    /// The earlier of absolute end and idle end, from all reports and the use seen here.
    at: AtomicI64,
    /// The end stored in the vault, by its last response.
    stored: AtomicI64,
    absolute: AtomicI64,
    kind: AtomicU8,
    /// Highest refresh generation whose access token was used here, and the one that the vault knows of.
    generation: AtomicU32,
    stored_generation: AtomicU32,
    /// The use is queued for a write, or being written.
    queued: AtomicBool,
}

impl SessionEnd {
    /// Returns the end, if it is known.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        Self::time(self.at.load(Ordering::Acquire))
    }

    fn time(millis: i64) -> Option<Timestamp> {
        (millis != 0).then(|| Timestamp::from_millis(millis))
    }

    /// Updates the end from a vault grant.
    pub(crate) fn learn(&self, grant: &Grant) {
        self.store(grant.ends_at, grant.expires_at, ClientKind::of(&grant.client_id));
    }

    /// Updates the end from a session store record. Its idle end may be old or missing.
    pub(crate) fn learn_record(&self, record: &Record) {
        if let Some((idle_end, kind)) = record.idle {
            self.store(idle_end.min(record.expires_at), record.expires_at, kind);
        }
    }

    fn store(&self, stored: Timestamp, absolute: Timestamp, kind: ClientKind) {
        self.kind.store(kind.to_u8(), Ordering::Relaxed);
        self.absolute.store(absolute.millis(), Ordering::Relaxed);
        self.stored.fetch_max(stored.millis(), Ordering::AcqRel);
        // Stored last: a reader that sees an end also sees the fields above. Use seen here meanwhile is not undone.
        self.at.fetch_max(stored.millis(), Ordering::AcqRel);
    }

    /// Marks the session as ended, as the vault reports.
    pub(crate) fn mark_ended(&self) {
        self.at.store(ENDED, Ordering::Release);
    }

    /// Records use at `now` by a token of this refresh generation. Returns `true` when the caller must queue the use
    /// for the vault. Use after the end has no effect.
    pub(crate) fn record_use(&self, now: Timestamp, generation: u32, settings: &Settings) -> bool {
        if generation > self.generation.load(Ordering::Relaxed) {
            self.generation.fetch_max(generation, Ordering::AcqRel);
        }
        let is_unwritten = self.move_end(now, settings) || self.has_new_generation();
        is_unwritten && self.queue()
    }

    /// Marks the use as queued. Returns `false` when it is already.
    fn queue(&self) -> bool {
        // Either this sees that the last write has ended, or `end_write` sees the use.
        fence(Ordering::SeqCst);
        !self.queued.load(Ordering::Relaxed) && !self.queued.swap(true, Ordering::AcqRel)
    }

    /// Records that a write has ended; `written` is what it wrote, if there was anything. Returns `true` when the session
    /// was used meanwhile, and the caller must queue that use.
    pub(crate) fn end_write(&self, written: Option<&SessionUse>, settings: &Settings) -> bool {
        self.queued.store(false, Ordering::Release);
        fence(Ordering::SeqCst);
        let at = self.at.load(Ordering::Acquire);
        let Some(kind) = ClientKind::from_u8(self.kind.load(Ordering::Relaxed)) else { return false };
        // Compared with what was written, not with what the vault made of it: its clock may be behind.
        let end =
            written.map_or_else(|| self.stored.load(Ordering::Acquire), |written| written.until.millis());
        let is_used = is_later(at, end, settings.idle_of(kind)) || self.has_new_generation();
        at != ENDED && is_used && self.queue()
    }

    fn has_new_generation(&self) -> bool {
        self.generation.load(Ordering::Acquire) > self.stored_generation.load(Ordering::Acquire)
    }

    /// Moves the end by use at `now`. Returns `true` when it has moved by more than a grain since it was written.
    fn move_end(&self, now: Timestamp, settings: &Settings) -> bool {
        let Some(kind) = ClientKind::from_u8(self.kind.load(Ordering::Relaxed)) else { return false };
        let idle = settings.idle_of(kind);
        let absolute = self.absolute.load(Ordering::Relaxed);
        let new = (now + idle).millis().min(absolute);
        let mut end = self.at.load(Ordering::Acquire);
        loop {
            // The vault may just have reported the session as ended.
            if end <= now.millis() {
                return false;
            }
            if Timestamp::from_millis(new).since(Timestamp::from_millis(end)) < MIN_MOVE {
                return false;
            }
            match self.at.compare_exchange_weak(end, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(moved) => end = moved,
            }
        }
        is_later(new, self.stored.load(Ordering::Acquire), idle)
    }

    /// Returns the use to write to the vault; `None` when the vault has it, or the session has ended.
    pub(crate) fn unwritten(&self, id: SessionId, settings: &Settings) -> Option<SessionUse> {
        let (at, stored) = (self.at.load(Ordering::Acquire), self.stored.load(Ordering::Acquire));
        let idle = settings.idle_of(ClientKind::from_u8(self.kind.load(Ordering::Relaxed))?);
        let (until, known) = (Timestamp::from_millis(at), Timestamp::from_millis(stored));
        let generation = self.generation.load(Ordering::Acquire);
        (at > stored || (at != ENDED && self.has_new_generation())).then_some(SessionUse {
            id,
            until,
            known,
            idle,
            generation,
        })
    }

    /// Returns the use to write before the session is looked up. Its end stored in the vault has passed though it was
    /// used here since, so the vault would report it as ended.
    pub(crate) fn overdue(&self, id: SessionId, now: Timestamp, settings: &Settings) -> Option<SessionUse> {
        self.unwritten(id, settings).filter(|unwritten| unwritten.known <= now && now < unwritten.until)
    }

    /// Applies the vault's response to a write of this session's use.
    pub(crate) fn settle(&self, written: &SessionUse, ends: &[(SessionId, Timestamp)]) {
        self.stored_generation.fetch_max(written.generation, Ordering::AcqRel);
        match ends.iter().find(|(known, _)| *known == written.id) {
            Some((_, end)) => {
                self.stored.fetch_max(end.millis(), Ordering::AcqRel);
                self.at.fetch_max(end.millis(), Ordering::AcqRel);
            }
            // Used again during a slow write: `end_write` queues that use, and the response to it decides.
            None if is_later(self.at.load(Ordering::Acquire), written.until.millis(), written.idle) => {}
            None => self.mark_ended(),
        }
    }
}

/// Returns whether an end is later than another by more than a grain, so that it is worth a write.
fn is_later(end: i64, than: i64, idle: Duration) -> bool {
    Timestamp::from_millis(end).since(Timestamp::from_millis(than)) > idle_grain(idle)
}

impl Settings {
    /// Returns the idle timeout of a session of this kind.
    pub(crate) const fn idle_of(&self, kind: ClientKind) -> Duration {
        match kind {
            ClientKind::Program | ClientKind::RememberedBrowser => self.idle_timeout,
            ClientKind::Browser => self.browser_idle,
        }
    }
}

#[cfg(test)]
mod tests;
