//! Redis-specific behaviour of the session store: keys, outages and topologies.

use std::sync::Arc;
use std::time::Duration;

use doorward::clock::{Clock, SystemClock};
use doorward::config::{RedisTopology, RedisUrl};
use doorward::id::{Random, SessionId, SystemRandom, UserId};
use doorward::identity::ClientKind;
use doorward::session::attempts::{Attempt, Bucket, BucketKey, Charged, Effect, Rule};
use doorward::session::redis::{RedisOptions, RedisStore};
use doorward::session::{Lookup, Record, SessionStore, SessionStoreError};
use tokio::time::Instant;

use crate::eventually::assert_eventually;
use crate::measured::measured;
use crate::servers::RedisServer;

#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/stores/redis_faults.rs"]
mod faults;
#[path = "support/captured.rs"]
mod log;
#[path = "support/measured.rs"]
mod measured;
#[path = "support/stores/redis.rs"]
mod servers;

#[path = "session_redis/cluster.rs"]
mod cluster;
#[path = "session_redis/outages.rs"]
mod outages;
#[path = "session_redis/replicas.rs"]
mod replicas;
#[path = "session_redis/sentinel.rs"]
mod sentinel;
#[path = "session_redis/shape.rs"]
mod shape;
#[path = "session_redis/tls.rs"]
mod tls;
#[path = "session_redis/versions.rs"]
mod versions;

const MINUTE: Duration = Duration::from_secs(60);

/// The default of `sessions.timeout`.
const TIMEOUT: Duration = Duration::from_millis(100);

/// A new connection waits up to 2 s before an attempt; the rest is a margin for a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn session() -> SessionId {
    SessionId::random(&SystemRandom)
}

fn record() -> Record {
    let expires_at = SystemClock::new().wall() + MINUTE * 60;
    let idle = Some((expires_at, ClientKind::RememberedBrowser));
    Record { user_id: UserId::random(&SystemRandom), expires_at, idle }
}

fn options(url: RedisUrl) -> RedisOptions {
    RedisOptions { url, ca_file: None, key_prefix: "test:".to_owned(), timeout: TIMEOUT }
}

fn start(options: RedisOptions) -> RedisStore {
    RedisStore::start(options, Arc::new(SystemRandom), Arc::default()).expect("started")
}

fn single(server: &RedisServer) -> RedisOptions {
    options(servers::url(RedisTopology::Single(server.host())))
}

/// A connected store on this server.
async fn on(server: &RedisServer) -> RedisStore {
    let store = start(single(server));
    assert_answers(&store).await;
    store
}

async fn assert_answers(store: &RedisStore) {
    assert_eventually("it answers", SOON, async || store.check(session()).await.is_ok()).await;
}

async fn assert_away(store: &RedisStore) {
    assert_eventually("it is away", SOON, async || store.check(session()).await.is_err()).await;
}

fn key(id: SessionId) -> String {
    format!("test:s:{id}")
}

/// Retries until it succeeds: on a busy machine a response may be late, and every method is idempotent.
async fn sure<T>(what: &str, mut call: impl AsyncFnMut() -> Result<T, SessionStoreError>) -> T {
    let trying = async {
        loop {
            if let Ok(response) = call().await {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, trying).await.unwrap_or_else(|_| panic!("not {what} within {SOON:?}"))
}

async fn check(store: &RedisStore, id: SessionId) -> Lookup {
    sure("checked", async || store.check(id).await).await
}

/// Asserts that failed attempts are counted, refunded and forgotten.
async fn assert_counts(store: &RedisStore) {
    let rule = Rule::Counted {
        burst: 1,
        first: MINUTE,
        longest: MINUTE,
        max: 9,
        memory: MINUTE,
        longest_memory: MINUTE,
    };
    sure("counted", async || {
        let random: &dyn Random = &SystemRandom;
        let (account, leaky) = (BucketKey(random.bytes()), Rule::Leaky { burst: 5, leak: MINUTE, tight: 1 });
        let buckets = [rule, leaky].map(|rule| {
            let key = BucketKey(random.bytes());
            Bucket { key, rule, effect: Effect::Refuses }
        });
        let attempt = Attempt { account, buckets: buckets.to_vec() };
        for _ in 0..2 {
            assert_eq!(store.charge(&attempt).await?, Charged::Allowed(vec![true, true]));
            store.refund(&attempt).await?;
        }
        store.charge(&attempt).await?;
        assert!(matches!(store.charge(&attempt).await?, Charged::Full { bucket: 0, .. }));
        store.forget(&[account], &[attempt.buckets[1].key]).await?;
        assert_eq!(store.charge(&attempt).await?, Charged::Allowed(vec![true, true]));
        Ok(())
    })
    .await;
}

async fn fill(store: &RedisStore, id: SessionId, record: Record, keep: Duration) {
    sure("filled", async || store.fill(id, record, keep).await).await;
}

async fn revoke(store: &RedisStore, id: SessionId, keep: Duration) {
    sure("revoked", async || store.revoke(id, keep).await).await;
}

/// Error of a call that finds no connection and does not wait.
const AT_ONCE: &str = "the session store is unavailable: Redis is away";

/// Asserts that a thousand checks fail without waiting.
async fn assert_fails_at_once(store: &RedisStore) {
    let begun = Instant::now();
    for _ in 0..1000 {
        assert_eq!(store.check(session()).await.expect_err("away").to_string(), AT_ONCE);
    }
    let each = begun.elapsed() / 1000;
    measured(format_args!("a failing check takes {:.1} us", each.as_secs_f64() * 1_000_000.0));
}
