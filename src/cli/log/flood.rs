//! Floods: lines of one reason beyond a rate are left out and summed up, so that neither an attack nor a defect fills the
//! disk or slows the gateway.
//!
//! What was forwarded or answered is never left out: a busy gateway's access log is whole. What nobody let in is, since
//! anybody can send it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::Level;

use crate::clock::Monotonic;

/// A flow of lines that is let through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Lines a second for as long as it lasts.
    a_second: u64,
    /// Lines at once.
    burst: u64,
}

/// Of what happens beside the requests: nobody reads more of the same than this.
pub(super) const EVENTS: Rate = Rate { a_second: 10, burst: 50 };

/// Of requests that were refused, for one reason. An ordinary busy gateway refuses fewer (expired tokens, mostly); at this
/// rate an attack writes some 3 GB a day, which rotation carries.
pub(super) const REFUSED: Rate = Rate { a_second: 100, burst: 1000 };

/// Reasons are a closed set, far fewer than this; more would be a defect, and must not take the memory.
const MOST: usize = 1024;

/// Lines of each reason.
#[derive(Default)]
pub(super) struct Flood {
    reasons: Mutex<HashMap<String, Flow>>,
    /// Whether something was left out that is not summed up yet.
    is_owing: AtomicBool,
}

struct Flow {
    level: Level,
    /// Thousandths of a line that may be written now, as of `at`.
    credit: u64,
    at: Monotonic,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is written.
    Written,
    /// It is not.
    LeftOut {
        /// Nothing was owed before: from now on, a summing up is.
        first: bool,
    },
}

/// Lines that were left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) reason: String,
    pub(super) level: Level,
    pub(super) lines: u64,
}

impl Flood {
    /// Judges one line; what is left out is counted.
    pub(super) fn judge(&self, reason: &str, level: Level, rate: Rate, now: Monotonic) -> Verdict {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = if reasons.len() < MOST || reasons.contains_key(reason) { reason } else { "other" };
        let full = rate.burst * 1000;
        let flow = match reasons.get_mut(reason) {
            Some(flow) => flow,
            None => {
                let flow = Flow { level, credit: full, at: now, left_out: 0 };
                reasons.entry(reason.to_owned()).or_insert(flow)
            }
        };
        let earned = now.millis().saturating_sub(flow.at.millis()).saturating_mul(rate.a_second);
        flow.credit = flow.credit.saturating_add(earned).min(full);
        flow.at = now;
        // Of levels that share a reason, the graver one.
        flow.level = flow.level.min(level);
        if flow.credit < 1000 {
            flow.left_out += 1;
            return Verdict::LeftOut { first: !self.is_owing.swap(true, Ordering::AcqRel) };
        }
        flow.credit -= 1000;
        Verdict::Written
    }

    /// Whether there is something to sum up.
    pub(super) fn is_owing(&self) -> bool {
        self.is_owing.load(Ordering::Acquire)
    }

    /// What was left out since this was last asked.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        if !self.is_owing.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let owed = reasons.iter_mut().filter(|(_, flow)| flow.left_out > 0);
        let mut owed: Vec<LeftOut> = owed
            .map(|(reason, flow)| LeftOut {
                reason: reason.clone(),
                level: flow.level,
                lines: std::mem::take(&mut flow.left_out),
            })
            .collect();
        owed.sort_by(|one, other| one.reason.cmp(&other.reason));
        owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(flood: &Flood, reason: &str, rate: Rate, times: usize, at: u64) -> usize {
        let now = Monotonic::from_millis(at);
        (0..times).filter(|_| flood.judge(reason, Level::WARN, rate, now) == Verdict::Written).count()
    }

    #[test]
    fn a_burst_passes_then_a_rate_and_the_rest_is_summed_up() {
        let flood = Flood::default();
        assert_eq!(written(&flood, "a", EVENTS, 60, 0), 50);
        assert!(flood.is_owing());
        assert_eq!(flood.left_out(), [LeftOut { reason: "a".into(), level: Level::WARN, lines: 10 }]);
        assert!(!flood.is_owing());
        assert_eq!(flood.left_out(), []);
        // 10 a second: one for each 100 ms, whatever else was asked meanwhile.
        assert_eq!(written(&flood, "a", EVENTS, 5, 99), 0);
        assert_eq!(written(&flood, "a", EVENTS, 5, 100), 1);
        assert_eq!(written(&flood, "a", EVENTS, 100, 1100), 10);
        assert_eq!(written(&flood, "a", EVENTS, 100, 3_600_000), 50, "no more than the burst is saved up");
        assert_eq!(flood.left_out()[0].lines, 5 + 4 + 90 + 50);
    }

    #[test]
    fn one_flood_drowns_no_other_reason() {
        let flood = Flood::default();
        assert_eq!(written(&flood, "a", REFUSED, 100_000, 0), 1000);
        assert_eq!(written(&flood, "b", EVENTS, 1, 0), 1);
        assert_eq!(flood.left_out().len(), 1);
    }

    #[test]
    fn reasons_without_end_take_no_memory_without_end() {
        let flood = Flood::default();
        for each in 0..10 * MOST {
            flood.judge(&each.to_string(), Level::INFO, EVENTS, Monotonic::from_millis(0));
        }
        assert!(flood.reasons.lock().unwrap().len() <= MOST + 1);
        assert_eq!(flood.left_out()[0].reason, "other");
    }
}
