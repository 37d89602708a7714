//! Table of slots by session id.
//!
//! A slot has its id, so an entry needs only half of it: ids are random, and that half is the hash as well.

use std::sync::{Arc, Weak};

use hashbrown::HashTable;

use crate::id::SessionId;

/// Entry of the table: it knows its session.
pub(super) trait OfSession {
    fn session_id(&self) -> SessionId;
}

/// Slots that are in use somewhere.
#[derive(Debug)]
pub(super) struct Slots<T>(HashTable<(u64, Weak<T>)>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self(HashTable::new())
    }
}

/// Slots that must not be dropped while their shard is locked: dropping the last handle of a slot locks it again. Empty
/// but for sessions whose ids have the same half.
pub(super) type Others<T> = Vec<Arc<T>>;

impl<T: OfSession> Slots<T> {
    /// Returns the slot of a session.
    pub(super) fn get(&self, id: SessionId, others: &mut Others<T>) -> Option<Arc<T>> {
        let key = half(id);
        let mut found = None;
        let is_it = |(known, slot): &(u64, Weak<T>)| {
            *known == key
                && slot.upgrade().is_some_and(|slot| {
                    let is_it = slot.session_id() == id;
                    if is_it {
                        found = Some(slot);
                    } else {
                        others.push(slot);
                    }
                    is_it
                })
        };
        self.0.find(key, is_it);
        found
    }

    /// Adds a slot. One of the same session may still be there, if its last handle is just being dropped.
    pub(super) fn insert(&mut self, slot: &Arc<T>) {
        let key = half(slot.session_id());
        self.0.insert_unique(key, (key, Arc::downgrade(slot)), |(key, _)| *key);
    }

    /// Removes this slot.
    pub(super) fn remove(&mut self, slot: &T) {
        // The entry keeps the memory of its slot, so no other slot has this address.
        let is_it = |(_, known): &(u64, Weak<T>)| std::ptr::eq(known.as_ptr(), slot);
        if let Ok(entry) = self.0.find_entry(half(slot.session_id()), is_it) {
            entry.remove();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The half of an id that is not used to choose a shard.
fn half(id: SessionId) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *id.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::LiveSessions;
    use crate::id::{Random, SystemRandom};

    #[test]
    fn sessions_whose_ids_share_a_half_are_kept_apart() {
        let table = Arc::new(LiveSessions::new());
        let id = |byte: u8| {
            let mut id = [7; 16];
            id[1] = byte;
            SessionId::from_bytes(id)
        };
        let slots: Vec<_> = (0..10).map(|byte| table.slot(id(byte))).collect();
        for (byte, slot) in (0..).zip(&slots) {
            assert!(Arc::ptr_eq(&table.slot(id(byte)), slot), "{byte}");
        }
        assert_eq!(table.slot_count(), 10);
        drop(slots);
        assert_eq!(table.slot_count(), 0);
    }

    #[test]
    fn table_forgets_slots_that_are_dropped_while_others_come() {
        let table = Arc::new(LiveSessions::new());
        let random: &dyn Random = &SystemRandom;
        let ids: Vec<_> = (0..1000).map(|_| SessionId::random(random)).collect();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for id in ids.iter().cycle().take(50_000) {
                        assert_eq!(table.slot(*id).id(), *id);
                    }
                });
            }
        });
        assert_eq!(table.slot_count(), 0);
    }
}
