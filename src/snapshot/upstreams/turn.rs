//! Whose turn it is: the addresses of an upstream in order, those that fail last.

use std::sync::Arc;

use super::health::Trial;
use super::server::Candidate;
use crate::clock::Monotonic;

/// The addresses of an upstream: those in turn, then those put last. Made anew when one comes, goes or changes sides, so
/// that a request only counts.
#[derive(Debug, Default)]
pub(super) struct Order {
    candidates: Vec<Arc<Candidate>>,
    /// How many of them take turns.
    in_turn: usize,
    /// All are put last, so all take turns: a bad answer beats none.
    pub(super) is_panic: bool,
    /// Which changes it has seen.
    pub(super) seen: u64,
}

impl Order {
    pub(super) fn new(found: &[Arc<Candidate>], seen: u64) -> Self {
        let (mut candidates, last): (Vec<_>, Vec<_>) =
            found.iter().cloned().partition(|candidate| candidate.standing().is_in_turn());
        let is_panic = candidates.is_empty() && !last.is_empty();
        let in_turn = if is_panic { last.len() } else { candidates.len() };
        candidates.extend(last);
        Self { candidates, in_turn, is_panic, seen }
    }

    pub(super) const fn has_last(&self) -> bool {
        self.in_turn < self.candidates.len()
    }
}

/// The candidates of one request, in the order it should try them.
#[derive(Debug, Default)]
pub struct ServerAttempts {
    order: Arc<Order>,
    /// Where among those in turn it begins.
    begin: usize,
    /// One of those put last that this request tries first, and alone of all requests.
    trial: Option<(usize, Trial)>,
    tried: usize,
}

impl ServerAttempts {
    /// The `number`-th turn of all.
    pub(super) fn new(order: Arc<Order>, number: usize, now: impl FnOnce() -> Monotonic) -> Self {
        let trial = if order.has_last() { Self::trial(&order, now()) } else { None };
        Self { begin: number % order.in_turn.max(1), order, trial, tried: 0 }
    }

    fn trial(order: &Order, now: Monotonic) -> Option<(usize, Trial)> {
        let last = order.candidates.iter().enumerate().skip(order.in_turn);
        last.filter_map(|(at, candidate)| Some((at, candidate.try_out(now)?))).next()
    }

    /// Whether there is another one to try.
    pub fn has_next(&self) -> bool {
        self.tried < self.order.candidates.len()
    }

    /// Where the `tried`-th candidate stands.
    fn place(&self) -> usize {
        let in_turn = self.order.in_turn;
        let Some((trial, _)) = &self.trial else {
            return if self.tried < in_turn { (self.begin + self.tried) % in_turn } else { self.tried };
        };
        match self.tried.checked_sub(1) {
            None => *trial,
            Some(after) if after < in_turn => (self.begin + after) % in_turn,
            // The rest, without the one that was first.
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
        let place = self.place();
        self.tried += 1;
        self.order.candidates.get(place).cloned()
    }
}
