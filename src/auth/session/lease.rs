//! The lease: time for which the revocation list counts as current after the last proof from the vault.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Monotonic, Timestamp};
use crate::guard;

/// Value of `proven` before the first proof.
const NEVER: u64 = 0;

/// Time of the last proof that the set is current, and the offset of the vault's clock.
pub(crate) struct Lease {
    length: Duration,
    /// Milliseconds plus one, so that [`NEVER`] is distinct.
    proven: AtomicU64,
    /// The vault's clock minus this machine's monotonic clock, in milliseconds. A step of this machine's wall clock has
    /// no effect.
    ahead: AtomicI64,
}

impl Lease {
    pub(crate) const fn new(length: Duration) -> Self {
        Self { length, proven: AtomicU64::new(NEVER), ahead: AtomicI64::new(0) }
    }

    pub(crate) const fn length(&self) -> Duration {
        self.length
    }

    /// Records that a probe sent at `sent` has returned: everything committed before `sent` is in the set. The lease
    /// counts from sending, since commits during the probe may be missing.
    pub(crate) fn renew(&self, sent: Monotonic) {
        self.proven.fetch_max(sent.millis() + 1, Ordering::AcqRel);
    }

    /// Records that the vault's clock read `vault` when this machine's read `here`.
    pub(crate) fn learn(&self, vault: Timestamp, here: Monotonic) {
        self.ahead.store(vault.millis() - millis(here), Ordering::Relaxed);
    }

    /// Returns the vault's clock now, derived from this machine's.
    pub(crate) fn vault_time(&self, here: Monotonic) -> Timestamp {
        Timestamp::from_millis(millis(here) + self.ahead.load(Ordering::Relaxed))
    }

    pub(crate) fn is_held(&self, now: Monotonic) -> bool {
        self.unproven_for(now).is_some_and(|span| span < self.length || guard::is_off("lease"))
    }

    /// Returns the time since the last proof; `None` before the first.
    pub(crate) fn unproven_for(&self, now: Monotonic) -> Option<Duration> {
        match self.proven.load(Ordering::Acquire) {
            NEVER => None,
            proven => Some(now.since(Monotonic::from_millis(proven - 1))),
        }
    }
}

fn millis(at: Monotonic) -> i64 {
    i64::try_from(at.millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    #[test]
    fn lease_is_held_for_its_length_after_a_proof() {
        let lease = Lease::new(Duration::from_secs(1));
        assert!(!lease.is_held(at(0)), "never proven");
        lease.renew(at(0));
        assert!(lease.is_held(at(999)));
        assert!(!lease.is_held(at(1000)));
        lease.renew(at(900));
        lease.renew(at(500));
        assert!(lease.is_held(at(1899)), "a late older probe does not shorten the lease");
    }

    #[test]
    fn vault_time_ignores_the_local_wall_clock() {
        let lease = Lease::new(Duration::from_secs(1));
        lease.learn(Timestamp::from_secs(5000), at(1_400_000));
        assert_eq!(lease.vault_time(at(1_401_000)), Timestamp::from_secs(5001));
    }
}
