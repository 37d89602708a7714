//! Health of one address: outlier detection from requests (passive) and health checks (active).
//!
//! ```text
//!           failures in a row                ejection time over: one trial request
//! healthy -------------------> ejected ---------------------------------> trial
//!    ^                             |   ^                                  |   |
//!    |________ a success __________|   |__ a failure: ejected for twice __|   |
//!    |                                     as long                            |
//!    |_______________________________ a success ______________________________|
//! ```
//!
//! Active checks count separately: unhealthy after `unhealthy_after` failures in a row, healthy again after
//! `healthy_after` successes. An address is healthy while neither source objects.
//!
//! The state belongs to the address and outlives a reload. The thresholds and times come from the configuration in
//! force and are passed in, as is the current time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::config::{Checks, Health as Policy};
use crate::metrics::Ejection;

/// Counter of changes to the set of addresses and their health. An order built under an older value is rebuilt.
#[derive(Debug, Default)]
pub(super) struct Changes(AtomicU64);

impl Changes {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Health of one address.
#[derive(Debug)]
pub(super) struct Health {
    changes: Arc<Changes>,
    /// Whether a success would change the state: the only field that an ordinary response reads.
    troubled: AtomicBool,
    state: Mutex<State>,
    /// Number of times its HTTP/2 connections were abandoned.
    abandoned: AtomicU64,
    /// Keep-alive timeout of the app, in seconds.
    keep_alive: AtomicU64,
}

/// Keep-alive timeout before the first response. Node, uvicorn and Apache close after 5 s, and not all announce it.
const DEFAULT_KEEP_ALIVE: u64 = 5;
/// No response yet: [`DEFAULT_KEEP_ALIVE`] is assumed.
const UNKNOWN_KEEP_ALIVE: u64 = u64::MAX - 1;
/// The app announces no keep-alive timeout.
const NO_KEEP_ALIVE: u64 = u64::MAX;

#[derive(Debug, Default)]
struct State {
    /// Failures since the last success: connects, timeouts, responses.
    failures: [u32; 3],
    ejected: Option<Ejected>,
    /// Number of trials so far; distinguishes a trial that ended late from the one in progress.
    trials: u64,
    checked: Checked,
}

#[derive(Debug, Clone, Copy)]
struct Ejected {
    cause: Ejection,
    until: Monotonic,
    /// Length of the current ejection; doubled at the next one.
    length: Duration,
    /// The trial in progress.
    trial: Option<u64>,
}

#[derive(Debug, Default)]
struct Checked {
    /// Whether active checks report the address as unhealthy.
    is_failed: bool,
    /// Successes and failures in a row; one of the two is 0.
    good: u32,
    failed: u32,
    last: Option<Report>,
    due: Option<Monotonic>,
    in_progress: bool,
}

/// Result of an active health check.
#[derive(Debug, Clone)]
pub struct Report {
    /// Time at which it ended.
    pub at: Monotonic,
    /// Duration of the check.
    pub took: Duration,
    /// Description of the failure, if any.
    pub failure: Option<String>,
}

/// Health of an address under the configuration in force.
#[derive(Debug, Clone)]
pub struct HealthStatus {
    /// Ejection by failed requests: its cause, and the time from which one request tries the address.
    pub ejected: Option<(Ejection, Monotonic)>,
    /// Whether active checks report the address as unhealthy.
    pub is_check_failed: bool,
    /// Result of the last check.
    pub last_check: Option<Report>,
}

impl HealthStatus {
    /// Returns whether the address receives requests first.
    pub const fn is_healthy(&self) -> bool {
        self.ejected.is_none() && !self.is_check_failed
    }
}

/// Change of state by an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// Ejected for this time; zero if by active checks.
    Ejected(Duration),
    /// Restored by this event.
    Restored,
}

impl Health {
    pub(super) fn new(changes: &Arc<Changes>) -> Arc<Self> {
        Arc::new(Self {
            changes: Arc::clone(changes),
            troubled: AtomicBool::new(false),
            state: Mutex::default(),
            abandoned: AtomicU64::new(0),
            keep_alive: AtomicU64::new(UNKNOWN_KEEP_ALIVE),
        })
    }

    /// Returns a key for connections made since the last abandonment. It is spread, since it is mixed into other keys.
    pub(super) fn connections(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn abandon_connections(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_keep_alive(&self, announced: Option<Duration>) {
        let announced = announced.map_or(NO_KEEP_ALIVE, |announced| announced.as_secs());
        if self.keep_alive.load(Ordering::Relaxed) != announced {
            self.keep_alive.store(announced, Ordering::Relaxed);
        }
    }

    /// Returns one second less than the app's keep-alive timeout, to allow for requests on the way.
    pub(super) fn idle_timeout(&self) -> Duration {
        let announced = match self.keep_alive.load(Ordering::Relaxed) {
            UNKNOWN_KEEP_ALIVE => DEFAULT_KEEP_ALIVE,
            announced => announced,
        };
        Duration::from_secs(announced.saturating_sub(1))
    }

    /// Returns a key for connections kept under the app's current keep-alive timeout, spread like the one above. Connections from
    /// before the first response are kept for the shortest time, so an app without a keep-alive timeout may use them.
    pub(super) fn kept_connections(&self) -> u64 {
        match self.keep_alive.load(Ordering::Relaxed) {
            UNKNOWN_KEEP_ALIVE | NO_KEEP_ALIVE => 0,
            announced => announced.wrapping_add(1).wrapping_mul(0xd1b5_4a32_d192_ed03),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the health under this configuration. Results of active checks count only while checks are configured.
    pub(super) fn status(&self, policy: &Policy) -> HealthStatus {
        let state = self.state();
        HealthStatus {
            ejected: state.ejected.map(|ejected| (ejected.cause, ejected.until)),
            is_check_failed: state.checked.is_failed && policy.checks.is_some(),
            last_check: state.checked.last.clone().filter(|_| policy.checks.is_some()),
        }
    }

    /// Records a successful request. Costs one load while the address is healthy.
    pub(super) fn succeeded(&self) -> Change {
        if !self.troubled.load(Ordering::Acquire) {
            return Change::None;
        }
        let mut state = self.state();
        self.troubled.store(false, Ordering::Release);
        state.failures = [0; 3];
        match state.ejected.take() {
            Some(_) => {
                self.changes.increment();
                Change::Restored
            }
            None => Change::None,
        }
    }

    /// Records a failed request. While the address is ejected, only a failure after the ejection time counts and ejects
    /// it again.
    pub(super) fn failed(&self, cause: Ejection, policy: &Policy, now: Monotonic) -> Change {
        let after = policy.eject_after;
        let (kind, limit) = match cause {
            Ejection::Connect => (0, after.connects),
            Ejection::Timeout => (1, after.timeouts),
            Ejection::Status => (2, after.responses),
            Ejection::Check => return Change::None,
        };
        if limit == 0 {
            return Change::None;
        }
        let mut state = self.state();
        self.troubled.store(true, Ordering::Release);
        state.failures[kind] = state.failures[kind].saturating_add(1);
        let length = match state.ejected {
            Some(ejected) if now < ejected.until => return Change::None,
            Some(ejected) => (ejected.length * 2).min(policy.max_ejection_time),
            None if state.failures[kind] >= limit => policy.base_ejection_time,
            None => return Change::None,
        };
        state.ejected = Some(Ejected { cause, until: now + length, length, trial: None });
        // Only checks from now on count.
        state.checked.good = 0;
        self.changes.increment();
        Change::Ejected(length)
    }

    /// Starts a trial when the ejection time is over and no other trial is in progress.
    pub(super) fn start_trial(self: &Arc<Self>, policy: &Policy, now: Monotonic) -> Option<Trial> {
        let mut state = self.state();
        if state.checked.is_failed && policy.checks.is_some() {
            return None;
        }
        let number = state.trials + 1;
        let ejected = state.ejected.as_mut()?;
        if now < ejected.until || ejected.trial.is_some() {
            return None;
        }
        ejected.trial = Some(number);
        state.trials = number;
        Some(Trial { health: Arc::clone(self), number })
    }

    /// Starts a check if one is due; otherwise returns the time to wait. `part`, between 0 and 1, spreads checks: the
    /// first comes after that part of the interval, and each next one up to a tenth of the interval sooner or later.
    pub(super) fn start_check(
        self: &Arc<Self>,
        checks: &Checks,
        now: Monotonic,
        part: f64,
    ) -> Result<CheckGuard, Duration> {
        let next = |from: f64, spread: f64| now + checks.interval.mul_f64(from + spread * part);
        let mut state = self.state();
        if state.checked.in_progress {
            return Err(checks.interval);
        }
        // A shorter interval after a reload applies at once.
        let due = state.checked.due.map_or(next(0.0, 1.0), |due| due.min(next(1.1, 0.0)));
        if due > now {
            state.checked.due = Some(due);
            return Err(due.since(now));
        }
        state.checked.due = Some(next(0.9, 0.2));
        state.checked.in_progress = true;
        Ok(CheckGuard(Arc::clone(self)))
    }

    /// Records the result of a check. Enough successes also end an ejection for failed connects, so that one request
    /// tries the address.
    pub(super) fn checked(&self, report: Report, checks: &Checks) -> Change {
        let mut guard = self.state();
        let state = &mut *guard;
        let checked = &mut state.checked;
        let (at, failed) = (report.at, report.failure.is_some());
        checked.last = Some(report);
        if failed {
            (checked.good, checked.failed) = (0, checked.failed.saturating_add(1));
            if checked.is_failed || checked.failed < checks.unhealthy_after {
                return Change::None;
            }
            checked.is_failed = true;
            self.changes.increment();
            return Change::Ejected(Duration::ZERO);
        }
        (checked.good, checked.failed) = (checked.good.saturating_add(1), 0);
        if checked.good < checks.healthy_after {
            return Change::None;
        }
        if let Some(ejected) = state.ejected.as_mut().filter(|e| e.cause == Ejection::Connect) {
            ejected.until = ejected.until.min(at);
        }
        if !std::mem::take(&mut checked.is_failed) {
            return Change::None;
        }
        self.changes.increment();
        Change::Restored
    }
}

/// Trial request to an ejected address. When it ends in any way, the next may start.
#[derive(Debug)]
pub(super) struct Trial {
    health: Arc<Health>,
    number: u64,
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(ejected) = &mut self.health.state().ejected
            && ejected.trial == Some(self.number)
        {
            ejected.trial = None;
        }
    }
}

/// Guard of a check in progress; the next may start when it is dropped.
#[derive(Debug)]
pub(super) struct CheckGuard(Arc<Health>);

impl Drop for CheckGuard {
    fn drop(&mut self) {
        self.0.state().checked.in_progress = false;
    }
}
