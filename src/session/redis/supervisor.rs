//! The task that keeps a connection published.
//!
//! ```text
//!              connected, master, new enough
//!  connecting ------------------------------> published
//!      ^  \__ failed: wait, longer each time      |
//!      |__________________________________________|
//!        2 heartbeats missed, 3 answers in a row missed, read-only, another master
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::backoff;
use super::connect::{BEAT, ConnectError, Connected, Connector, beat};
use super::current::{Current, Live};
use super::fault::Fault;
use super::journal::Journal;
use super::look::Memory;
use crate::id::Random;
use crate::metrics::{Breaker, Connect, SessionStore};

/// One missed heartbeat is an accident.
const MISSED: u32 = 2;

/// How often the server is asked whether it is still the master: well within the seconds a failover takes.
const ROLE: Duration = Duration::from_secs(1);

/// A connection that lasted this long was a good one: the next attempt does not wait for the faults before it. One
/// that keeps breaking is connected to ever more seldom.
const GOOD: Duration = Duration::from_secs(10);

/// How often its memory is asked for: it grows in minutes.
const MEASURE: Duration = Duration::from_secs(10);

/// A panic that comes again at once must not fill the log.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// Keeps a connection published; never ends by itself.
pub(super) async fn supervise(current: Arc<Current>, connector: Connector, random: Arc<dyn Random>) {
    let connector = Arc::new(Mutex::new(connector));
    again_after_a_panic(|| {
        current.withdraw();
        let (current, connector) = (Arc::clone(&current), Arc::clone(&connector));
        let random = Arc::clone(&random);
        async move { keep_published(&current, &mut *connector.lock().await, random.as_ref()).await }
    })
    .await;
}

/// A defect in what talks to Redis must not take the store away for good.
async fn again_after_a_panic<F: Future<Output = ()> + Send + 'static>(mut task: impl FnMut() -> F) {
    loop {
        // Ended with its set, when this is.
        let mut running = JoinSet::new();
        running.spawn(task());
        match running.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!(
                    reason = "session_store_panicked",
                    "what talks to the session store panicked; it begins again"
                );
                tokio::time::sleep(AFTER_PANIC).await;
            }
            _ => return,
        }
    }
}

/// Connects, watches and connects again.
async fn keep_published(current: &Current, connector: &mut Connector, random: &dyn Random) {
    let mut journal = Journal::new(connector.place());
    let mut attempt = 0;
    loop {
        let lost = match connector.connect().await {
            Ok(connected) => {
                current.metrics().connects.of(Connect::Ok).inc();
                journal.back(&connected.look);
                let since = Instant::now();
                let live = current.publish(connected.link.clone());
                let lost = watch(current, &live, &connected, connector).await;
                current.withdraw();
                current.metrics().breaker.of(opened_by(&lost)).inc();
                if since.elapsed() >= GOOD {
                    attempt = 0;
                }
                lost
            }
            Err(error) => {
                current.metrics().connects.of(Connect::Failed).inc();
                error
            }
        };
        journal.lost(&lost);
        tokio::time::sleep(backoff::pause(attempt, random)).await;
        attempt += 1;
    }
}

/// Waits until the connection can no longer be used, and says why.
async fn watch(
    current: &Current,
    live: &Live,
    connected: &Connected,
    connector: &mut Connector,
) -> ConnectError {
    tokio::select! {
        fault = live.ended() => fault.into(),
        fault = silence(live) => fault.into(),
        error = demotion(connected, connector) => error,
        never = measure(current.metrics(), live) => match never {},
    }
}

/// Keeps the memory of Redis measured; silence is the heartbeat's business.
async fn measure(metrics: &SessionStore, live: &Live) -> Infallible {
    let mut ticks = interval(MEASURE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Ok(memory) = Memory::at(&live.link).await {
            metrics.memory.set(memory.map_or(-1, |memory| memory.used));
            metrics.memory_max.set(memory.map_or(-1, |memory| memory.max));
        }
    }
}

/// As a metric says it.
const fn opened_by(lost: &ConnectError) -> Breaker {
    match lost {
        ConnectError::OtherMaster | ConnectError::NoMaster => Breaker::Demoted,
        ConnectError::Fault(Fault::Unanswered(_)) => Breaker::Unanswered,
        ConnectError::Fault(Fault::ReadOnly) => Breaker::ReadOnly,
        ConnectError::Fault(Fault::Credentials) => Breaker::Credentials,
        ConnectError::Fault(Fault::Away | Fault::Ended(_) | Fault::Full | Fault::Refused(_))
        | ConnectError::ClusterDown
        | ConnectError::TooOld(_) => Breaker::Ended,
    }
}

async fn silence(live: &Live) -> Fault {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut missed = 0;
    loop {
        ticks.tick().await;
        match beat(&live.link).await {
            Ok(()) => missed = 0,
            Err(fault @ Fault::Ended(_)) => return fault,
            Err(fault) => {
                missed += 1;
                if missed == MISSED {
                    return fault;
                }
            }
        }
    }
}

async fn demotion(connected: &Connected, connector: &mut Connector) -> ConnectError {
    let mut ticks = interval(ROLE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match connector.is_current(connected).await {
            // Silence is the heartbeat's business.
            Ok(()) | Err(ConnectError::Fault(Fault::Unanswered(_))) => {}
            Err(error) => return error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_panic_is_survived() {
        let attempts = Arc::new(AtomicU32::new(0));
        again_after_a_panic(|| {
            let attempts = Arc::clone(&attempts);
            async move { assert!(attempts.fetch_add(1, Ordering::SeqCst) > 0, "the first attempt panics") }
        })
        .await;
        assert_eq!(attempts.load(Ordering::SeqCst), 2);
    }
}
