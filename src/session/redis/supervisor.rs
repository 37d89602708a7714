//! Supervisor: the task that keeps a connection published.
//!
//! ```text
//!              connected, master, new enough
//!  connecting ------------------------------> published
//!      ^  \__ failed: wait, longer each time      |
//!      |__________________________________________|
//!        heartbeats missed, 3 replies in a row missed, read-only, another master
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::backoff;
use super::connect::{ConnectError, Connected, Connector, HEARTBEAT, heartbeat};
use super::current::{Current, Live};
use super::fault::Fault;
use super::journal::Journal;
use super::patience::Patience;
use super::server_info::Memory;
use crate::id::Random;
use crate::metrics::{Breaker, Connect, SessionStore};

/// Interval of checks that the server is still the master: well within the seconds a failover takes.
const ROLE_INTERVAL: Duration = Duration::from_secs(1);

/// Lifetime after which a connection resets the backoff. A connection that keeps breaking is retried less and less
/// often.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Interval of memory measurements: memory grows in minutes.
const MEMORY_INTERVAL: Duration = Duration::from_secs(10);

/// Pause after a panic, so that a repeated panic does not flood the log.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// Keeps a connection published; never returns.
pub(super) async fn supervise(
    current: Arc<Current>,
    patience: Arc<Patience>,
    connector: Connector,
    random: Arc<dyn Random>,
) {
    let connector = Arc::new(Mutex::new(connector));
    restart_after_panic(|| {
        current.withdraw();
        let (current, connector) = (Arc::clone(&current), Arc::clone(&connector));
        let (patience, random) = (Arc::clone(&patience), Arc::clone(&random));
        async move {
            keep_published(&current, &patience, &mut *connector.lock().await, random.as_ref()).await;
        }
    })
    .await;
}

/// Restarts the task after a panic, so that a defect does not disable the store for good.
async fn restart_after_panic<F: Future<Output = ()> + Send + 'static>(mut task: impl FnMut() -> F) {
    loop {
        // The task is aborted with its set when this future is dropped.
        let mut running = JoinSet::new();
        running.spawn(task());
        match running.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!(
                    reason = "session_store_panicked",
                    "the session store task panicked: it is restarted"
                );
                tokio::time::sleep(PANIC_PAUSE).await;
            }
            _ => return,
        }
    }
}

/// Connects, watches the connection, and reconnects.
async fn keep_published(
    current: &Current,
    patience: &Patience,
    connector: &mut Connector,
    random: &dyn Random,
) {
    let mut journal = Journal::new(connector.servers());
    let mut attempt = 0;
    loop {
        let lost = match connector.connect().await {
            Ok(connected) => {
                current.metrics().connects.of(Connect::Ok).inc();
                journal.back(&connected.info);
                let since = Instant::now();
                let live = current.publish(connected.link.clone());
                let lost = watch(current, patience, &live, &connected, connector).await;
                current.withdraw();
                current.metrics().breaker.of(opened_by(&lost)).inc();
                if since.elapsed() >= STABLE_AFTER {
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

/// Waits until the connection is unusable, and returns why.
async fn watch(
    current: &Current,
    patience: &Patience,
    live: &Live,
    connected: &Connected,
    connector: &mut Connector,
) -> ConnectError {
    tokio::select! {
        fault = live.ended() => fault.into(),
        fault = missed_heartbeats(live, patience) => fault.into(),
        error = demotion(connected, connector) => error,
        never = measure(current.metrics(), live) => match never {},
    }
}

/// Measures the memory of Redis; a missing reply is left to the heartbeat.
async fn measure(metrics: &SessionStore, live: &Live) -> Infallible {
    let mut ticks = interval(MEMORY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Ok(memory) = Memory::at(&live.link).await {
            metrics.memory.set(memory.map_or(-1, |memory| memory.used));
            metrics.memory_max.set(memory.map_or(-1, |memory| memory.max));
        }
    }
}

/// Returns the metric label.
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

async fn missed_heartbeats(live: &Live, patience: &Patience) -> Fault {
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut missed = 0;
    loop {
        ticks.tick().await;
        match heartbeat(&live.link).await {
            Ok(()) => missed = 0,
            Err(fault @ Fault::Ended(_)) => return fault,
            Err(fault) => {
                missed += 1;
                if missed >= patience.max_missed() {
                    return fault;
                }
            }
        }
    }
}

async fn demotion(connected: &Connected, connector: &mut Connector) -> ConnectError {
    let mut ticks = interval(ROLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match connector.is_current(connected).await {
            // A missing reply is left to the heartbeat.
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
    async fn task_restarts_after_a_panic() {
        let attempts = Arc::new(AtomicU32::new(0));
        restart_after_panic(|| {
            let attempts = Arc::clone(&attempts);
            async move { assert!(attempts.fetch_add(1, Ordering::SeqCst) > 0, "the first attempt panics") }
        })
        .await;
        assert_eq!(attempts.load(Ordering::SeqCst), 2);
    }
}
