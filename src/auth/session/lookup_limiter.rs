//! Limits vault lookups about sessions: the number in flight and the rate.
//!
//! When the session store is lost or emptied, every session is looked up. The vault then serves as many lookups as it
//! can beside logins and refreshes. Beyond that a session confirmed before is served without one; any other request
//! gets 503.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Monotonic;

/// Maximum number of lookups in flight. More would queue in the vault anyway and delay logins and refreshes.
const MAX_IN_FLIGHT: usize = 32;

/// Maximum lookups per second, and the burst. A lookup takes some 50 us of a Postgres core: ten gateways keep half a
/// core busy. Fewer would make a gateway that starts without a session store slow to confirm its sessions.
const PER_SECOND: u64 = 1000;

/// One second, in microseconds.
const SECOND: u64 = 1_000_000;

/// Maximum wait for a permit: longer than a busy vault takes for a queue of lookups, shorter than clients wait for a
/// response.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Limiter of vault lookups.
pub(crate) struct LookupLimiter {
    permits: Arc<Semaphore>,
    /// Time at which the rate of all admitted lookups is paid off, in microseconds.
    paid_at: Mutex<u64>,
}

impl LookupLimiter {
    pub(crate) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_IN_FLIGHT)), paid_at: Mutex::new(0) }
    }

    /// Returns a permit at once, if one is free and less than half of the rate is used. The other half is left for
    /// sessions that this gateway never confirmed.
    pub(crate) fn try_acquire(&self, now: Monotonic) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        self.pay(now, SECOND / 2).then_some(permit)
    }

    /// Waits up to [`MAX_WAIT`] for a permit. Returns `None` when none became free or the rate is used up.
    pub(crate) async fn acquire(&self, now: Monotonic) -> Option<OwnedSemaphorePermit> {
        if !self.pay(now, SECOND) {
            return None;
        }
        tokio::time::timeout(MAX_WAIT, Arc::clone(&self.permits).acquire_owned()).await.ok()?.ok()
    }

    /// Counts one lookup, unless more than `max` microseconds of lookups are owed already.
    fn pay(&self, now: Monotonic, max: u64) -> bool {
        let now = now.millis() * 1000;
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*paid_at).max(now) + SECOND / PER_SECOND;
        let affordable = next <= now + max;
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
    fn lookups_are_limited_per_second() {
        let limiter = LookupLimiter::new();
        let admitted = |at| (0..5000).filter(|_| limiter.pay(Monotonic::from_millis(at), SECOND)).count();
        assert_eq!(admitted(10_000), 1000);
        assert_eq!(admitted(10_000), 0);
        assert_eq!(admitted(10_250), 250);
        assert_eq!(admitted(60_000), 1000, "unused lookups are not saved up");
        let rechecked = (0..5000).filter(|_| limiter.pay(Monotonic::from_millis(90_000), SECOND / 2)).count();
        assert_eq!((rechecked, admitted(90_000)), (500, 500), "half is left for first lookups");
    }

    #[test]
    fn lookups_in_flight_are_limited() {
        let limiter = LookupLimiter::new();
        let now = Monotonic::from_millis(1);
        let permits: Vec<_> = (0..100).map_while(|_| limiter.try_acquire(now)).collect();
        assert_eq!(permits.len(), MAX_IN_FLIGHT);
        drop(permits);
        assert!(limiter.try_acquire(now).is_some());
    }
}
