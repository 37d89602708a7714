//! The connection that requests use, if there is one, and the breaker that withdraws it.
//!
//! A request never waits for a connection: without one its command fails at once.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::fault::Fault;
use super::link::Link;
use crate::metrics::{Metrics, SessionStore};

/// Holder of the current connection.
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
    ended_signal: Notify,
    /// A warning about refused writes was logged.
    write_refusal_logged: AtomicBool,
    /// A warning about refused scripts was logged.
    script_refusal_logged: AtomicBool,
}

impl Current {
    /// Starts without a connection.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { live: ArcSwapOption::empty(), metrics }
    }

    /// Returns the metrics of the session store.
    pub(super) fn metrics(&self) -> &SessionStore {
        &self.metrics.session_store
    }

    /// Publishes a connection for requests.
    pub(super) fn publish(&self, link: Link) -> Arc<Live> {
        let (breaker, ended, ended_signal) = (Breaker::default(), OnceLock::new(), Notify::new());
        let live = Arc::new(Live {
            link,
            breaker,
            ended,
            ended_signal,
            write_refusal_logged: AtomicBool::new(false),
            script_refusal_logged: AtomicBool::new(false),
        });
        self.live.store(Some(Arc::clone(&live)));
        self.metrics().up.set(1);
        live
    }

    /// Withdraws the connection.
    pub(super) fn withdraw(&self) {
        self.live.store(None);
        self.metrics().up.set(0);
    }

    /// Returns the current connection.
    pub(super) fn live(&self) -> Result<Arc<Live>, Fault> {
        self.live.load_full().ok_or(Fault::Away)
    }

    /// As [`Self::record_outcome`], for a command that writes. Refused writes are logged once per connection.
    pub(super) fn record_write<T>(&self, live: &Arc<Live>, outcome: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(cause @ (Fault::Full | Fault::Refused(_))) = &outcome
            && !live.write_refusal_logged.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                reason = "session_store_refuses_writes",
                %cause,
                "Redis accepts no sessions and no tombstones: every session is looked up in the vault, and none can be confirmed while \
                 that is lost; raise maxmemory, or grant the user of sessions.url +get +set +pexpire +del +eval +pttl +ping \
                 +info +role +config|get on the keys of sessions.key_prefix"
            );
        }
        self.record_outcome(live, outcome)
    }

    /// As [`Self::record_outcome`], for a command on buckets of failed attempts. Refusals are logged once per connection.
    pub(super) fn record_script<T>(&self, live: &Arc<Live>, outcome: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(cause @ (Fault::Full | Fault::Refused(_))) = &outcome
            && !live.script_refusal_logged.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                reason = "session_store_refuses_attempts",
                %cause,
                "Redis does not count failed sign-ins: each gateway counts for itself; raise maxmemory, or grant the user of \
                 sessions.url +eval +get +set +pttl +pexpire +del on the keys of sessions.key_prefix"
            );
        }
        self.record_outcome(live, outcome)
    }

    /// Evaluates the outcome of a command, and withdraws the connection at once if it is unusable.
    pub(super) fn record_outcome<T>(&self, live: &Arc<Live>, outcome: Result<T, Fault>) -> Result<T, Fault> {
        let is_one_of_many = matches!(live.link, Link::Cluster(_));
        match &outcome {
            Ok(_) => live.breaker.reply_received(),
            Err(fault) => {
                if live.breaker.trips(fault, is_one_of_many) && live.ended.set(fault.clone()).is_ok() {
                    // Unless the supervisor has published a new one meanwhile.
                    self.live.rcu(|now| now.clone().filter(|now| !Arc::ptr_eq(now, live)));
                    self.metrics().up.set(i64::from(self.live.load().is_some()));
                    live.ended_signal.notify_one();
                }
            }
        }
        outcome
    }
}

impl Live {
    /// Waits until a command has ended the connection, and returns its fault.
    pub(super) async fn ended(&self) -> Fault {
        loop {
            if let Some(fault) = self.ended.get() {
                return fault.clone();
            }
            self.ended_signal.notified().await;
        }
    }
}

/// Number of missing replies in a row that trips the breaker. One may be an accident; after three, further requests
/// would wait in vain. It also bounds the queue on a stalled connection to the requests of one timeout.
const MAX_UNANSWERED: u32 = 3;

/// Counts commands in a row without a reply.
#[derive(Default)]
struct Breaker(AtomicU32);

impl Breaker {
    fn reply_received(&self) {
        // Read first: a store on every reply would move the cache line between cores.
        if self.0.load(Ordering::Relaxed) > 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// Returns whether the connection is unusable after this fault.
    fn trips(&self, fault: &Fault, is_one_of_many: bool) -> bool {
        match fault {
            // In a Cluster only one node's connection has ended, which may be replaced.
            Fault::Ended(_) if !is_one_of_many => true,
            Fault::Ended(_) | Fault::Unanswered(_) => {
                self.0.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_UNANSWERED
            }
            Fault::ReadOnly | Fault::Credentials => true,
            // An error is a reply too.
            Fault::Away | Fault::Full | Fault::Refused(_) => {
                self.reply_received();
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence() -> Fault {
        Fault::Unanswered("".into())
    }

    fn end() -> Fault {
        Fault::Ended("".into())
    }

    #[test]
    fn three_missing_replies_in_a_row_trip() {
        let breaker = Breaker::default();
        assert_eq!(
            [silence(), silence(), silence()].map(|fault| breaker.trips(&fault, false)),
            [false, false, true]
        );
        let breaker = Breaker::default();
        assert_eq!([end(), silence(), end()].map(|fault| breaker.trips(&fault, true)), [false, false, true]);
    }

    #[test]
    fn any_reply_resets_the_count() {
        let breaker = Breaker::default();
        for _ in 0..5 {
            assert!(!breaker.trips(&silence(), true));
            assert!(!breaker.trips(&end(), true));
            breaker.reply_received();
            assert!(!breaker.trips(&silence(), false));
            assert!(!breaker.trips(&silence(), false));
            assert!(!breaker.trips(&Fault::Refused(String::new()), false));
            assert!(!breaker.trips(&Fault::Full, false));
        }
    }

    #[test]
    fn unusable_connection_trips_at_once() {
        assert!(Breaker::default().trips(&end(), false));
        for is_one_of_many in [false, true] {
            assert!(Breaker::default().trips(&Fault::ReadOnly, is_one_of_many));
            assert!(Breaker::default().trips(&Fault::Credentials, is_one_of_many));
        }
    }
}
