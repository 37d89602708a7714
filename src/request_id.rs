//! The request id of every request. It is sent to the app and in the response, and is part of every log line of the
//! request.
//!
//! It is stored in a task local instead of a tracing span. A span costs an allocation and two lookups for each poll of
//! every request, even of those that log nothing.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderName, HeaderValue};

use crate::id::Random;

/// Name of the header in requests to the app and in responses. It is accepted from trusted proxies.
pub const NAME: &str = "x-request-id";
/// The same as a header name.
pub const HEADER: HeaderName = HeaderName::from_static(NAME);

/// Maximum length of an id from a proxy. Common ids have at most 64 characters, and each log line contains the id.
const MAX_LENGTH: usize = 128;
/// Random bytes of a generated id: as many as in a UUID, so that no two gateways generate the same.
const BYTES: usize = 16;
/// Number of ids per call of the generator, which makes each of them cheap. A counter would be as cheap but would
/// reveal the number of requests to every client.
const BATCH: usize = 64;

tokio::task_local! {
    static OF_TASK: OnceCell<(RequestId, IpAddr)>;
}

/// The id of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Parses an id from a trusted proxy. `None` when it is longer than 128 characters, or has characters other than
    /// letters, digits and `-_.:/+=` (which cover UUIDs, hexadecimal, base64 and the ids of large clouds).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
        if text.is_empty() || text.len() > MAX_LENGTH || !text.iter().all(allowed) {
            return None;
        }
        HeaderValue::from_bytes(text).map(Self).ok()
    }

    /// Returns the id as in headers, bodies and log lines.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("-")
    }

    /// Returns the id as a header value.
    pub const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

/// Generator of request ids of 32 hexadecimal digits.
pub struct RequestIds {
    random: Arc<dyn Random>,
    pool: Mutex<Pool>,
}

/// Random bytes; the first `left` are unused.
struct Pool {
    bytes: [u8; BYTES * BATCH],
    left: usize,
}

impl RequestIds {
    /// Creates a generator with this source.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { random, pool: Mutex::new(Pool { bytes: [0; BYTES * BATCH], left: 0 }) }
    }

    /// Generates an id.
    pub fn make(&self) -> RequestId {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.left == 0 {
            self.random.fill(&mut pool.bytes);
            pool.left = pool.bytes.len();
        }
        pool.left -= BYTES;
        let mut text = [0; BYTES * 2];
        for (pair, byte) in text.chunks_exact_mut(2).zip(&pool.bytes[pool.left..]) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        drop(pool);
        RequestId(HeaderValue::from_bytes(&text).expect("digits are a header value"))
    }
}

/// Runs `work` as the work of one request. [`enter`] sets its id when its header is read.
pub fn scope<F: Future>(work: F) -> impl Future<Output = F::Output> {
    OF_TASK.scope(OnceCell::new(), work)
}

/// Sets the request id of this task, and the client's address; the first ones are kept.
pub fn enter(id: RequestId, client: IpAddr) {
    // Without a scope the task belongs to no request.
    let _ = OF_TASK.try_with(|of_task| of_task.set((id, client)));
}

/// Returns the request id of this task.
pub fn current() -> Option<RequestId> {
    OF_TASK.try_with(|of_task| of_task.get().map(|(id, _)| id.clone())).ok().flatten()
}

/// Returns the request id of this task, and the address of the client that sent the request.
pub fn with_client() -> Option<(RequestId, IpAddr)> {
    OF_TASK.try_with(|of_task| of_task.get().cloned()).ok().flatten()
}

/// Wraps `work` so that another task runs it with the request id of this task.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    OF_TASK.scope(with_client().map(OnceCell::from).unwrap_or_default(), work)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::id::SystemRandom;

    #[test]
    fn generated_ids_are_valid_and_unique() {
        let ids = RequestIds::new(Arc::new(SystemRandom));
        let made: HashSet<String> = (0..10_000).map(|_| ids.make().as_str().to_owned()).collect();
        assert_eq!(made.len(), 10_000);
        for id in made {
            assert_eq!(id.len(), 32);
            assert!(RequestId::parse(id.as_bytes()).is_some(), "{id}");
        }
    }

    #[test]
    fn ids_with_unsafe_characters_are_refused() {
        let longest = "x".repeat(MAX_LENGTH);
        for good in
            ["a", "550e8400-e29b-41d4-a716-446655440000", "Root=1-67891233-abcdef", &longest, "a/b+c=:._"]
        {
            assert_eq!(RequestId::parse(good.as_bytes()).expect(good).as_str(), good);
        }
        let long = "x".repeat(MAX_LENGTH + 1);
        for bad in ["", &long, "a b", "a,b", "a\"", "a\n", "<a>", "ä", "a;b", "a'b", "{x}", "a\u{1b}[31m"] {
            assert_eq!(RequestId::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn task_and_carried_tasks_know_their_request() {
        let id = RequestId::parse(b"one").unwrap();
        assert_eq!(current(), None);
        let client = IpAddr::from([192, 0, 2, 7]);
        enter(id.clone(), client);
        assert_eq!(current(), None, "outside of a request there is none");
        scope(async {
            assert_eq!(current(), None, "its header is not read");
            enter(id.clone(), client);
            enter(RequestId::parse(b"two").unwrap(), IpAddr::from([192, 0, 2, 8]));
            assert_eq!(current(), Some(id.clone()));
            assert_eq!(with_client(), Some((id.clone(), client)));
            assert_eq!(tokio::spawn(async { current() }).await.unwrap(), None);
            assert_eq!(tokio::spawn(carried(async { current() })).await.unwrap(), Some(id.clone()));
        })
        .await;
        assert_eq!(tokio::spawn(carried(async { current() })).await.unwrap(), None);
    }
}
