//! The in-process session store: sharded maps, for one gateway on one machine.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::attempts::local::LocalAttempts;
use super::attempts::{Attempt, BucketKey, Charged};
use super::{Lookup, Record, SessionStore, SessionStoreError};
use crate::clock::{Clock, Timestamp};
use crate::id::SessionId;

/// Number of shards: enough that two cores seldom contend for one lock. Each shard costs an empty map.
const SHARDS: usize = 64;

/// Minimum size at which a shard is swept of expired entries. Otherwise it is swept at twice its size after the last
/// sweep.
const SWEEP_FLOOR: usize = 256;

/// Live sessions and tombstones of this process.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    shards: Vec<Mutex<Shard>>,
    attempts: LocalAttempts,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<SessionId, StoredEntry>,
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct StoredEntry {
    /// `None` is a tombstone.
    record: Option<Record>,
    until: Timestamp,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard { sweep_at: SWEEP_FLOOR, ..Shard::default() }));
        Self { clock, shards: shards.collect(), attempts: LocalAttempts::default() }
    }

    /// Locks the shard of `id` and removes its expired entry.
    fn shard(&self, id: SessionId, now: Timestamp) -> MutexGuard<'_, Shard> {
        // Session ids are random, so any byte spreads them.
        let at = usize::from(id.as_bytes()[0]) % SHARDS;
        // Each step is a single insert or write, so a panic leaves no half-made entry.
        let mut shard = self.shards[at].lock().unwrap_or_else(PoisonError::into_inner);
        if shard.entries.get(&id).is_some_and(|stored| stored.until <= now) {
            shard.entries.remove(&id);
        }
        if shard.entries.len() >= shard.sweep_at {
            shard.entries.retain(|_, stored| stored.until > now);
            shard.sweep_at = (shard.entries.len() * 2).max(SWEEP_FLOOR);
        }
        shard
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn check(&self, id: SessionId) -> Result<Lookup, SessionStoreError> {
        let shard = self.shard(id, self.clock.wall());
        Ok(match shard.entries.get(&id) {
            Some(StoredEntry { record: Some(record), .. }) => Lookup::Live(*record),
            Some(StoredEntry { record: None, .. }) => Lookup::Tombstone,
            None => Lookup::Absent,
        })
    }

    async fn fill(&self, id: SessionId, record: Record, keep: Duration) -> Result<(), SessionStoreError> {
        let now = self.clock.wall();
        let stored = StoredEntry { record: Some(record), until: now + keep };
        self.shard(id, now).entries.entry(id).or_insert(stored);
        Ok(())
    }

    async fn extend(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        let now = self.clock.wall();
        if let Some(stored) = self.shard(id, now).entries.get_mut(&id) {
            stored.until = stored.until.max(now + keep);
        }
        Ok(())
    }

    async fn revoke(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        let now = self.clock.wall();
        let until = now + keep;
        match self.shard(id, now).entries.entry(id) {
            Entry::Occupied(mut stored) => {
                let until = stored.get().until.max(until);
                stored.insert(StoredEntry { record: None, until });
            }
            Entry::Vacant(slot) => {
                slot.insert(StoredEntry { record: None, until });
            }
        }
        Ok(())
    }

    async fn charge(&self, attempt: &Attempt) -> Result<Charged, SessionStoreError> {
        Ok(self.attempts.charge(attempt, self.clock.monotonic()))
    }

    async fn refund(&self, attempt: &Attempt) -> Result<(), SessionStoreError> {
        self.attempts.refund(attempt, self.clock.monotonic());
        Ok(())
    }

    async fn forget(&self, accounts: &[BucketKey], buckets: &[BucketKey]) -> Result<(), SessionStoreError> {
        self.attempts.forget(accounts, buckets);
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }
}
