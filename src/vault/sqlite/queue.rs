//! How an async caller waits for a thread: for a place in the queue, then for the answer, no longer than allowed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::fault::{Fault, gone};
use crate::vault::VaultError;

/// How many questions may wait. Fewer would refuse a burst of logins that a commit or two clears; more would only
/// queue what times out before it is served.
pub(super) const LENGTH: usize = 1024;

/// Queues a job and waits for its answer. The job runs even when the caller stops waiting.
pub(super) async fn ask<J, T>(
    queue: &mpsc::Sender<J>,
    job: J,
    answer: oneshot::Receiver<Result<T, VaultError>>,
    timeout: Duration,
) -> Result<T, VaultError> {
    let asking = async {
        queue.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    };
    tokio::time::timeout(timeout, asking).await.unwrap_or_else(|_| Err(late(timeout)))
}

/// No answer in time.
pub(super) fn late(timeout: Duration) -> VaultError {
    VaultError::Unavailable(format!("no answer within {}", humantime::format_duration(timeout)))
}

/// Runs work whose panic must not take the thread with it.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // The caller rolls back whatever the work had begun, so nothing half-done is seen afterwards.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic).into()))
}

fn panicked(panic: &(dyn Any + Send)) -> VaultError {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    VaultError::Unavailable(format!("a fault in doorward: {}", text.unwrap_or("panic")))
}

/// Starts one of the vault's threads.
pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), VaultError> {
    let started = std::thread::Builder::new().name(name.into()).spawn(body);
    // Not joined: a thread ends by itself when its queue closes, and dropping a vault must not wait for a disk.
    started
        .map(drop)
        .map_err(|error| VaultError::Unavailable(format!("cannot start the thread `{name}`: {error}")))
}
