//! How many of something there were in the last second.

use std::sync::{Mutex, PoisonError};

const SECOND: u64 = 1000;

/// Counts by the second.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    second: u64,
    in_it: u32,
    in_the_one_before: u32,
}

impl Counts {
    fn advance(&mut self, millis: u64) {
        let second = millis / SECOND;
        if second > self.second {
            self.in_the_one_before = if second == self.second + 1 { self.in_it } else { 0 };
            (self.second, self.in_it) = (second, 0);
        }
    }
}

impl Pace {
    /// One more, at `millis`.
    pub(super) fn add(&self, millis: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.advance(millis);
        counts.in_it = counts.in_it.saturating_add(1);
    }

    /// The count of this second or of the one before it, whichever is larger.
    pub(super) fn last_second(&self, millis: u64) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.advance(millis);
        counts.in_it.max(counts.in_the_one_before)
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn what_was_done_two_seconds_ago_does_not_count() {
        let pace = Pace::default();
        assert_eq!(pace.last_second(1), 0);
        for millis in [10, 500, 999] {
            pace.add(millis);
        }
        pace.add(1000);
        assert_eq!((pace.last_second(1999), pace.last_second(2000), pace.last_second(3000)), (3, 1, 0));
        // Millis that two threads read in another order.
        pace.add(2999);
        assert_eq!(pace.last_second(3000), 1);
    }
}
