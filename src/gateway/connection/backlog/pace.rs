//! Event rate: a count over the last second.

use std::sync::{Mutex, PoisonError};

const SECOND: u64 = 1000;

/// Counter of events per second.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    second: u64,
    current: u32,
    previous: u32,
    total: u64,
}

impl Counts {
    fn advance(&mut self, millis: u64) {
        let second = millis / SECOND;
        if second > self.second {
            self.previous = if second == self.second + 1 { self.current } else { 0 };
            (self.second, self.current) = (second, 0);
        }
    }
}

impl Pace {
    /// Counts an event at `millis`.
    pub(super) fn add(&self, millis: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.advance(millis);
        counts.current = counts.current.saturating_add(1);
        counts.total = counts.total.saturating_add(1);
    }

    /// Returns the count since the start.
    pub(super) fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// Returns the larger count of the current and the previous second.
    pub(super) fn last_second(&self, millis: u64) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.advance(millis);
        counts.current.max(counts.previous)
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn events_two_seconds_ago_do_not_count() {
        let pace = Pace::default();
        assert_eq!(pace.last_second(1), 0);
        for millis in [10, 500, 999] {
            pace.add(millis);
        }
        pace.add(1000);
        assert_eq!((pace.last_second(1999), pace.last_second(2000), pace.last_second(3000)), (3, 1, 0));
        // Two threads may read the clock and take the lock in different orders.
        pace.add(2999);
        assert_eq!(pace.last_second(3000), 1);
    }
}
