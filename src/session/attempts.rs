//! Buckets of failed attempts, which the throttle of the sign-in fills: the rules, which every backend follows to the
//! millisecond.
//!
//! ```text
//! leaky    one attempt fits while the bucket has room; `leak` after an attempt its place is free again.
//!          Backends keep one number: the time until the bucket is empty.
//! counted  `burst` attempts at once; then waits that double, from `first` to `longest`, and no attempt beyond `max`.
//!          Backends keep the count, and the time until it is forgotten: its memory, after the wait.
//! ```
//!
//! So both kinds end by themselves, and a store needs no clock but that of its expiry.

use std::time::Duration;

pub mod local;

/// Key of a bucket: a keyed digest. It tells nobody who reads the store which account or address it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BucketKey(pub [u8; 16]);

/// Rule of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A leaky bucket.
    Leaky {
        /// Number of attempts that fit, at least 1.
        burst: u32,
        /// Time in which one of them leaks away.
        leak: Duration,
        /// Number of attempts that fit while a bucket with [`Effect::Tightens`] is full; at most `burst`.
        tight: u32,
    },
    /// Counted attempts.
    Counted {
        /// Number of attempts without a wait.
        burst: u32,
        /// Wait after the first attempt beyond them. Each further attempt doubles it.
        first: Duration,
        /// Longest wait.
        longest: Duration,
        /// Number of attempts after which there are no others until all are forgotten.
        max: u32,
        /// Time for which each attempt makes the count remembered after the last wait.
        memory: Duration,
        /// Longest such time.
        longest_memory: Duration,
    },
}

/// Effect of a full bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The attempt is refused.
    Refuses,
    /// None: the bucket only counts, and takes no more.
    Counts,
    /// The leaky buckets behind it have room for `tight` attempts.
    Tightens,
}

/// A bucket that an attempt fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its key.
    pub key: BucketKey,
    /// Its rule.
    pub rule: Rule,
    /// Effect when it is full.
    pub effect: Effect,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The account: its counted buckets are forgotten together.
    pub account: BucketKey,
    /// The buckets, in the order in which they are looked at.
    pub buckets: Vec<Bucket>,
}

/// Result of charging an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charged {
    /// The attempt is allowed. For each bucket: whether it was charged.
    Allowed(Vec<bool>),
    /// A bucket is full, and nothing was charged.
    Full {
        /// Index of the bucket with the longest wait.
        bucket: usize,
        /// Time until it has room.
        wait: Duration,
        /// Whether a bucket with [`Effect::Tightens`] is full as well.
        is_tight: bool,
    },
}

/// Contents of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Number of attempts; of a leaky bucket it means nothing.
    pub(crate) count: u32,
    /// Milliseconds until the bucket is empty.
    pub(crate) left: u64,
}

impl Fill {
    /// An empty bucket.
    pub(crate) const EMPTY: Self = Self { count: 0, left: 0 };
}

impl Rule {
    /// Returns the milliseconds until another attempt fits.
    pub(crate) fn wait(&self, fill: Fill, is_tight: bool) -> u64 {
        match *self {
            Self::Leaky { burst, leak, tight } => {
                let room = millis(leak) * u64::from(if is_tight { tight } else { burst });
                (fill.left + millis(leak)).saturating_sub(room)
            }
            Self::Counted { max, .. } if fill.count >= max => fill.left,
            Self::Counted { .. } => fill.left.saturating_sub(self.memory(fill.count)),
        }
    }

    /// Returns the contents with one attempt more.
    pub(crate) fn charged(&self, fill: Fill) -> Fill {
        match *self {
            Self::Leaky { leak, .. } => Fill { count: 1, left: fill.left + millis(leak) },
            Self::Counted { burst, first, longest, .. } => {
                let count = fill.count.saturating_add(1);
                let wait = match count.checked_sub(burst) {
                    None => 0,
                    Some(beyond) => {
                        let doubled =
                            1_u64.checked_shl(beyond).and_then(|times| millis(first).checked_mul(times));
                        doubled.unwrap_or(u64::MAX).min(millis(longest))
                    }
                };
                Fill { count, left: self.memory(count) + wait }
            }
        }
    }

    /// Returns the contents with one attempt less. The wait of a counted bucket is over: the attempt was a success.
    pub(crate) fn refunded(&self, fill: Fill) -> Fill {
        match *self {
            Self::Leaky { leak, .. } => Fill { left: fill.left.saturating_sub(millis(leak)), ..fill },
            Self::Counted { .. } => {
                let count = fill.count.saturating_sub(1);
                Fill { count, left: self.memory(count) }
            }
        }
    }

    /// Returns the time for which a count is remembered after its wait.
    fn memory(&self, count: u32) -> u64 {
        match *self {
            Self::Leaky { .. } => 0,
            Self::Counted { memory, longest_memory, .. } => {
                (millis(memory) * u64::from(count)).min(millis(longest_memory))
            }
        }
    }
}

/// Returns whole milliseconds.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIX: Duration = Duration::from_secs(6);
    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn waits_double_up_to_the_longest() {
        let rule = Rule::Counted {
            burst: 3,
            first: SIX,
            longest: HOUR,
            max: u32::MAX,
            memory: HOUR,
            longest_memory: HOUR * 12,
        };
        let (mut fill, mut waits) = (Fill::EMPTY, Vec::new());
        for _ in 0..15 {
            fill = rule.charged(fill);
            let wait = rule.wait(fill, false);
            waits.push(wait / 1000);
            fill.left -= wait;
        }
        assert_eq!(waits, [0, 0, 6, 12, 24, 48, 96, 192, 384, 768, 1536, 3072, 3600, 3600, 3600]);
        assert_eq!(fill.left, millis(HOUR * 12), "remembered for half a day");
    }

    #[test]
    fn count_beyond_the_maximum_waits_until_it_is_forgotten() {
        let day = Duration::from_hours(24);
        let rule =
            Rule::Counted { burst: 2, first: SIX, longest: HOUR, max: 2, memory: day, longest_memory: day };
        let fill = rule.charged(rule.charged(Fill::EMPTY));
        assert_eq!(rule.wait(fill, false), millis(day + SIX));
        assert_eq!(rule.wait(rule.refunded(fill), false), 0);
    }

    #[test]
    fn huge_counts_do_not_overflow() {
        let rule = Rule::Counted {
            burst: 1,
            first: SIX,
            longest: HOUR,
            max: u32::MAX,
            memory: HOUR,
            longest_memory: HOUR,
        };
        let fill = rule.charged(Fill { count: u32::MAX, left: 0 });
        assert_eq!((fill.count, rule.wait(Fill { count: 1, ..fill }, false)), (u32::MAX, millis(HOUR)));
    }
}
