//! The connection that requests use now, if there is one, and the breaker that takes it away from them.
//!
//! A request never waits for a connection: without one its command fails at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::fault::Fault;
use super::link::Link;

/// One lost answer is an accident; at three in a row every further request would only wait in vain. It also bounds
/// what piles up on a stalled connection: what arrives during one answer's time.
const UNANSWERED: u32 = 3;

/// Where requests find the connection.
#[derive(Default)]
pub(super) struct Current(ArcSwapOption<Live>);

/// A connection in use.
pub(super) struct Live {
    /// The connection.
    pub(super) link: Link,
    /// Commands in a row that brought no answer.
    unanswered: AtomicU32,
    ended: OnceLock<Fault>,
    told: Notify,
}

impl Current {
    /// From now on requests use this one.
    pub(super) fn publish(&self, link: Link) -> Arc<Live> {
        let (unanswered, ended, told) = (AtomicU32::new(0), OnceLock::new(), Notify::new());
        let live = Arc::new(Live { link, unanswered, ended, told });
        self.0.store(Some(Arc::clone(&live)));
        live
    }

    /// From now on requests use none.
    pub(super) fn withdraw(&self) {
        self.0.store(None);
    }

    /// The connection to use now.
    pub(super) fn live(&self) -> Result<Arc<Live>, Fault> {
        self.0.load_full().ok_or(Fault::Away)
    }

    /// Draws the conclusions from one command's outcome; what it cannot be used for any more is taken away at once.
    pub(super) fn judge<T>(&self, live: &Arc<Live>, outcome: Result<T, Fault>) -> Result<T, Fault> {
        match &outcome {
            Err(fault) if live.is_ended_by(fault) => {
                if live.ended.set(fault.clone()).is_ok() {
                    // Unless the supervisor was first, with a new one.
                    self.0.rcu(|now| now.clone().filter(|now| !Arc::ptr_eq(now, live)));
                    live.told.notify_one();
                }
            }
            Err(Fault::Unanswered(_)) => {}
            // Whatever the answer was, there was one. Looked at first: a store would bounce the line between cores.
            _ if live.unanswered.load(Ordering::Relaxed) > 0 => live.unanswered.store(0, Ordering::Relaxed),
            _ => {}
        }
        outcome
    }
}

impl Live {
    fn is_ended_by(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Ended(_) => match self.link {
                Link::One(_) => true,
                // One node of several, which the Cluster may replace.
                Link::Cluster(_) => self.is_one_too_many(),
            },
            Fault::Unanswered(_) => self.is_one_too_many(),
            Fault::ReadOnly | Fault::Credentials => true,
            Fault::Away | Fault::Full | Fault::Refused(_) => false,
        }
    }

    fn is_one_too_many(&self) -> bool {
        self.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= UNANSWERED
    }

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
