//! Background jobs. Each runs until it is dropped with its gateway.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::auth::{self, Auth};
use crate::gateway::{self, Checking, Traffic};
use crate::metrics::Metrics;
use crate::snapshot::Current;
use crate::vault::Vault;

/// Interval of resolving upstream names: a moved service is found within it.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum time of one round, so that a slow resolver does not delay the other names.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval of retrying tombstones that the session store has not received.
const TOMBSTONE_INTERVAL: Duration = Duration::from_millis(500);
/// Interval of deleting obsolete rows, in batches so small that nothing waits behind one.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const SWEEP_BATCH: u32 = 1000;

/// Step in which time without the vault is counted.
const MODE_INTERVAL: Duration = Duration::from_millis(250);

/// Pause before a panicked job restarts: short enough for the lease to be held again at once, long enough that a job
/// which always panics does not occupy a core.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// Starts all jobs; dropping the set ends them.
pub fn start(auth: &Arc<Auth>, checking: Checking, vault: Vault, traffic: &Arc<Traffic>) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    let (metrics, current) = (auth.metrics(), &checking.current);
    let job = Arc::clone(auth);
    jobs.spawn(forever(Arc::clone(metrics), move || auth::follow(Arc::clone(&job))));
    let (job, settings) = (Arc::clone(auth), current.clone());
    jobs.spawn(forever(Arc::clone(metrics), move || {
        let settings = settings.clone();
        auth::watch_streams(Arc::clone(&job), move || settings.load().settings.stream_lease)
    }));
    let (job, settings) = (Arc::clone(auth), current.clone());
    jobs.spawn(forever(Arc::clone(metrics), move || {
        let settings = settings.clone();
        auth::write_session_use(Arc::clone(&job), move || settings.load().settings.clone())
    }));
    let (job, settings) = (Arc::clone(auth), current.clone());
    jobs.spawn(forever(Arc::clone(metrics), move || {
        let settings = settings.clone();
        auth::retry_logouts(Arc::clone(&job), move || settings.load().settings.clone())
    }));
    let job = Arc::clone(auth);
    jobs.spawn(forever(Arc::clone(metrics), move || {
        auth::retry_tombstones(Arc::clone(&job), TOMBSTONE_INTERVAL)
    }));
    let (current, other_current) = (current.clone(), current.clone());
    jobs.spawn(forever(Arc::clone(metrics), move || resolve(current.clone())));
    jobs.spawn(forever(Arc::clone(metrics), move || sweep(vault.clone())));
    let (job, current) = (Arc::clone(auth), other_current);
    jobs.spawn(forever(Arc::clone(metrics), move || count_mode_time(Arc::clone(&job), current.clone())));
    let (job, current) = (Arc::clone(traffic), checking.current.clone());
    jobs.spawn(forever(Arc::clone(metrics), move || {
        gateway::bound_stalled(Arc::clone(&job), current.clone())
    }));
    jobs.spawn(forever(Arc::clone(metrics), move || gateway::keep_checking(checking.clone())));
    jobs
}

/// Runs a job that never returns, and restarts it after a panic: without the revocation feed a gateway would answer 503
/// until somebody restarts it.
async fn forever<F: Future<Output = ()> + Send + 'static>(metrics: Arc<Metrics>, job: impl Fn() -> F) {
    loop {
        // A separate set, so that dropping this future ends the job too.
        let mut running = JoinSet::new();
        running.spawn(job());
        match running.join_next().await {
            Some(Err(failed)) if failed.is_panic() => {
                metrics.requests.panics.inc();
                tracing::error!(reason = "job_panicked", "a background job panicked; it is restarted");
                tokio::time::sleep(RESTART_PAUSE).await;
            }
            _ => return,
        }
    }
}

async fn resolve(current: Current) {
    loop {
        current.load().upstreams.resolve(RESOLVE_TIMEOUT).await;
        tokio::time::sleep(RESOLVE_INTERVAL).await;
    }
}

async fn count_mode_time(auth: Arc<Auth>, current: Current) {
    loop {
        tokio::time::sleep(MODE_INTERVAL).await;
        auth.count_mode_time(MODE_INTERVAL, &current.load().settings).await;
    }
}

async fn sweep(vault: Vault) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        loop {
            match vault.audit.sweep(SWEEP_BATCH).await {
                Ok(swept) if swept >= u64::from(SWEEP_BATCH) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(
                        reason = "sweep_failed",
                        cause = %error,
                        "obsolete rows stay until the next sweep"
                    );
                    break;
                }
            }
        }
    }
}
