//! Memory held for blocked clients, and its limit.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// Memory held for all clients whose responses are blocked.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: AtomicU64,
    /// Bytes that HTTP/2 requests without a response yet may come to hold.
    expected: AtomicU64,
    limit: AtomicU64,
    started: Instant,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            bytes: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            started: Instant::now(),
        }
    }
}

impl Held {
    /// Sets the limit, in bytes.
    pub(crate) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Whether more than the limit is held. Blocked clients that make progress count too.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.limit.load(Ordering::Relaxed)
    }

    /// Whether more than the limit is held, or would be if no HTTP/2 client read its next responses.
    pub(crate) fn may_exceed_limit(&self) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed).saturating_add(self.expected.load(Ordering::Relaxed));
        bytes > self.limit.load(Ordering::Relaxed)
    }

    /// Bytes held, in multiples of the limit, rounded down; 0 while the limit is not exceeded. Expected bytes do not count: an ordinary
    /// day with a slow app expects several times the limit.
    pub(crate) fn excess(&self) -> u64 {
        let limit = self.limit.load(Ordering::Relaxed);
        self.bytes.load(Ordering::Relaxed).checked_div(limit).unwrap_or(u64::MAX)
    }

    /// Milliseconds since the start, plus 1: 0 is free for "never".
    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Adds a change of the bytes held. A decrease is its two's complement, which wraps around.
    pub(crate) fn change(&self, change: u64) {
        self.bytes.fetch_add(change, Ordering::Relaxed);
    }

    /// Adds a change of the bytes expected, in the same form.
    pub(crate) fn change_expected(&self, change: u64) {
        self.expected.fetch_add(change, Ordering::Relaxed);
    }
}
