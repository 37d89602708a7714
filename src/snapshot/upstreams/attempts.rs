//! Server selection: round robin over an upstream's addresses, ejected ones last.

use std::sync::Arc;

use super::health::Trial;
use super::server::Candidate;
use crate::clock::Monotonic;

/// Addresses of an upstream: healthy ones, then ejected ones. Rebuilt when an address is added, removed, ejected or
/// restored, so that a request only counts.
#[derive(Debug, Default)]
pub(super) struct Order {
    candidates: Vec<Arc<Candidate>>,
    /// Number of addresses in the round robin.
    rotating: usize,
    /// Every address is ejected, so all are used (panic mode): a failing response is better than none.
    pub(super) is_panic: bool,
    /// Value of [`Changes`](super::health::Changes) when the order was built.
    pub(super) version: u64,
}

impl Order {
    pub(super) fn new(all: &[Arc<Candidate>], version: u64) -> Self {
        let (mut candidates, ejected): (Vec<_>, Vec<_>) =
            all.iter().cloned().partition(|candidate| candidate.health_status().is_healthy());
        let is_panic = candidates.is_empty() && !ejected.is_empty();
        let rotating = if is_panic { ejected.len() } else { candidates.len() };
        candidates.extend(ejected);
        Self { candidates, rotating, is_panic, version }
    }

    pub(super) const fn has_ejected(&self) -> bool {
        self.rotating < self.candidates.len()
    }
}

/// Candidates of one request, in the order it should try them.
#[derive(Debug, Default)]
pub struct ServerAttempts {
    order: Arc<Order>,
    /// Index of the first address in the round robin.
    start: usize,
    /// The ejected address that this request tries first, as the only request.
    trial: Option<(usize, Trial)>,
    tried: usize,
}

impl ServerAttempts {
    /// Starts the round robin at `number`.
    pub(super) fn new(order: Arc<Order>, number: usize, now: impl FnOnce() -> Monotonic) -> Self {
        let trial = if order.has_ejected() { Self::trial(&order, now()) } else { None };
        Self { start: number % order.rotating.max(1), order, trial, tried: 0 }
    }

    fn trial(order: &Order, now: Monotonic) -> Option<(usize, Trial)> {
        let ejected = order.candidates.iter().enumerate().skip(order.rotating);
        ejected.filter_map(|(at, candidate)| Some((at, candidate.start_trial(now)?))).next()
    }

    /// Returns whether another candidate is left.
    pub fn has_next(&self) -> bool {
        self.tried < self.order.candidates.len()
    }

    /// Returns the index of the next candidate.
    fn index(&self) -> usize {
        let rotating = self.order.rotating;
        let Some((trial, _)) = &self.trial else {
            return if self.tried < rotating { (self.start + self.tried) % rotating } else { self.tried };
        };
        match self.tried.checked_sub(1) {
            None => *trial,
            Some(after) if after < rotating => (self.start + after) % rotating,
            // The remaining addresses, without the trial.
            Some(after) if after < *trial => after,
            Some(after) => after + 1,
        }
    }
}

impl Iterator for ServerAttempts {
    type Item = Arc<Candidate>;

    fn next(&mut self) -> Option<Arc<Candidate>> {
        if !self.has_next() {
            return None;
        }
        let index = self.index();
        self.tried += 1;
        self.order.candidates.get(index).cloned()
    }
}
