//! Memory of hashes that need more than a thread has: one budget for all hashing threads.

use std::sync::{Condvar, Mutex, PoisonError};

use super::stored::MAX_MEMORY;

/// Memory for all such hashes at a time, in bytes: the largest one that is accepted fits, and small ones run side by side.
const BUDGET: u64 = MAX_MEMORY;

/// Memory that is not in use.
pub(super) struct Budget {
    free: Mutex<u64>,
    returned: Condvar,
}

/// Memory in use, returned when dropped.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { free: Mutex::new(BUDGET), returned: Condvar::new() }
    }
}

impl Budget {
    /// Takes `bytes`, at most all of it; waits until they are free. A thread holds one share at a time, so none waits for ever.
    pub(super) fn take(&self, bytes: u64) -> Share<'_> {
        let bytes = bytes.min(BUDGET);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Share { budget: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn share_beyond_the_budget_waits_for_another() {
        let budget = Arc::new(Budget::default());
        let (first, second) = (budget.take(BUDGET / 2), budget.take(BUDGET / 2));
        let (sender, receiver) = channel();
        let other = Arc::clone(&budget);
        let waiting = std::thread::spawn(move || {
            let share = other.take(2 * BUDGET);
            sender.send(share.bytes).unwrap();
        });
        drop(first);
        assert!(receiver.try_recv().is_err(), "half of it is still in use");
        drop(second);
        assert_eq!(receiver.recv().unwrap(), BUDGET);
        waiting.join().unwrap();
        assert_eq!(*budget.free.lock().unwrap(), BUDGET);
    }
}
