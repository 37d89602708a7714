//! How one address is: whether requests fail there, and what active checks say.
//!
//! ```text
//!           failures in a row                     the time is over: one request tries
//! in turn -------------------> put last for a while --------------------------------> tried
//!    ^                             |        ^                                         |   |
//!    |________ a success __________|        |_________ a failure: twice as long ______|   |
//!    |_____________________________________ a success ____________________________________|
//! ```
//!
//! Checks judge beside it: bad after `unhealthy_after` failures in a row, good again after `healthy_after` successes. An
//! address is in turn while neither objects.
//!
//! What is known belongs to the address and outlives a reload; what is made of it (how many failures, for how long) is the
//! configuration's in force, and so passed in. Times are passed in too.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::config::{Checks, Health as Policy};
use crate::metrics::Ejection;

/// Moves whenever an address comes, goes, is put last or comes back: an order made before is made anew.
#[derive(Debug, Default)]
pub(super) struct Changes(AtomicU64);

impl Changes {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn one_more(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// What is known of one address.
#[derive(Debug)]
pub(super) struct Health {
    changes: Arc<Changes>,
    /// Whether a success would change anything: all that an ordinary answer looks at.
    troubled: AtomicBool,
    state: Mutex<State>,
    /// How often its connections were given up.
    given_up: AtomicU64,
    /// How many seconds it keeps a connection without requests.
    keeps: AtomicU64,
}

/// It has not answered yet. Node, uvicorn and Apache close after 5 s, and not all say so.
const UNKNOWN: u64 = 5;
/// It did not say.
const UNSAID: u64 = u64::MAX;

#[derive(Debug, Default)]
struct State {
    /// Failures since the last success: connects, timeouts, answers.
    failures: [u32; 3],
    ejected: Option<Ejected>,
    /// How many trials there were: tells one that ended late from the one under way.
    trials: u64,
    checked: Checked,
}

#[derive(Debug, Clone, Copy)]
struct Ejected {
    cause: Ejection,
    until: Monotonic,
    /// For how long it was, which is doubled.
    length: Duration,
    /// The trial under way.
    trial: Option<u64>,
}

#[derive(Debug, Default)]
struct Checked {
    /// What checks made of it: bad.
    bad: bool,
    /// Good and failed ones in a row; one of the two is 0.
    good: u32,
    failed: u32,
    last: Option<Report>,
    due: Option<Monotonic>,
    under_way: bool,
}

/// What an active check found.
#[derive(Debug, Clone)]
pub struct Report {
    /// When it ended.
    pub at: Monotonic,
    /// How long it took.
    pub took: Duration,
    /// What was wrong, if anything.
    pub failure: Option<String>,
}

/// How an address stands.
#[derive(Debug, Clone)]
pub struct Mode {
    /// Put last by requests: for what, and until when (then one tries it).
    pub ejected: Option<(Ejection, Monotonic)>,
    /// Put last by checks.
    pub checked_bad: bool,
    /// The last check.
    pub last_check: Option<Report>,
}

impl Mode {
    /// Whether it is given requests first.
    pub const fn is_in_turn(&self) -> bool {
        self.ejected.is_none() && !self.checked_bad
    }
}

/// What an event did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// Requests put it last, for so long.
    PutLast(Duration),
    /// It no longer is, for this reason.
    Back,
}

impl Health {
    pub(super) fn new(changes: &Arc<Changes>) -> Arc<Self> {
        Arc::new(Self {
            changes: Arc::clone(changes),
            troubled: AtomicBool::new(false),
            state: Mutex::default(),
            given_up: AtomicU64::new(0),
            keeps: AtomicU64::new(UNKNOWN),
        })
    }

    /// Tells connections apart by when they were made; spread, since it is mixed into other keys.
    pub(super) fn connections(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn give_up_connections(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn keeps_connections(&self, said: Option<Duration>) {
        let said = said.map_or(UNSAID, |said| said.as_secs());
        if self.keeps.load(Ordering::Relaxed) != said {
            self.keeps.store(said, Ordering::Relaxed);
        }
    }

    /// A second less than it keeps them, for what is on its way then.
    pub(super) fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.keeps.load(Ordering::Relaxed).saturating_sub(1))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands under this configuration: what checks said counts only while there are checks.
    pub(super) fn standing(&self, policy: &Policy) -> Mode {
        let state = self.state();
        Mode {
            ejected: state.ejected.map(|ejected| (ejected.cause, ejected.until)),
            checked_bad: state.checked.bad && policy.checks.is_some(),
            last_check: state.checked.last.clone().filter(|_| policy.checks.is_some()),
        }
    }

    /// A request was answered as it should be. Costs one load while all is well.
    pub(super) fn succeeded(&self) -> Change {
        if !self.troubled.load(Ordering::Acquire) {
            return Change::None;
        }
        let mut state = self.state();
        self.troubled.store(false, Ordering::Release);
        state.failures = [0; 3];
        match state.ejected.take() {
            Some(_) => {
                self.changes.one_more();
                Change::Back
            }
            None => Change::None,
        }
    }

    /// A request failed there. While it is put last only what fails after the time is over counts: it goes on failing.
    pub(super) fn failed(&self, cause: Ejection, policy: &Policy, now: Monotonic) -> Change {
        let after = policy.eject_after;
        let (place, limit) = match cause {
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
        state.failures[place] = state.failures[place].saturating_add(1);
        let length = match state.ejected {
            Some(ejected) if now < ejected.until => return Change::None,
            Some(ejected) => (ejected.length * 2).min(policy.max_ejection_time),
            None if state.failures[place] >= limit => policy.base_ejection_time,
            None => return Change::None,
        };
        state.ejected = Some(Ejected { cause, until: now + length, length, trial: None });
        // What checks say from now on is news.
        state.checked.good = 0;
        self.changes.one_more();
        Change::PutLast(length)
    }

    /// Lets one request try it, when its time is over and no other does.
    pub(super) fn try_out(self: &Arc<Self>, policy: &Policy, now: Monotonic) -> Option<Trial> {
        let mut state = self.state();
        if state.checked.bad && policy.checks.is_some() {
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

    /// Begins a check if one is due; else says how long to wait. The first comes after a `part` of the interval between 0
    /// and 1, and each next one up to a tenth of it sooner or later, so that many do not come together.
    pub(super) fn begin_check(
        self: &Arc<Self>,
        checks: &Checks,
        now: Monotonic,
        part: f64,
    ) -> Result<UnderWay, Duration> {
        let next = |from: f64, spread: f64| now + checks.interval.mul_f64(from + spread * part);
        let mut state = self.state();
        if state.checked.under_way {
            return Err(checks.interval);
        }
        // An interval that a reload has shortened holds from now on.
        let due = state.checked.due.map_or(next(0.0, 1.0), |due| due.min(next(1.1, 0.0)));
        if due > now {
            state.checked.due = Some(due);
            return Err(due.since(now));
        }
        state.checked.due = Some(next(0.9, 0.2));
        state.checked.under_way = true;
        Ok(UnderWay(Arc::clone(self)))
    }

    /// Takes a check's word. Good ones also end the time of failed connects: a request may try it.
    pub(super) fn checked(&self, report: Report, checks: &Checks) -> Change {
        let mut guard = self.state();
        let state = &mut *guard;
        let checked = &mut state.checked;
        let (at, failed) = (report.at, report.failure.is_some());
        checked.last = Some(report);
        if failed {
            (checked.good, checked.failed) = (0, checked.failed.saturating_add(1));
            if checked.bad || checked.failed < checks.unhealthy_after {
                return Change::None;
            }
            checked.bad = true;
            self.changes.one_more();
            return Change::PutLast(Duration::ZERO);
        }
        (checked.good, checked.failed) = (checked.good.saturating_add(1), 0);
        if checked.good < checks.healthy_after {
            return Change::None;
        }
        if let Some(ejected) = state.ejected.as_mut().filter(|e| e.cause == Ejection::Connect) {
            ejected.until = ejected.until.min(at);
        }
        if !std::mem::take(&mut checked.bad) {
            return Change::None;
        }
        self.changes.one_more();
        Change::Back
    }
}

/// The one request that tries an address. However it ends, the next may.
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

/// A check under way; the next may begin when it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Health>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().checked.under_way = false;
    }
}
