//! Single flight: concurrent callers with the same key share one result.
//!
//! The key is the hash of the whole token presented, so that no caller gets the result of another's token. The work
//! runs detached, so that a caller that hangs up does not cancel it for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::request_id;

type Digest = [u8; 32];
type Running<T> = Mutex<HashMap<Digest, watch::Receiver<Option<T>>>>;

/// Calls in flight, by key.
pub(crate) struct Flights<T>(Arc<Running<T>>);

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Returns the result for `key`, from the flight in progress or from `work`. `None` when it panicked.
    pub(crate) async fn join<W>(&self, key: Digest, work: impl FnOnce() -> W) -> Option<T>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let mut result = {
            let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match running.get(&key) {
                Some(result) => result.clone(),
                None => {
                    let (sender, receiver) = watch::channel(None);
                    running.insert(key, receiver.clone());
                    let remove = RemoveOnDrop { running: Arc::clone(&self.0), key };
                    let work = work();
                    tokio::spawn(request_id::carried(async move {
                        let result = work.await;
                        // Removed before the result is sent: a later caller starts a new flight.
                        drop(remove);
                        let _ = sender.send(Some(result));
                    }));
                    receiver
                }
            }
        };
        result.wait_for(Option::is_some).await.ok()?.clone()
    }
}

/// Removes a flight from the table however it ends.
struct RemoveOnDrop<T> {
    running: Arc<Running<T>>,
    key: Digest,
}

impl<T> Drop for RemoveOnDrop<T> {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn concurrent_callers_share_one_flight() {
        let (flights, calls) = (Flights::new(), Arc::new(AtomicUsize::new(0)));
        let barrier = Arc::new(tokio::sync::Semaphore::new(0));
        let call = || {
            let (calls, barrier) = (Arc::clone(&calls), Arc::clone(&barrier));
            flights.join([1; 32], move || async move {
                calls.fetch_add(1, Ordering::SeqCst);
                drop(barrier.acquire().await);
                7
            })
        };
        let open = async { barrier.add_permits(1) };
        let (a, b, c, ()) = tokio::join!(call(), call(), call(), open);
        assert_eq!((a, b, c), (Some(7), Some(7), Some(7)));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert_eq!(flights.join([1; 32], || async { 8 }).await, Some(8), "a later call starts a new flight");
    }

    #[tokio::test]
    async fn panic_ends_only_its_own_flight() {
        let flights: Flights<u8> = Flights::new();
        assert_eq!(flights.join([2; 32], || async { panic!("as a test") }).await, None);
        assert_eq!(flights.join([2; 32], || async { 1 }).await, Some(1));
    }
}
