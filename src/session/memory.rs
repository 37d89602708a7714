//! The in-process session store: sharded maps, for one gateway on one machine.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Lookup, Record, SessionStore, SessionStoreError};
use crate::clock::{Clock, Timestamp};
use crate::id::SessionId;

/// Enough that two cores seldom meet on one lock; each shard costs an empty map.
const SHARDS: usize = 64;

/// A shard is swept of what has ended when it has grown to twice what the last sweep left, and not below this.
const SWEEP_FLOOR: usize = 256;

/// Live sessions and tombstones of this process.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    shards: Vec<Mutex<Shard>>,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<SessionId, Held>,
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct Held {
    /// `None` is a tombstone.
    record: Option<Record>,
    until: Timestamp,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard { sweep_at: SWEEP_FLOOR, ..Shard::default() }));
        Self { clock, shards: shards.collect() }
    }

    /// The entries of one shard, without what has ended for `id`.
    fn shard(&self, id: SessionId, now: Timestamp) -> MutexGuard<'_, Shard> {
        // Session ids are random: any byte spreads them.
        let at = usize::from(id.as_bytes()[0]) % SHARDS;
        // Each step is a single insert or write: a panic elsewhere leaves no half-made entry behind.
        let mut shard = self.shards[at].lock().unwrap_or_else(PoisonError::into_inner);
        if shard.entries.get(&id).is_some_and(|held| held.until <= now) {
            shard.entries.remove(&id);
        }
        if shard.entries.len() >= shard.sweep_at {
            shard.entries.retain(|_, held| held.until > now);
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
            Some(Held { record: Some(record), .. }) => Lookup::Live(*record),
            Some(Held { record: None, .. }) => Lookup::Tombstone,
            None => Lookup::Absent,
        })
    }

    async fn fill(&self, id: SessionId, record: Record, keep: Duration) -> Result<(), SessionStoreError> {
        let now = self.clock.wall();
        let held = Held { record: Some(record), until: now + keep };
        self.shard(id, now).entries.entry(id).or_insert(held);
        Ok(())
    }

    async fn extend(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        let now = self.clock.wall();
        if let Some(held) = self.shard(id, now).entries.get_mut(&id) {
            held.until = held.until.max(now + keep);
        }
        Ok(())
    }

    async fn revoke(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        let now = self.clock.wall();
        let until = now + keep;
        match self.shard(id, now).entries.entry(id) {
            Entry::Occupied(mut held) => {
                let until = held.get().until.max(until);
                held.insert(Held { record: None, until });
            }
            Entry::Vacant(slot) => {
                slot.insert(Held { record: None, until });
            }
        }
        Ok(())
    }

    fn vouches_alone(&self) -> bool {
        false
    }
}
