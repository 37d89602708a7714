//! Panic guard: a panic in a request fails that request, not the process.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Error of a panicked future. The panic hook has logged its place.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs `work`, turning a panic into an error.
///
/// The state of a request is either its own (dropped with it) or behind locks with critical sections of a single step, so no
/// inconsistent state is left.
pub(crate) async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}
