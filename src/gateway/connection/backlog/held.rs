//! The sum of what is held for blocked clients, and the limit that is set to it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// Memory held for all clients whose responses are blocked.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: AtomicU64,
    /// What the HTTP/2 requests may come to hold that have no response yet.
    expected: AtomicU64,
    limit: AtomicU64,
    begun: Instant,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            bytes: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            begun: Instant::now(),
        }
    }
}

impl Held {
    /// Sets the limit, in bytes.
    pub(crate) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Whether more is held than the limit. Clients that make progress are counted too.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.limit.load(Ordering::Relaxed)
    }

    /// Whether more is held than the limit, or would be if no HTTP/2 client took its next responses.
    pub(crate) fn may_exceed_limit(&self) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed).saturating_add(self.expected.load(Ordering::Relaxed));
        bytes > self.limit.load(Ordering::Relaxed)
    }

    /// Milliseconds, from 1 on.
    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Adds what has changed; less is the complement, which wraps around.
    pub(crate) fn change(&self, change: u64) {
        self.bytes.fetch_add(change, Ordering::Relaxed);
    }

    /// The same of what is expected.
    pub(crate) fn expect(&self, change: u64) {
        self.expected.fetch_add(change, Ordering::Relaxed);
    }
}
