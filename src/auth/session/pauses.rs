//! Pauses of this process: SIGSTOP, a suspended machine, a starved container.
//!
//! After a pause the lease has usually run out although the vault can be reached. "Not proven lately" does not mean
//! "the vault is away" then, so the session store must not confirm anything yet: a revocation made during the pause may
//! have left no tombstone, as when the command line made it while every gateway was stopped. The pause counts as over
//! when the vault has had its chance to answer:
//!
//! ```text
//!           gaps of more than half a lease            a read of the log that began since has returned,
//!  awake ----------------------------------> waking   or the second has failed,                         ----> awake
//!                                                     or [`SETTLING`] has passed without either
//! ```
//!
//! Gaps add up until a read of the log that began after them has returned: two short stops with hardly any time between
//! them are as good as a long one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::auth::Auth;
use crate::clock::Monotonic;

/// Maximum time without news from the vault after which a pause counts as over, or the lease if that is shorter. A
/// request waits for it at most once. Longer would answer later than clients should wait for a 503.
const SETTLING: Duration = Duration::from_secs(1);

/// Number of observations in [`SETTLING`]. They are counted instead of timed, so that another pause does not pass for
/// time in which the vault was silent.
const OBSERVATIONS: u32 = 8;

/// Failed reads of the log after which the vault counts as away. Connections that ended during the pause make the first
/// one fail although the vault can be reached.
const FAILURES: u32 = 2;

/// Pauses noticed so far, and how many of them are over.
pub(crate) struct Pauses {
    /// Sum of gaps that is a pause.
    limit: Duration,
    /// Gaps up to this one are no stops: twice the interval of observations.
    usual: Duration,
    settling: Duration,
    /// Milliseconds plus one of the last observation; 0 = none yet.
    observed: AtomicU64,
    /// Sum of all gaps, in milliseconds, and the part of it that was noticed or came before the last proof.
    stopped: AtomicU64,
    accounted: AtomicU64,
    noticed: AtomicU64,
    over: watch::Sender<u64>,
}

/// State at the beginning of a read of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    noticed: u64,
    stopped: u64,
}

impl Pauses {
    /// `lease` is renewed every quarter of its length, so a process that stood still for at most half of it still holds
    /// it when it goes on.
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            limit: lease / 2,
            usual: SETTLING.min(lease) / OBSERVATIONS * 2,
            settling: SETTLING.min(lease),
            observed: AtomicU64::new(0),
            stopped: AtomicU64::new(0),
            accounted: AtomicU64::new(0),
            noticed: AtomicU64::new(0),
            over: watch::Sender::new(0),
        }
    }

    /// Records that this process runs at `now`. Returns the number of pauses noticed so far.
    pub(crate) fn observe(&self, now: Monotonic) -> u64 {
        let now = now.millis() + 1;
        let before = self.observed.load(Ordering::SeqCst);
        let gap = now.saturating_sub(before);
        // Counted before the observation is stored: whoever sees that observation also sees the pause. Two threads may
        // count the same gap; one pause too many does no harm.
        if before != 0 && Duration::from_millis(gap) > self.usual {
            let stopped = self.stopped.fetch_add(gap, Ordering::SeqCst) + gap;
            let since_proof = stopped.saturating_sub(self.accounted.load(Ordering::SeqCst));
            if Duration::from_millis(since_proof) > self.limit {
                self.noticed.fetch_add(1, Ordering::SeqCst);
                self.accounted.fetch_max(stopped, Ordering::SeqCst);
            }
        }
        self.observed.fetch_max(now, Ordering::SeqCst);
        self.noticed.load(Ordering::SeqCst)
    }

    /// Returns the number of pauses noticed so far, without looking for another: a load, for the path of every request.
    pub(crate) fn noticed(&self) -> u64 {
        self.noticed.load(Ordering::SeqCst)
    }

    /// Records that a read of the log begins at `now`.
    pub(crate) fn begin_read(&self, now: Monotonic) -> Begun {
        let noticed = self.observe(now);
        Begun { noticed, stopped: self.stopped.load(Ordering::SeqCst) }
    }

    /// Returns whether the vault has not yet had its chance to answer since the last pause.
    pub(crate) fn is_waking(&self, now: Monotonic) -> bool {
        self.observe(now) > *self.over.borrow()
    }

    /// Records that the first `count` pauses are over.
    pub(crate) fn settle(&self, count: u64) {
        self.over.send_if_modified(|over| {
            let is_news = count > *over;
            *over = count.max(*over);
            is_news
        });
    }

    /// Waits until every pause noticed by `now` is over, but not for long: a starved process is paused again and again,
    /// and then nobody is told that it is awake. Afterwards [`Self::is_waking`] says so, and the caller refuses.
    pub(crate) async fn until_awake(&self, now: Monotonic) {
        let noticed = self.observe(now);
        let mut over = self.over.subscribe();
        // Twice the time in which a single pause is over. The sender lives as long as `self`.
        let _ = tokio::time::timeout(self.settling * 2, over.wait_for(|over| *over >= noticed)).await;
    }
}

/// Failures of the feed since the last pause.
#[derive(Default)]
pub(crate) struct Failures {
    pauses: u64,
    count: u32,
}

impl Failures {
    /// Records the end of a read.
    pub(crate) fn record(&mut self, pauses: &Pauses, begun: Begun, succeeded: bool) {
        if succeeded {
            // Stops before this read do not matter any more.
            pauses.accounted.fetch_max(begun.stopped, Ordering::SeqCst);
            pauses.settle(begun.noticed);
            return;
        }
        if self.pauses != begun.noticed {
            *self = Self { pauses: begun.noticed, count: 0 };
        }
        self.count += 1;
        if self.count >= FAILURES {
            pauses.settle(begun.noticed);
        }
    }
}

/// Notices pauses, and ends those after which the vault stays silent; never returns.
pub async fn watch_pauses(auth: Arc<Auth>) {
    let pauses = &auth.pauses;
    let (mut latest, mut observations) = (0, 0);
    loop {
        let noticed = pauses.observe(auth.parts.clock.monotonic());
        if noticed != latest {
            (latest, observations) = (noticed, 0);
        } else if observations < OBSERVATIONS {
            observations += 1;
            if observations == OBSERVATIONS {
                pauses.settle(noticed);
            }
        }
        tokio::time::sleep(pauses.settling / OBSERVATIONS).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    #[test]
    fn stop_of_more_than_half_a_lease_is_a_pause() {
        let pauses = Pauses::new(LEASE);
        assert!(!pauses.is_waking(at(9000)), "the first observation follows nothing");
        assert!(!pauses.is_waking(at(9500)));
        assert!(!pauses.is_waking(at(9100)), "clocks of two threads differ");
        assert!(pauses.is_waking(at(10_001)));
        assert!(pauses.is_waking(at(10_002)), "until it is settled");
        pauses.settle(pauses.observe(at(10_003)));
        assert!(!pauses.is_waking(at(10_004)));
    }

    #[test]
    fn short_stops_add_up_until_the_log_is_read() {
        let (pauses, mut failures) = (Pauses::new(LEASE), Failures::default());
        assert!(!pauses.is_waking(at(0)));
        assert!(!pauses.is_waking(at(400)));
        assert!(pauses.is_waking(at(800)), "two stops of 400 ms");
        failures.record(&pauses, pauses.begin_read(at(801)), true);
        assert!(!pauses.is_waking(at(1200)));
        let begun = pauses.begin_read(at(1201));
        failures.record(&pauses, begun, true);
        assert!(!pauses.is_waking(at(1600)), "the first stop was before the read");
        assert!(pauses.is_waking(at(2000)));
    }

    #[test]
    fn late_observations_are_no_pause_however_many() {
        let pauses = Pauses::new(LEASE);
        for tick in 0..1000 {
            assert!(!pauses.is_waking(at(tick * 240)));
        }
    }

    #[test]
    fn read_from_before_a_pause_does_not_end_it() {
        let (pauses, mut failures) = (Pauses::new(LEASE), Failures::default());
        let begun = pauses.begin_read(at(0));
        assert!(pauses.is_waking(at(5000)));
        failures.record(&pauses, begun, true);
        assert!(pauses.is_waking(at(5001)), "it may have been answered before a revocation");
        let begun = pauses.begin_read(at(5002));
        failures.record(&pauses, begun, true);
        assert!(!pauses.is_waking(at(5003)));
    }

    #[test]
    fn two_failed_reads_end_a_pause() {
        let (pauses, mut failures) = (Pauses::new(LEASE), Failures::default());
        pauses.observe(at(0));
        let begun = pauses.begin_read(at(5000));
        failures.record(&pauses, begun, false);
        let begun = pauses.begin_read(at(9000));
        failures.record(&pauses, begun, false);
        assert!(pauses.is_waking(at(9001)), "one of them began before the second pause");
        failures.record(&pauses, begun, false);
        assert!(!pauses.is_waking(at(9002)));
    }

    #[tokio::test]
    async fn wait_ends_although_the_process_is_paused_again_and_again() {
        let pauses = Pauses::new(Duration::from_millis(80));
        pauses.observe(at(0));
        let waiting = tokio::time::timeout(Duration::from_secs(30), pauses.until_awake(at(5000)));
        waiting.await.expect("it ends");
        assert!(pauses.is_waking(at(5001)), "and the session store is not believed");
    }

    #[tokio::test]
    async fn requests_wait_until_the_pause_is_over() {
        let pauses = Arc::new(Pauses::new(LEASE));
        pauses.until_awake(at(0)).await;
        let waiting = tokio::spawn({
            let pauses = Arc::clone(&pauses);
            async move { pauses.until_awake(at(5000)).await }
        });
        while pauses.noticed.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        pauses.settle(1);
        waiting.await.expect("it ends");
    }
}
