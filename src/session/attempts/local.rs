//! Buckets in this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Attempt, Bucket, BucketKey, Charged, Effect, Fill, Rule};
use crate::clock::Monotonic;

/// Maximum number of buckets: 56 bytes each. When a flood of names exceeds it, the emptier half is dropped.
pub const MAX_BUCKETS: usize = 100_000;

/// Buckets in this process.
#[derive(Default)]
pub struct LocalAttempts {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    buckets: HashMap<BucketKey, Stored>,
    /// How often the counted buckets of an account were forgotten; one entry for each account of which they were.
    forgotten: HashMap<BucketKey, u32>,
}

#[derive(Clone, Copy)]
struct Stored {
    count: u32,
    /// Time at which the bucket will be empty.
    empty_at: u64,
    /// Value of `forgotten` when it was counted.
    era: u32,
}

impl LocalAttempts {
    /// Charges an attempt to its buckets, all of them or none.
    pub fn charge(&self, attempt: &Attempt, now: Monotonic) -> Charged {
        let mut table = self.table();
        if table.buckets.len() >= MAX_BUCKETS {
            table.make_room(now);
        }
        let era = table.era(attempt.account);
        let (mut is_tight, mut full, mut charged) = (false, None, Vec::with_capacity(attempt.buckets.len()));
        for (at, bucket) in attempt.buckets.iter().enumerate() {
            let fill = table.fill(bucket, era, now);
            let wait = bucket.rule.wait(fill, is_tight);
            match bucket.effect {
                Effect::Tightens => is_tight |= wait > 0,
                Effect::Refuses if wait > full.map_or(0, |(_, longest)| longest) => full = Some((at, wait)),
                Effect::Refuses | Effect::Counts => {}
            }
            charged.push((wait == 0).then(|| bucket.rule.charged(fill)));
        }
        if let Some((bucket, wait)) = full {
            return Charged::Full { bucket, wait: Duration::from_millis(wait), is_tight };
        }
        for (bucket, fill) in attempt.buckets.iter().zip(&charged) {
            if let Some(fill) = fill {
                table.store(bucket, *fill, era, now);
            }
        }
        Charged::Allowed(charged.iter().map(Option::is_some).collect())
    }

    /// Takes one attempt back from each bucket.
    pub fn refund(&self, attempt: &Attempt, now: Monotonic) {
        let mut table = self.table();
        let era = table.era(attempt.account);
        for bucket in &attempt.buckets {
            let fill = table.fill(bucket, era, now);
            table.store(bucket, bucket.rule.refunded(fill), era, now);
        }
    }

    /// Forgets the counted buckets of `accounts`, and `buckets`.
    pub fn forget(&self, accounts: &[BucketKey], buckets: &[BucketKey]) {
        let mut table = self.table();
        for account in accounts {
            *table.forgotten.entry(*account).or_default() += 1;
        }
        for key in buckets {
            table.buckets.remove(key);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Each bucket is one write, so a panic leaves no half-made one.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn era(&self, account: BucketKey) -> u32 {
        self.forgotten.get(&account).copied().unwrap_or(0)
    }

    fn fill(&self, bucket: &Bucket, era: u32, now: Monotonic) -> Fill {
        let stored = self.buckets.get(&bucket.key).filter(|stored| {
            let is_counted = matches!(bucket.rule, Rule::Counted { .. });
            stored.empty_at > now.millis() && (!is_counted || stored.era == era)
        });
        stored
            .map_or(Fill::EMPTY, |stored| Fill { count: stored.count, left: stored.empty_at - now.millis() })
    }

    fn store(&mut self, bucket: &Bucket, fill: Fill, era: u32, now: Monotonic) {
        if fill.left == 0 {
            self.buckets.remove(&bucket.key);
        } else {
            let stored = Stored { count: fill.count, empty_at: now.millis() + fill.left, era };
            self.buckets.insert(bucket.key, stored);
        }
    }

    /// Drops empty buckets; if that is not enough, the emptier half.
    fn make_room(&mut self, now: Monotonic) {
        self.buckets.retain(|_, bucket| bucket.empty_at > now.millis());
        if self.buckets.len() >= MAX_BUCKETS {
            let mut ends: Vec<u64> = self.buckets.values().map(|bucket| bucket.empty_at).collect();
            let middle = ends.len() / 2;
            let (_, &mut median, _) = ends.select_nth_unstable(middle);
            self.buckets.retain(|_, bucket| bucket.empty_at > median);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_buckets_is_bounded() {
        let local = LocalAttempts::default();
        let leak = Duration::from_secs(6);
        for number in 0..u32::try_from(MAX_BUCKETS * 2).unwrap() {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&number.to_be_bytes());
            let rule = Rule::Leaky { burst: 1, leak, tight: 1 };
            let bucket = Bucket { key: BucketKey(key), rule, effect: Effect::Refuses };
            let attempt = Attempt { account: BucketKey(key), buckets: vec![bucket] };
            let _ = local.charge(&attempt, Monotonic::from_millis(u64::from(number / 100)));
        }
        assert!(local.table().buckets.len() <= MAX_BUCKETS);
    }
}
