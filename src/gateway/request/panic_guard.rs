//! A panic in a request is that request's failure, not the process's.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// It panicked; the panic hook has said where.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs `work`, turning a panic into an error.
///
/// What a request touches is either its own (dropped with it) or behind locks whose critical sections are single
/// steps, so nothing half-done stays behind.
pub(crate) async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}
