//! The lease: how long the revocation set counts as current after the last proof from the vault.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Monotonic, Timestamp};

/// Never proven.
const NEVER: u64 = 0;

/// When the set was last proven current, and what the vault's clock says.
pub(crate) struct Lease {
    length: Duration,
    /// Milliseconds plus one, so that [`NEVER`] is told apart.
    proven: AtomicU64,
    /// The vault's clock less this machine's monotonic one, in milliseconds: a step of this machine's own wall
    /// clock means nothing.
    ahead: AtomicI64,
}

impl Lease {
    pub(crate) const fn new(length: Duration) -> Self {
        Self { length, proven: AtomicU64::new(NEVER), ahead: AtomicI64::new(0) }
    }

    pub(crate) const fn length(&self) -> Duration {
        self.length
    }

    /// A probe that was sent at `sent` has come back: everything committed before `sent` is in the set. Counted
    /// from sending, since what was committed while it was under way may be missing.
    pub(crate) fn renew(&self, sent: Monotonic) {
        self.proven.fetch_max(sent.millis() + 1, Ordering::AcqRel);
    }

    /// The vault's clock read `vault` when this machine's read `here`.
    pub(crate) fn learn(&self, vault: Timestamp, here: Monotonic) {
        self.ahead.store(vault.millis() - millis(here), Ordering::Relaxed);
    }

    /// The vault's clock now, by this machine's.
    pub(crate) fn vault_time(&self, here: Monotonic) -> Timestamp {
        Timestamp::from_millis(millis(here) + self.ahead.load(Ordering::Relaxed))
    }

    pub(crate) fn is_held(&self, now: Monotonic) -> bool {
        self.unproven_for(now).is_some_and(|span| span < self.length)
    }

    /// How long ago the last proof was; `None` when there was none yet.
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
    fn it_is_held_from_a_proof_until_its_length_has_passed() {
        let lease = Lease::new(Duration::from_secs(1));
        assert!(!lease.is_held(at(0)), "never proven");
        lease.renew(at(0));
        assert!(lease.is_held(at(999)));
        assert!(!lease.is_held(at(1000)));
        lease.renew(at(900));
        lease.renew(at(500));
        assert!(lease.is_held(at(1899)), "an older probe that comes back late takes nothing away");
    }

    #[test]
    fn a_machine_whose_clock_is_wrong_uses_the_vaults() {
        let lease = Lease::new(Duration::from_secs(1));
        lease.learn(Timestamp::from_secs(5000), at(1_400_000));
        assert_eq!(lease.vault_time(at(1_401_000)), Timestamp::from_secs(5001));
    }
}
