//! Log flood control: lines of one reason beyond a rate are suppressed and summarized, so that neither an attack nor a
//! defect fills the disk or slows the gateway.
//!
//! Requests that were forwarded or answered are never suppressed: the access log of a busy gateway is complete. Refused
//! requests are, since anybody can send them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::Level;

use crate::clock::Monotonic;

/// Rate limit of log lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Lines per second, sustained.
    per_second: u64,
    /// Burst size in lines.
    burst: u64,
}

/// Rate limit of events that are not requests: nobody reads more of the same than this.
pub(super) const EVENTS: Rate = Rate { per_second: 10, burst: 50 };

/// Rate limit of refused requests, per reason. A normal busy gateway refuses fewer (mostly expired tokens). At this
/// rate an attack writes some 3 GB a day, which log rotation can handle.
pub(super) const REFUSED: Rate = Rate { per_second: 100, burst: 1000 };

/// Maximum number of reasons. They are a closed set, far smaller than this; more would be a defect, and must not use up
/// memory.
const MAX_REASONS: usize = 1024;

/// Rate state of each reason.
#[derive(Default)]
pub(super) struct Flood {
    reasons: Mutex<HashMap<String, Flow>>,
    /// True if lines were suppressed that are not summarized yet.
    has_suppressed: AtomicBool,
}

struct Flow {
    level: Level,
    /// Thousandths of a line that may be written, as of `at`.
    credit: u64,
    at: Monotonic,
    suppressed: u64,
}

/// Decision about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The line is written.
    Written,
    /// The line is suppressed.
    Suppressed {
        /// True if this is the first suppressed line since the last summary.
        first: bool,
    },
}

/// Number of suppressed lines of a reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Suppressed {
    pub(super) reason: String,
    pub(super) level: Level,
    pub(super) lines: u64,
}

impl Flood {
    /// Decides about one line; suppressed lines are counted.
    pub(super) fn check(&self, reason: &str, level: Level, rate: Rate, now: Monotonic) -> Decision {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let reason =
            if reasons.len() < MAX_REASONS || reasons.contains_key(reason) { reason } else { "other" };
        let full = rate.burst * 1000;
        let flow = match reasons.get_mut(reason) {
            Some(flow) => flow,
            None => {
                let flow = Flow { level, credit: full, at: now, suppressed: 0 };
                reasons.entry(reason.to_owned()).or_insert(flow)
            }
        };
        let earned = now.millis().saturating_sub(flow.at.millis()).saturating_mul(rate.per_second);
        flow.credit = flow.credit.saturating_add(earned).min(full);
        flow.at = now;
        // If levels share a reason, the more severe one counts.
        flow.level = flow.level.min(level);
        if flow.credit < 1000 {
            flow.suppressed += 1;
            return Decision::Suppressed { first: !self.has_suppressed.swap(true, Ordering::AcqRel) };
        }
        flow.credit -= 1000;
        Decision::Written
    }

    /// Returns whether there are suppressed lines to summarize.
    pub(super) fn has_suppressed(&self) -> bool {
        self.has_suppressed.load(Ordering::Acquire)
    }

    /// Returns the lines suppressed since the last call.
    pub(super) fn suppressed(&self) -> Vec<Suppressed> {
        if !self.has_suppressed.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = reasons.iter_mut().filter(|(_, flow)| flow.suppressed > 0);
        let mut pending: Vec<Suppressed> = pending
            .map(|(reason, flow)| Suppressed {
                reason: reason.clone(),
                level: flow.level,
                lines: std::mem::take(&mut flow.suppressed),
            })
            .collect();
        pending.sort_by(|one, other| one.reason.cmp(&other.reason));
        pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(flood: &Flood, reason: &str, rate: Rate, times: usize, at: u64) -> usize {
        let now = Monotonic::from_millis(at);
        (0..times).filter(|_| flood.check(reason, Level::WARN, rate, now) == Decision::Written).count()
    }

    #[test]
    fn burst_passes_then_a_rate_and_the_rest_is_summarized() {
        let flood = Flood::default();
        assert_eq!(written(&flood, "a", EVENTS, 60, 0), 50);
        assert!(flood.has_suppressed());
        assert_eq!(flood.suppressed(), [Suppressed { reason: "a".into(), level: Level::WARN, lines: 10 }]);
        assert!(!flood.has_suppressed());
        assert_eq!(flood.suppressed(), []);
        // 10 per second: one per 100 ms, regardless of other calls.
        assert_eq!(written(&flood, "a", EVENTS, 5, 99), 0);
        assert_eq!(written(&flood, "a", EVENTS, 5, 100), 1);
        assert_eq!(written(&flood, "a", EVENTS, 100, 1100), 10);
        assert_eq!(written(&flood, "a", EVENTS, 100, 3_600_000), 50, "no more than the burst is saved up");
        assert_eq!(flood.suppressed()[0].lines, 5 + 4 + 90 + 50);
    }

    #[test]
    fn flood_of_one_reason_does_not_affect_others() {
        let flood = Flood::default();
        assert_eq!(written(&flood, "a", REFUSED, 100_000, 0), 1000);
        assert_eq!(written(&flood, "b", EVENTS, 1, 0), 1);
        assert_eq!(flood.suppressed().len(), 1);
    }

    #[test]
    fn unbounded_reasons_use_bounded_memory() {
        let flood = Flood::default();
        for each in 0..10 * MAX_REASONS {
            flood.check(&each.to_string(), Level::INFO, EVENTS, Monotonic::from_millis(0));
        }
        assert!(flood.reasons.lock().unwrap().len() <= MAX_REASONS + 1);
        assert_eq!(flood.suppressed()[0].reason, "other");
    }
}
