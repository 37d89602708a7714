//! Connections, and of those without a request the order in which they became idle: all in constant time.
//!
//! The order is a linked list through a slab: whoever is at the connection limit finds the connection that has been idle
//! for longest without a look at any other, or finds that there is none.

use slab::Slab;

/// Names one connection; of no other, not even when that one is gone: streams may end after their connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    at: usize,
    number: u64,
}

/// Connections by key.
#[derive(Debug)]
pub(crate) struct IdleList<T> {
    all: Slab<Entry<T>>,
    /// Of the next one.
    number: u64,
    /// The idle ones: of clients, and of trusted proxies.
    idle: [Ends; 2],
}

/// The ends of a list.
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
    /// So many requests are under way.
    Serving(u32),
    /// Idle, between these two.
    Idle { before: Option<usize>, after: Option<usize> },
    /// Told to go.
    Evicted,
}

impl<T> Default for IdleList<T> {
    fn default() -> Self {
        Self { all: Slab::new(), number: 0, idle: [Ends::default(); 2] }
    }
}

impl<T> IdleList<T> {
    /// How many there are, idle or not.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds one that is idle from now on.
    pub(crate) fn insert(&mut self, value: T, is_proxy: bool) -> Key {
        let number = self.number;
        self.number += 1;
        let at = self.all.insert(Entry { value, number, is_proxy, state: State::Evicted });
        self.push(at);
        Key { at, number }
    }

    /// Takes one out. Whether it had been told to go.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        if self.state(key).is_none() {
            return false;
        }
        self.unlink(key.at);
        matches!(self.all.remove(key.at).state, State::Evicted)
    }

    /// A request begins; false when its connection was told to go.
    pub(crate) fn begin(&mut self, key: Key) -> bool {
        match self.state(key) {
            Some(State::Serving(requests)) => *requests += 1,
            Some(State::Idle { .. }) => {
                self.unlink(key.at);
                self.all[key.at].state = State::Serving(1);
            }
            Some(State::Evicted) | None => return false,
        }
        true
    }

    /// A request has ended.
    pub(crate) fn end(&mut self, key: Key) {
        match self.state(key) {
            Some(State::Serving(requests)) if *requests > 1 => *requests -= 1,
            Some(State::Serving(_)) => self.push(key.at),
            _ => {}
        }
    }

    /// Tells the one to go that has been idle for longest; those of proxies come last. `None` when none is idle.
    pub(crate) fn evict(&mut self) -> Option<&T> {
        let key = self.idle.iter().find_map(|ends| ends.first)?;
        self.unlink(key);
        let entry = self.all.get_mut(key)?;
        entry.state = State::Evicted;
        Some(&entry.value)
    }

    /// Whether it was told to go.
    #[cfg(test)]
    pub(crate) fn is_evicted(&mut self, key: Key) -> bool {
        matches!(self.state(key), None | Some(State::Evicted))
    }

    fn state(&mut self, key: Key) -> Option<&mut State> {
        self.all.get_mut(key.at).filter(|entry| entry.number == key.number).map(|entry| &mut entry.state)
    }

    /// To the end of its list.
    fn push(&mut self, key: usize) {
        let Some(entry) = self.all.get_mut(key) else { return };
        let ends = &mut self.idle[usize::from(entry.is_proxy)];
        let before = ends.last.replace(key);
        entry.state = State::Idle { before, after: None };
        match before {
            Some(before) => self.link(before, |_, after| *after = Some(key)),
            None => ends.first = Some(key),
        }
    }

    /// Out of its list, where it is in one; its state stays.
    fn unlink(&mut self, key: usize) {
        let Some(&Entry { is_proxy, state: State::Idle { before, after }, .. }) = self.all.get(key) else {
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

    fn link(&mut self, key: usize, change: impl FnOnce(&mut Option<usize>, &mut Option<usize>)) {
        if let Some(Entry { state: State::Idle { before, after }, .. }) = self.all.get_mut(key) {
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
        // 0 is a proxy's, 1 still serves a request.
        let order: Vec<u32> = std::iter::from_fn(|| list.evict().copied()).collect();
        assert_eq!(order, [3, 4, 2, 0]);
        assert!(!list.begin(keys[3]), "what comes now comes too late");
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
        /// Against a list that is looked through.
        #[test]
        fn list_agrees_with_a_search(steps in prop::collection::vec(step(), 0..200)) {
            let mut list = IdleList::default();
            // Key, whether it is a proxy's, requests under way, and since when it is idle.
            let mut model: Vec<(Key, bool, u32, Option<usize>)> = Vec::new();
            let mut gone = None;
            for (now, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(is_proxy) => model.push((list.insert(now, is_proxy), is_proxy, 0, Some(now))),
                    Step::Begin(at) => {
                        if let Some((key, _, requests, idle)) = model.get_mut(at) {
                            let is_there = *requests > 0 || idle.is_some();
                            prop_assert_eq!(list.begin(*key), is_there);
                            if is_there {
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
                // A stream that ends after its connection changes no other.
                if let Some(key) = gone {
                    list.end(key);
                    prop_assert!(!list.begin(key) && !list.remove(key));
                }
                prop_assert_eq!(list.len(), model.len());
            }
        }
    }
}
