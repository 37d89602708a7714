//! Single flight: while a question is under way, whoever asks the same one waits for its answer.
//!
//! Keyed by the hash of the whole token presented, so that nobody is given an answer to somebody else's
//! question, and run detached, so that an asker who hangs up takes the answer from nobody. Callers that need
//! different answers (now or after a wait, from the vault or from a cache) use different keys.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::request_id;

type Digest = [u8; 32];
type Running<K, T> = Mutex<HashMap<K, watch::Receiver<Option<T>>>>;

/// LookupLimiter under way.
pub(crate) struct Flights<T, K: Eq + Hash = Digest>(Arc<Running<K, T>>);

impl<T: Clone + Send + Sync + 'static, K: Copy + Eq + Hash + Send + 'static> Flights<T, K> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// The answer to the question `key`: of the flight under way, or of `work`. `None` when it panicked.
    pub(crate) async fn join<W>(&self, key: K, work: impl FnOnce() -> W) -> Option<T>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let mut answer = {
            let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match running.get(&key) {
                Some(answer) => answer.clone(),
                None => {
                    let (sender, receiver) = watch::channel(None);
                    running.insert(key, receiver.clone());
                    let landing = Landing { running: Arc::clone(&self.0), key };
                    let work = work();
                    tokio::spawn(request_id::carried(async move {
                        let answer = work.await;
                        // Off the board before it is told: whoever asks from now on asks anew.
                        drop(landing);
                        let _ = sender.send(Some(answer));
                    }));
                    receiver
                }
            }
        };
        answer.wait_for(Option::is_some).await.ok()?.clone()
    }
}

/// Takes a flight off the board however it ends.
struct Landing<K: Eq + Hash, T> {
    running: Arc<Running<K, T>>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_askers_of_one_question_cost_one_answer() {
        let (flights, asked) = (Flights::new(), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let ask = || {
            let (asked, gate) = (Arc::clone(&asked), Arc::clone(&gate));
            flights.join([1; 32], move || async move {
                asked.fetch_add(1, Ordering::SeqCst);
                drop(gate.acquire().await);
                7
            })
        };
        let open = async { gate.add_permits(1) };
        let (a, b, c, ()) = tokio::join!(ask(), ask(), ask(), open);
        assert_eq!((a, b, c), (Some(7), Some(7), Some(7)));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(flights.join([1; 32], || async { 8 }).await, Some(8), "a later question is asked anew");
    }

    #[tokio::test]
    async fn a_panic_ends_the_flight_and_not_the_next_one() {
        let flights: Flights<u8> = Flights::new();
        assert_eq!(flights.join([2; 32], || async { panic!("as a test") }).await, None);
        assert_eq!(flights.join([2; 32], || async { 1 }).await, Some(1));
    }
}
