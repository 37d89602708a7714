//! List of connections, with the idle ones in the order in which they became idle. Every operation takes constant time.
//!
//! The idle ones form a linked list through a slab. The longest idle connection is its first entry, so no eviction searches.

use slab::Slab;

/// Key of one connection. Never reused, since streams may end after their connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    index: usize,
    number: u64,
}

/// Connections by key.
#[derive(Debug)]
pub(crate) struct IdleList<T> {
    all: Slab<Entry<T>>,
    /// Number of the next connection.
    next_number: u64,
    /// Lists of idle connections: from clients, and from trusted proxies.
    idle: [Ends; 2],
}

/// Both ends of a linked list.
#[derive(Debug, Default, Clone, Copy)]
struct Ends {
    first: Option<usize>,
    last: Option<usize>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    number: u64,
    is_proxy: bool,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Number of requests in flight.
    Serving(u32),
    /// Idle, with its neighbours in the list.
    Idle { before: Option<usize>, after: Option<usize> },
    /// Evicted, and not closed yet.
    Evicted,
}

impl<T> Default for IdleList<T> {
    fn default() -> Self {
        Self { all: Slab::new(), next_number: 0, idle: [Ends::default(); 2] }
    }
}

impl<T> IdleList<T> {
    /// Number of connections, idle or not.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds a connection as idle.
    pub(crate) fn insert(&mut self, value: T, is_proxy: bool) -> Key {
        let number = self.next_number;
        self.next_number += 1;
        let index = self.all.insert(Entry { value, number, is_proxy, state: State::Evicted });
        self.push(index);
        Key { index, number }
    }

    /// Removes a connection, and returns whether it was evicted.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        if self.state(key).is_none() {
            return false;
        }
        self.unlink(key.index);
        matches!(self.all.remove(key.index).state, State::Evicted)
    }

    /// Counts a request that starts; false when its connection was evicted.
    pub(crate) fn begin(&mut self, key: Key) -> bool {
        match self.state(key) {
            Some(State::Serving(requests)) => *requests += 1,
            Some(State::Idle { .. }) => {
                self.unlink(key.index);
                self.all[key.index].state = State::Serving(1);
            }
            Some(State::Evicted) | None => return false,
        }
        true
    }

    /// Counts a request that has ended.
    pub(crate) fn end(&mut self, key: Key) {
        match self.state(key) {
            Some(State::Serving(requests)) if *requests > 1 => *requests -= 1,
            Some(State::Serving(_)) => self.push(key.index),
            _ => {}
        }
    }

    /// Evicts the connection that has been idle for longest, those of proxies last. `None` when no connection is idle.
    pub(crate) fn evict(&mut self) -> Option<&T> {
        let index = self.idle.iter().find_map(|ends| ends.first)?;
        self.unlink(index);
        let entry = self.all.get_mut(index)?;
        entry.state = State::Evicted;
        Some(&entry.value)
    }

    /// Whether the connection was evicted.
    #[cfg(test)]
    pub(crate) fn is_evicted(&mut self, key: Key) -> bool {
        matches!(self.state(key), None | Some(State::Evicted))
    }

    fn state(&mut self, key: Key) -> Option<&mut State> {
        self.all.get_mut(key.index).filter(|entry| entry.number == key.number).map(|entry| &mut entry.state)
    }

    /// Appends an entry to its idle list.
    fn push(&mut self, index: usize) {
        let Some(entry) = self.all.get_mut(index) else { return };
        let ends = &mut self.idle[usize::from(entry.is_proxy)];
        let before = ends.last.replace(index);
        entry.state = State::Idle { before, after: None };
        match before {
            Some(before) => self.link(before, |_, after| *after = Some(index)),
            None => ends.first = Some(index),
        }
    }

    /// Unlinks an entry from its idle list, if it is in one. Its state does not change.
    fn unlink(&mut self, index: usize) {
        let Some(&Entry { is_proxy, state: State::Idle { before, after }, .. }) = self.all.get(index) else {
            return;
        };
        let ends = &mut self.idle[usize::from(is_proxy)];
        if before.is_none() {
            ends.first = after;
        }
        if after.is_none() {
            ends.last = before;
        }
        if let Some(before) = before {
            self.link(before, |_, link| *link = after);
        }
        if let Some(after) = after {
            self.link(after, |link, _| *link = before);
        }
    }

    fn link(&mut self, index: usize, change: impl FnOnce(&mut Option<usize>, &mut Option<usize>)) {
        if let Some(Entry { state: State::Idle { before, after }, .. }) = self.all.get_mut(index) {
            change(before, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{IdleList, Key};

    #[test]
    fn longest_idle_is_evicted_first_and_proxies_last() {
        let mut list = IdleList::default();
        let keys: Vec<_> = (0..5).map(|at| list.insert(at, at == 0)).collect();
        assert!(list.begin(keys[1]) && list.begin(keys[1]));
        assert!(list.begin(keys[2]));
        list.end(keys[1]);
        list.end(keys[2]);
        // 0 belongs to a proxy, 1 still serves a request.
        let order: Vec<u32> = std::iter::from_fn(|| list.evict().copied()).collect();
        assert_eq!(order, [3, 4, 2, 0]);
        assert!(!list.begin(keys[3]), "evicted before its request");
        list.end(keys[1]);
        assert_eq!(list.evict(), Some(&1));
        assert_eq!(keys.iter().filter(|&&key| list.remove(key)).count(), 5);
        assert_eq!((list.len(), list.evict()), (0, None));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Insert(bool),
        Begin(usize),
        End(usize),
        Remove(usize),
        Evict,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<bool>().prop_map(Step::Insert),
            (0..20_usize).prop_map(Step::Begin),
            (0..20_usize).prop_map(Step::End),
            (0..20_usize).prop_map(Step::Remove),
            Just(Step::Evict),
        ]
    }

    proptest! {
        /// Compares the list with a model that is searched.
        #[test]
        fn list_agrees_with_a_search(steps in prop::collection::vec(step(), 0..200)) {
            let mut list = IdleList::default();
            // Key, whether it belongs to a proxy, requests in flight, and start of the idle time.
            let mut model: Vec<(Key, bool, u32, Option<usize>)> = Vec::new();
            let mut gone = None;
            for (now, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(is_proxy) => model.push((list.insert(now, is_proxy), is_proxy, 0, Some(now))),
                    Step::Begin(at) => {
                        if let Some((key, _, requests, idle)) = model.get_mut(at) {
                            let is_open = *requests > 0 || idle.is_some();
                            prop_assert_eq!(list.begin(*key), is_open);
                            if is_open {
                                (*requests, *idle) = (*requests + 1, None);
                            }
                        }
                    }
                    Step::End(at) => {
                        if let Some((key, _, requests, idle)) = model.get_mut(at) && *requests > 0 {
                            list.end(*key);
                            *requests -= 1;
                            *idle = (*requests == 0).then_some(now);
                        }
                    }
                    Step::Remove(at) => {
                        if at < model.len() {
                            let (key, _, requests, idle) = model.remove(at);
                            prop_assert_eq!(list.remove(key), requests == 0 && idle.is_none());
                            gone = Some(key);
                        }
                    }
                    Step::Evict => {
                        let idle = model.iter_mut().filter(|(_, _, _, idle)| idle.is_some());
                        let longest = idle.min_by_key(|(_, is_proxy, _, idle)| (*is_proxy, *idle));
                        prop_assert_eq!(list.evict().is_some(), longest.is_some());
                        if let Some((key, _, _, idle)) = longest {
                            *idle = None;
                            prop_assert!(list.is_evicted(*key));
                        }
                    }
                }
                // A stream that ends after its connection does not change another.
                if let Some(key) = gone {
                    list.end(key);
                    prop_assert!(!list.begin(key) && !list.remove(key));
                }
                prop_assert_eq!(list.len(), model.len());
            }
        }
    }
}
