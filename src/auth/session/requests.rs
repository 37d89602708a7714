//! Requests in flight of one session.

use std::sync::Arc;

use slab::Slab;

use crate::auth::session::control::Control;

/// Requests of one session. Most sessions have one request at a time, and usually none, so one is stored inline
/// and costs no allocation. Memory for further entries is freed when they have ended.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    first: Option<Arc<Control>>,
    more: Option<Box<Slab<Arc<Control>>>>,
}

impl Requests {
    /// Adds a request and returns its key.
    pub(crate) fn insert(&mut self, control: Arc<Control>) -> usize {
        if self.first.is_none() {
            self.first = Some(control);
            return 0;
        }
        self.more.get_or_insert_default().insert(control) + 1
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Control>> {
        let more = self.more.iter().flat_map(|more| more.iter());
        self.first.iter().chain(more.map(|(_, control)| control))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(bytes: u64) -> Arc<Control> {
        let control = Arc::new(Control::default());
        control.expect_body();
        control.record_body(bytes);
        control
    }

    #[test]
    fn requests_are_removed_in_any_order() {
        let mut requests = Requests::default();
        let keys: Vec<_> = (0..5).map(|at| requests.insert(control(at))).collect();
        let present = |requests: &Requests| {
            let mut numbers: Vec<_> = requests.iter().filter_map(|control| control.awaited_body()).collect();
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(present(&requests), [0, 1, 2, 3, 4]);
        requests.remove(keys[0]);
        requests.remove(keys[3]);
        assert_eq!(present(&requests), [1, 2, 4]);
        requests.insert(control(5));
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
