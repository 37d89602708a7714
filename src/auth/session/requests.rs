//! Requests in flight of one session.

use std::sync::Arc;

use slab::Slab;

use crate::auth::session::control::Control;
use crate::id::UserId;
use crate::identity::RightsVersion;

/// A request registered under its session.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) control: Arc<Control>,
    pub(crate) user_id: UserId,
    pub(crate) rights: RightsVersion,
}

/// Requests of one session. Most sessions have one request at a time, and usually none, so one entry is stored inline
/// and costs no allocation. Memory for further entries is freed when they have ended.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    first: Option<Entry>,
    more: Option<Box<Slab<Entry>>>,
}

impl Requests {
    /// Adds a request and returns its key.
    pub(crate) fn insert(&mut self, entry: Entry) -> usize {
        if self.first.is_none() {
            self.first = Some(entry);
            return 0;
        }
        self.more.get_or_insert_default().insert(entry) + 1
    }

    /// Removes the request with this key.
    pub(crate) fn remove(&mut self, key: usize) {
        match key.checked_sub(1) {
            None => self.first = None,
            Some(key) => {
                let Some(more) = &mut self.more else { return };
                more.try_remove(key);
                if more.is_empty() {
                    self.more = None;
                }
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        let more = self.more.iter().flat_map(|more| more.iter());
        self.first.iter().chain(more.map(|(_, entry)| entry))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(byte: u8) -> Entry {
        let (control, rights) = (Arc::new(Control::default()), RightsVersion(0));
        Entry { control, user_id: UserId::from_bytes([byte; 16]), rights }
    }

    #[test]
    fn requests_are_removed_in_any_order() {
        let mut requests = Requests::default();
        let keys: Vec<_> = (0..5).map(|at| requests.insert(entry(at))).collect();
        let present = |requests: &Requests| {
            let mut users: Vec<_> = requests.iter().map(|entry| entry.user_id.as_bytes()[0]).collect();
            users.sort_unstable();
            users
        };
        assert_eq!(present(&requests), [0, 1, 2, 3, 4]);
        requests.remove(keys[0]);
        requests.remove(keys[3]);
        assert_eq!(present(&requests), [1, 2, 4]);
        requests.insert(entry(5));
        assert_eq!(present(&requests), [1, 2, 4, 5]);
        for key in [keys[1], keys[2], keys[4]] {
            requests.remove(key);
        }
        assert_eq!((present(&requests), requests.is_empty()), (vec![5], false));
        requests.remove(0);
        assert!(requests.is_empty());
        assert!(requests.more.is_none(), "the memory is freed");
    }
}
