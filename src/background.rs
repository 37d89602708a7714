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

/// The running jobs; dropping them ends them.
pub struct Jobs {
    running: JoinSet<()>,
    metrics: Arc<Metrics>,
}

impl Jobs {
    /// Starts a job that never returns, and restarts it after a panic: without the revocation feed a gateway would answer 503 until
    /// somebody restarts it.
    fn start<F>(&mut self, name: &'static str, job: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let metrics = Arc::clone(&self.metrics);
        self.running.spawn(async move {
            loop {
                // A separate set, so that dropping this future ends the job too.
                let mut running = JoinSet::new();
                running.spawn(job());
                match running.join_next().await {
                    Some(Err(failed)) if failed.is_panic() => {
                        metrics.requests.panics.inc();
                        tracing::error!(
                            reason = "job_panicked",
                            job = name,
                            "a background job panicked; it is restarted"
                        );
                        tokio::time::sleep(RESTART_PAUSE).await;
                    }
                    _ => return,
                }
            }
        });
    }

    /// Ends all jobs, and waits until they have ended.
    pub async fn shutdown(&mut self) {
        self.running.shutdown().await;
    }
}

/// Starts all jobs.
pub fn start(auth: &Arc<Auth>, checking: Checking, vault: Vault, traffic: &Arc<Traffic>) -> Jobs {
    let mut jobs = Jobs { running: JoinSet::new(), metrics: Arc::clone(auth.metrics()) };
    let current = checking.current.clone();
    let with_auth = || Arc::clone(auth);
    let settings = || {
        let current = current.clone();
        move || current.load().settings.clone()
    };

    let job = with_auth();
    jobs.start("revocation_feed", move || auth::follow(Arc::clone(&job)));
    let job = with_auth();
    jobs.start("pauses", move || auth::watch_pauses(Arc::clone(&job)));
    let (job, now) = (with_auth(), settings());
    jobs.start("stream_watch", move || auth::watch_streams(Arc::clone(&job), now.clone()));
    let (job, now) = (with_auth(), settings());
    jobs.start("session_use", move || auth::write_session_use(Arc::clone(&job), now.clone()));
    let (job, now) = (with_auth(), settings());
    jobs.start("logouts", move || auth::retry_logouts(Arc::clone(&job), now.clone()));
    let (job, now) = (with_auth(), settings());
    jobs.start("mails", move || auth::send_mails(Arc::clone(&job), now.clone()));
    let job = with_auth();
    jobs.start("tombstones", move || auth::retry_tombstones(Arc::clone(&job), TOMBSTONE_INTERVAL));
    let names = current.clone();
    jobs.start("upstream_names", move || resolve(names.clone()));
    let job = with_auth();
    jobs.start("audit_events", move || auth::write_audit(Arc::clone(&job)));
    let (job, now) = (with_auth(), settings());
    jobs.start("audit_chain", move || auth::keep_audit(Arc::clone(&job), now.clone()));
    jobs.start("vault_sweep", move || sweep(vault.clone()));
    let (job, mode) = (with_auth(), current.clone());
    jobs.start("mode_time", move || count_mode_time(Arc::clone(&job), mode.clone()));
    let (job, limits) = (Arc::clone(traffic), current.clone());
    jobs.start("stalled_clients", move || gateway::bound_stalled(Arc::clone(&job), limits.clone()));
    jobs.start("health_checks", move || gateway::keep_checking(checking.clone()));
    jobs
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
