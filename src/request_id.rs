//! The request id: every request has one. The app is told it, the client reads it in the answer, and every log line
//! that a request causes has it.
//!
//! The task carries it, not a tracing span: a span costs an allocation and two look-ups for each poll of every request,
//! also of those that log nothing.

use std::cell::OnceCell;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderName, HeaderValue};

use crate::id::Random;

/// In requests to the app, in answers to the client, and believed from trusted proxies.
pub const NAME: &str = "x-request-id";
/// The same.
pub const HEADER: HeaderName = HeaderName::from_static(NAME);

/// Longest that is taken from a proxy: those in use have at most 64 characters, and each line carries it.
const LONGEST: usize = 128;
/// Random bits of those made here: as many as a UUID, so that no two gateways ever make the same.
const BYTES: usize = 16;
/// Made ahead: one call of the generator for so many costs each of them next to nothing. A counter would be as cheap
/// and would tell every client how many requests there are.
const AHEAD: usize = 64;

tokio::task_local! {
    static OF_TASK: OnceCell<RequestId>;
}

/// What one request is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// As a trusted proxy sent it; `None` when it is longer than 128 characters, or has others than letters, digits and
    /// `-_.:/+=` (which is what UUIDs, hexadecimal, base64 and the ids of the large clouds are made of).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
        if text.is_empty() || text.len() > LONGEST || !text.iter().all(allowed) {
            return None;
        }
        HeaderValue::from_bytes(text).map(Self).ok()
    }

    /// As it stands in headers, bodies and log lines.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("-")
    }

    /// As a header field's value.
    pub const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

/// Makes them: 32 hexadecimal digits each.
pub struct RequestIds {
    random: Arc<dyn Random>,
    ahead: Mutex<Ahead>,
}

/// Random bytes, the first `left` of which belong to nobody yet.
struct Ahead {
    bytes: [u8; BYTES * AHEAD],
    left: usize,
}

impl RequestIds {
    /// From this source.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { random, ahead: Mutex::new(Ahead { bytes: [0; BYTES * AHEAD], left: 0 }) }
    }

    /// The next one.
    pub fn make(&self) -> RequestId {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.left == 0 {
            self.random.fill(&mut ahead.bytes);
            ahead.left = ahead.bytes.len();
        }
        ahead.left -= BYTES;
        let mut text = [0; BYTES * 2];
        for (pair, byte) in text.chunks_exact_mut(2).zip(&ahead.bytes[ahead.left..]) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        drop(ahead);
        RequestId(HeaderValue::from_bytes(&text).expect("digits are a header value"))
    }
}

/// Runs `work` as a task's work for one request, which [`enter`] names as soon as its header is read.
pub fn scope<F: Future>(work: F) -> impl Future<Output = F::Output> {
    OF_TASK.scope(OnceCell::new(), work)
}

/// From now on this task works for that request; the first one named stays.
pub fn enter(id: RequestId) {
    // Outside of a scope there is no request to speak of.
    let _ = OF_TASK.try_with(|of_task| of_task.set(id));
}

/// The request that this task works for.
pub fn current() -> Option<RequestId> {
    OF_TASK.try_with(|of_task| of_task.get().cloned()).ok().flatten()
}

/// `work` for the request of this task, to be done by a task of its own.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    OF_TASK.scope(current().map(OnceCell::from).unwrap_or_default(), work)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::id::SystemRandom;

    #[test]
    fn what_is_made_is_well_formed_and_never_the_same() {
        let ids = RequestIds::new(Arc::new(SystemRandom));
        let made: HashSet<String> = (0..10_000).map(|_| ids.make().as_str().to_owned()).collect();
        assert_eq!(made.len(), 10_000);
        for id in made {
            assert_eq!(id.len(), 32);
            assert!(RequestId::parse(id.as_bytes()).is_some(), "{id}");
        }
    }

    #[test]
    fn only_what_is_harmless_everywhere_is_taken() {
        let longest = "x".repeat(LONGEST);
        for good in
            ["a", "550e8400-e29b-41d4-a716-446655440000", "Root=1-67891233-abcdef", &longest, "a/b+c=:._"]
        {
            assert_eq!(RequestId::parse(good.as_bytes()).expect(good).as_str(), good);
        }
        let long = "x".repeat(LONGEST + 1);
        for bad in ["", &long, "a b", "a,b", "a\"", "a\n", "<a>", "ä", "a;b", "a'b", "{x}", "a\u{1b}[31m"] {
            assert_eq!(RequestId::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_task_and_those_it_starts_know_their_request() {
        let id = RequestId::parse(b"one").unwrap();
        assert_eq!(current(), None);
        enter(id.clone());
        assert_eq!(current(), None, "outside of a request there is none");
        scope(async {
            assert_eq!(current(), None, "its header is not read");
            enter(id.clone());
            enter(RequestId::parse(b"two").unwrap());
            assert_eq!(current(), Some(id.clone()));
            assert_eq!(tokio::spawn(async { current() }).await.unwrap(), None);
            assert_eq!(tokio::spawn(carried(async { current() })).await.unwrap(), Some(id.clone()));
        })
        .await;
        assert_eq!(tokio::spawn(carried(async { current() })).await.unwrap(), None);
    }
}
