//! The connection that requests use now, if there is one, and the breaker that takes it away from them.
//!
//! A request never waits for a connection: without one its command fails at once.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::fault::Fault;
use super::link::Link;
use crate::metrics::{Metrics, SessionStore};

/// Where requests find the connection.
pub(super) struct Current {
    live: ArcSwapOption<Live>,
    metrics: Arc<Metrics>,
}

/// A connection in use.
pub(super) struct Live {
    /// The connection.
    pub(super) link: Link,
    breaker: Breaker,
    ended: OnceLock<Fault>,
    told: Notify,
    /// It was said that writes are refused.
    refuses: AtomicBool,
}

impl Current {
    /// None yet.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { live: ArcSwapOption::empty(), metrics }
    }

    /// What is counted of it.
    pub(super) fn metrics(&self) -> &SessionStore {
        &self.metrics.session_store
    }

    /// From now on requests use this one.
    pub(super) fn publish(&self, link: Link) -> Arc<Live> {
        let (breaker, ended, told) = (Breaker::default(), OnceLock::new(), Notify::new());
        let live = Arc::new(Live { link, breaker, ended, told, refuses: AtomicBool::new(false) });
        self.live.store(Some(Arc::clone(&live)));
        self.metrics().up.set(1);
        live
    }

    /// From now on requests use none.
    pub(super) fn withdraw(&self) {
        self.live.store(None);
        self.metrics().up.set(0);
    }

    /// The connection to use now.
    pub(super) fn live(&self) -> Result<Arc<Live>, Fault> {
        self.live.load_full().ok_or(Fault::Away)
    }

    /// As [`Self::judge`], for a command that writes: a Redis that refuses it is of little use, which is said once for
    /// each connection.
    pub(super) fn judge_write<T>(&self, live: &Arc<Live>, outcome: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(cause @ (Fault::Full | Fault::Refused(_))) = &outcome
            && !live.refuses.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                reason = "session_store_refuses_writes",
                %cause,
                "Redis takes no sessions and no tombstones: every session is asked of the vault, and nobody vouches while \
                 that is lost; raise maxmemory, or grant the user of sessions.url +get +set +pexpire +del +ping +info \
                 +role +config|get on the keys of sessions.key_prefix"
            );
        }
        self.judge(live, outcome)
    }

    /// Draws the conclusions from one command's outcome; what it cannot be used for any more is taken away at once.
    pub(super) fn judge<T>(&self, live: &Arc<Live>, outcome: Result<T, Fault>) -> Result<T, Fault> {
        let is_one_of_many = matches!(live.link, Link::Cluster(_));
        match &outcome {
            Ok(_) => live.breaker.answered(),
            Err(fault) => {
                if live.breaker.trips(fault, is_one_of_many) && live.ended.set(fault.clone()).is_ok() {
                    // Unless the supervisor was first, with a new one.
                    self.live.rcu(|now| now.clone().filter(|now| !Arc::ptr_eq(now, live)));
                    self.metrics().up.set(i64::from(self.live.load().is_some()));
                    live.told.notify_one();
                }
            }
        }
        outcome
    }
}

impl Live {
    /// Waits until a command has ended it, and says how.
    pub(super) async fn ended(&self) -> Fault {
        loop {
            if let Some(fault) = self.ended.get() {
                return fault.clone();
            }
            self.told.notified().await;
        }
    }
}

/// One lost answer is an accident; at three in a row every further request would only wait in vain. It also bounds
/// what piles up on a stalled connection: what arrives during one answer's time.
const UNANSWERED: u32 = 3;

/// Counts commands in a row that brought no answer.
#[derive(Default)]
struct Breaker(AtomicU32);

impl Breaker {
    fn answered(&self) {
        // Looked at first: a store on every answer would bounce the line between cores.
        if self.0.load(Ordering::Relaxed) > 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the connection can no longer be used after this fault.
    fn trips(&self, fault: &Fault, is_one_of_many: bool) -> bool {
        match fault {
            // Of a Cluster it is one node's connection, which may be replaced.
            Fault::Ended(_) if !is_one_of_many => true,
            Fault::Ended(_) | Fault::Unanswered(_) => {
                self.0.fetch_add(1, Ordering::Relaxed) + 1 >= UNANSWERED
            }
            Fault::ReadOnly | Fault::Credentials => true,
            // Whatever the answer was, there was one.
            Fault::Away | Fault::Full | Fault::Refused(_) => {
                self.answered();
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence() -> Fault {
        Fault::Unanswered(String::new())
    }

    fn end() -> Fault {
        Fault::Ended(String::new())
    }

    #[test]
    fn three_in_a_row_without_an_answer_trip() {
        let breaker = Breaker::default();
        assert_eq!(
            [silence(), silence(), silence()].map(|fault| breaker.trips(&fault, false)),
            [false, false, true]
        );
        let breaker = Breaker::default();
        assert_eq!([end(), silence(), end()].map(|fault| breaker.trips(&fault, true)), [false, false, true]);
    }

    #[test]
    fn any_answer_begins_the_count_anew() {
        let breaker = Breaker::default();
        for _ in 0..5 {
            assert!(!breaker.trips(&silence(), true));
            assert!(!breaker.trips(&end(), true));
            breaker.answered();
            assert!(!breaker.trips(&silence(), false));
            assert!(!breaker.trips(&silence(), false));
            assert!(!breaker.trips(&Fault::Refused(String::new()), false));
            assert!(!breaker.trips(&Fault::Full, false));
        }
    }

    #[test]
    fn a_connection_that_is_of_no_use_trips_at_once() {
        assert!(Breaker::default().trips(&end(), false));
        for is_one_of_many in [false, true] {
            assert!(Breaker::default().trips(&Fault::ReadOnly, is_one_of_many));
            assert!(Breaker::default().trips(&Fault::Credentials, is_one_of_many));
        }
    }
}
