//! LookupLimiter about sessions that the vault answers for this replica: so many at once, and so many a second.
//!
//! With the session store lost or emptied every session is asked for. The vault then serves as many as it can beside
//! logins and refreshes; the others go on without (a session once confirmed) or are asked to come back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Monotonic;

/// At once. More would queue in the vault anyway, and take their places from logins and refreshes.
const AT_ONCE: usize = 32;

/// A second, and in a burst. One is some 50 us of a Postgres core: ten replicas keep half a core busy. Fewer would
/// make a replica that starts without a session store slow to know its sessions.
const A_SECOND: u64 = 1000;

/// In microseconds.
const SECOND: u64 = 1_000_000;

/// How long a question may wait for its place: longer than a busy vault takes for a queue of them, shorter than
/// clients wait for an answer.
const WAIT: Duration = Duration::from_secs(1);

/// The places.
pub(crate) struct LookupLimiter {
    places: Arc<Semaphore>,
    /// When all that was asked will be paid for, in microseconds.
    paid_at: Mutex<u64>,
}

impl LookupLimiter {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), paid_at: Mutex::new(0) }
    }

    /// A place now, if there is one and half the second is left: the other half is for sessions that were never
    /// confirmed here.
    pub(crate) fn place_at_once(&self, now: Monotonic) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.pay(now, SECOND / 2).then_some(place)
    }

    /// A place, waited for a moment; `None` when there was none or the second is used up.
    pub(crate) async fn place(&self, now: Monotonic) -> Option<OwnedSemaphorePermit> {
        if !self.pay(now, SECOND) {
            return None;
        }
        tokio::time::timeout(WAIT, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()
    }

    /// Counts one question, unless so many microseconds of them are owed already.
    fn pay(&self, now: Monotonic, most: u64) -> bool {
        let now = now.millis() * 1000;
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*paid_at).max(now) + SECOND / A_SECOND;
        let affordable = next <= now + most;
        if affordable {
            *paid_at = next;
        }
        affordable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_affords_so_many_questions_and_the_next_as_many_again() {
        let questions = LookupLimiter::new();
        let asked = |at| (0..5000).filter(|_| questions.pay(Monotonic::from_millis(at), SECOND)).count();
        assert_eq!(asked(10_000), 1000);
        assert_eq!(asked(10_000), 0);
        assert_eq!(asked(10_250), 250);
        assert_eq!(asked(60_000), 1000, "what was not asked is not saved up");
        let rechecked =
            (0..5000).filter(|_| questions.pay(Monotonic::from_millis(90_000), SECOND / 2)).count();
        assert_eq!((rechecked, asked(90_000)), (500, 500), "half is left for others");
    }

    #[test]
    fn only_so_many_are_asked_at_once() {
        let questions = LookupLimiter::new();
        let now = Monotonic::from_millis(1);
        let places: Vec<_> = (0..100).map_while(|_| questions.place_at_once(now)).collect();
        assert_eq!(places.len(), AT_ONCE);
        drop(places);
        assert!(questions.place_at_once(now).is_some());
    }
}
