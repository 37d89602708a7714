use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock::TravelClock;

struct Source {
    clock: Arc<TravelClock>,
    cached: Arc<Cached<usize>>,
    fetches: AtomicUsize,
}

impl Source {
    fn new() -> Self {
        let clock = Arc::new(TravelClock::new());
        let cached = Arc::new(Cached::new(Arc::clone(&clock) as Arc<dyn Clock>));
        Self { clock, cached, fetches: AtomicUsize::new(0) }
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn next(&self, is_up: bool) -> Result<Fetched<usize>, ProviderError> {
        let value = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        is_up.then_some(Fetched { value, lifetime: MIN_AGE }).ok_or(ProviderError::MixUp)
    }

    async fn get(&self, is_up: bool) -> Result<usize, ProviderError> {
        self.cached.get(async || self.next(is_up)).await.map(|value| *value)
    }

    async fn get_newer(&self, is_up: bool) -> Result<usize, ProviderError> {
        self.cached.get_newer(async || self.next(is_up)).await.map(|value| *value)
    }
}

#[tokio::test]
async fn document_is_fetched_again_when_its_lifetime_ends() {
    let source = Source::new();
    assert_eq!((source.get(true).await, source.get(true).await), (Ok(1), Ok(1)));
    source.clock.advance(MIN_AGE);
    assert_eq!(source.get(true).await, Ok(2));
}

#[tokio::test]
async fn last_good_document_is_kept_for_a_day() {
    let source = Source::new();
    assert_eq!(source.get(true).await, Ok(1));
    source.clock.advance(LAST_GOOD - Duration::from_secs(1));
    assert_eq!(source.get(false).await, Ok(1));
    assert_eq!((source.get(false).await, source.fetches()), (Ok(1), 2), "the failure is remembered");
    source.clock.advance(RETRY);
    assert_eq!(source.get(false).await, Err(ProviderError::MixUp));
    source.clock.advance(RETRY);
    assert_eq!(source.get(true).await, Ok(4));
}

#[tokio::test]
async fn older_document_is_no_sign_of_life() {
    let source = Source::new();
    let age = Duration::from_secs(10);
    let within =
        async |is_up| source.cached.get_within(age, async || source.next(is_up)).await.map(|value| *value);
    assert_eq!((within(true).await, within(false).await), (Ok(1), Ok(1)));
    source.clock.advance(age);
    assert_eq!(
        (within(false).await, within(true).await),
        (Err(ProviderError::MixUp), Err(ProviderError::MixUp))
    );
    assert_eq!(source.fetches(), 2, "the failure is remembered");
    assert_eq!((source.get(false).await, source.cached.last_good().map(|value| *value)), (Ok(1), Some(1)));
    source.clock.advance(RETRY);
    assert_eq!((within(true).await, source.fetches()), (Ok(3), 3));
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_a_minute() {
    let source = Source::new();
    assert_eq!(source.get(true).await, Ok(1));
    for _ in 0..100 {
        assert_eq!(source.get_newer(true).await, Ok(1));
    }
    source.clock.advance(FORCED);
    assert_eq!(source.get_newer(true).await, Ok(2));
    source.clock.advance(FORCED);
    for _ in 0..100 {
        assert_eq!(source.get_newer(false).await, Ok(2));
    }
    assert_eq!(source.fetches(), 3);
}

#[tokio::test]
async fn waiting_requests_share_one_fetch_and_its_failure() {
    for is_up in [true, false] {
        let source = Arc::new(Source::new());
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let leader = {
            let source = Arc::clone(&source);
            tokio::spawn(async move {
                let fetch = async || {
                    begun.await.expect("the test lets it go on");
                    source.next(is_up)
                };
                source.cached.get(fetch).await.map(|value| *value)
            })
        };
        let mut others = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let source = Arc::clone(&source);
            others.spawn(async move { source.get(is_up).await });
        }
        // On the one thread of this test, all of them wait now.
        tokio::task::yield_now().await;
        begin.send(()).expect("the leader waits");
        let expected = is_up.then_some(1).ok_or(ProviderError::MixUp);
        assert_eq!(leader.await.expect("no panic"), expected);
        for other in others.join_all().await {
            assert_eq!(other, expected);
        }
        assert_eq!(source.fetches(), 1);
    }
}

#[tokio::test]
async fn abandoned_fetch_is_taken_over() {
    let source = Arc::new(Source::new());
    let stuck = tokio::spawn({
        let source = Arc::clone(&source);
        async move { source.cached.get(async || std::future::pending().await).await.map(|value| *value) }
    });
    tokio::task::yield_now().await;
    stuck.abort();
    assert!(stuck.await.is_err());
    assert_eq!(source.get(true).await, Ok(1));
}

#[test]
fn lifetime_follows_cache_control_within_bounds() {
    for (value, expected) in [
        ("", DEFAULT_AGE),
        ("public", DEFAULT_AGE),
        ("public, max-age=3600", Duration::from_secs(3600)),
        ("Max-Age=\"3600\"", Duration::from_secs(3600)),
        ("max-age=0", MIN_AGE),
        ("max-age=-1", MIN_AGE),
        ("max-age=99999999999999999999999", MIN_AGE),
        ("max-age=99999999", MAX_AGE),
        ("max-age=3600, no-store", MIN_AGE),
    ] {
        let mut fields = HeaderMap::new();
        fields.insert(CACHE_CONTROL, value.parse().unwrap());
        assert_eq!(lifetime(&fields), expected, "{value}");
    }
}
