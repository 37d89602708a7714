//! Time that Redis is given for a reply.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Minimum timeout while nobody else can answer. A 503 within a second is the promise; people are better served by a
/// late yes than by an early 503.
const ONLY_SOURCE: Duration = Duration::from_millis(800);

/// Number of heartbeats in a row that may be missed. A single one may be an accident.
const MISSED: u32 = 2;

/// The same while nobody else can answer: with its interval of 250 ms, [`ONLY_SOURCE`].
const MISSED_ONLY_SOURCE: u32 = 4;

/// Maximum time that a sign-in waits for the shared throttle. Then the gateway's own decides: people notice a longer wait,
/// and a Redis that needs this long is not fit for sessions either.
const SIGN_IN: Duration = Duration::from_millis(200);

/// The timeout of commands, which is longer while the vault is away.
pub(super) struct Patience {
    usual: Duration,
    is_only_source: AtomicBool,
}

impl Patience {
    pub(super) const fn new(usual: Duration) -> Self {
        Self { usual, is_only_source: AtomicBool::new(false) }
    }

    pub(super) fn set_only_source(&self, is_only_source: bool) {
        // Read first: this is called for every request while the vault is away.
        if self.is_only_source.load(Ordering::Relaxed) != is_only_source {
            self.is_only_source.store(is_only_source, Ordering::Relaxed);
        }
    }

    /// Returns the timeout of a command.
    pub(super) fn timeout(&self) -> Duration {
        if self.is_only_source.load(Ordering::Relaxed) { longest(self.usual) } else { self.usual }
    }

    /// Returns the timeout of a command on buckets of failed attempts. It does not depend on the vault: without that nobody
    /// signs in.
    pub(super) fn sign_in(&self) -> Duration {
        self.usual.min(SIGN_IN)
    }

    /// Returns the number of missed heartbeats in a row that end a connection.
    pub(super) fn max_missed(&self) -> u32 {
        if self.is_only_source.load(Ordering::Relaxed) { MISSED_ONLY_SOURCE } else { MISSED }
    }
}

/// Returns the longest timeout that a command with this usual timeout may have.
pub(super) fn longest(usual: Duration) -> Duration {
    usual.max(ONLY_SOURCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_source_is_given_more_time() {
        let patience = Patience::new(Duration::from_millis(100));
        assert_eq!((patience.timeout(), patience.max_missed()), (Duration::from_millis(100), 2));
        patience.set_only_source(true);
        assert_eq!((patience.timeout(), patience.max_missed()), (ONLY_SOURCE, 4));
        assert_eq!(patience.sign_in(), Duration::from_millis(100));
        patience.set_only_source(false);
        assert_eq!(patience.timeout(), Duration::from_millis(100));
        let patience = Patience::new(Duration::from_secs(1));
        patience.set_only_source(true);
        assert_eq!(patience.timeout(), Duration::from_secs(1), "never less than usual");
        assert_eq!(patience.sign_in(), SIGN_IN);
    }
}
