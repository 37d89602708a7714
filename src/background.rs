//! The jobs beside the requests. Each ends only by being dropped with its gateway.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::auth::{self, Auth};
use crate::gateway::{self, Checking, Traffic};
use crate::metrics::Metrics;
use crate::snapshot::Current;
use crate::vault::Vault;

/// Names of upstreams are looked up again this often: a moved service is found within it.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// And for this long: one that its resolver is slow with keeps no other waiting longer.
const RESOLVE_FOR: Duration = Duration::from_secs(2);
/// Tombstones owed to a session store that was away.
const OWED_EVERY: Duration = Duration::from_millis(500);
/// What no longer matters is deleted this often, in batches so small that nothing waits behind one.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SWEEP_BATCH: u32 = 1000;

/// Time without the vault is counted in steps of this.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A job that panicked begins again after this: soon enough for the lease to be held again at once, seldom enough
/// that one that panics every time keeps no core busy.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Starts them all; dropping the set ends them.
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
    jobs.spawn(forever(Arc::clone(metrics), move || auth::retry_tombstones(Arc::clone(&job), OWED_EVERY)));
    let (current, current_again) = (current.clone(), current.clone());
    jobs.spawn(forever(Arc::clone(metrics), move || resolve(current.clone())));
    jobs.spawn(forever(Arc::clone(metrics), move || sweep(vault.clone())));
    let (job, current) = (Arc::clone(auth), current_again);
    jobs.spawn(forever(Arc::clone(metrics), move || keep_time(Arc::clone(&job), current.clone())));
    let (job, current) = (Arc::clone(traffic), checking.current.clone());
    jobs.spawn(forever(Arc::clone(metrics), move || {
        gateway::bound_stalled(Arc::clone(&job), current.clone())
    }));
    jobs.spawn(forever(Arc::clone(metrics), move || gateway::keep_checking(checking.clone())));
    jobs
}

/// Runs a job that never ends by itself, and again after a panic: without its feed a gateway would answer 503 until
/// somebody restarts it.
async fn forever<F: Future<Output = ()> + Send + 'static>(metrics: Arc<Metrics>, job: impl Fn() -> F) {
    loop {
        // A set of its own, so that dropping this future ends the job too.
        let mut running = JoinSet::new();
        running.spawn(job());
        match running.join_next().await {
            Some(Err(failed)) if failed.is_panic() => {
                metrics.requests.panics.inc();
                tracing::error!(reason = "job_panicked", "a background job panicked; it begins again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            _ => return,
        }
    }
}

async fn resolve(current: Current) {
    loop {
        current.load().upstreams.resolve(RESOLVE_FOR).await;
        tokio::time::sleep(RESOLVE_EVERY).await;
    }
}

async fn keep_time(auth: Arc<Auth>, current: Current) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        auth.count_mode_time(LOOK_EVERY, &current.load().settings).await;
    }
}

async fn sweep(vault: Vault) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        loop {
            match vault.audit.sweep(SWEEP_BATCH).await {
                Ok(swept) if swept >= u64::from(SWEEP_BATCH) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(
                        reason = "sweep_failed",
                        cause = %error,
                        "old rows stay until the next sweep"
                    );
                    break;
                }
            }
        }
    }
}
