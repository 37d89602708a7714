//! Queues between async callers and the vault's threads, with one timeout for the queue and the result.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::fault::{Fault, closed};
use crate::vault::VaultError;

/// Maximum queue length. A shorter queue would reject a burst of logins that a commit or two clears; a longer one would
/// only hold jobs that time out before they run.
pub(super) const LENGTH: usize = 1024;

/// Queues a job and waits for its result. The job runs even if the caller stops waiting.
pub(super) async fn submit<J, T>(
    queue: &mpsc::Sender<J>,
    job: J,
    result: oneshot::Receiver<Result<T, VaultError>>,
    timeout: Duration,
) -> Result<T, VaultError> {
    let submission = async {
        queue.send(job).await.map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    };
    tokio::time::timeout(timeout, submission).await.unwrap_or_else(|_| Err(timed_out(timeout)))
}

/// Error of a job without a result in time.
pub(super) fn timed_out(timeout: Duration) -> VaultError {
    VaultError::Unavailable(format!("no answer within {}", humantime::format_duration(timeout)))
}

/// Runs work so that its panic does not end the thread.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // The caller rolls back the work, so no partial change is visible afterwards.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic).into()))
}

fn panicked(panic: &(dyn Any + Send)) -> VaultError {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    VaultError::Unavailable(format!("an internal error in doorward: {}", text.unwrap_or("panic")))
}

/// Starts one of the vault's threads.
pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), VaultError> {
    let started = std::thread::Builder::new().name(name.into()).spawn(body);
    // Not joined: a thread ends when its queue closes, and dropping a vault must not wait for a disk.
    started
        .map(drop)
        .map_err(|error| VaultError::Unavailable(format!("cannot start the thread `{name}`: {error}")))
}
