//! Keys in Redis: format, lifetime and memory.

use std::sync::Arc;
use std::time::Duration;

use doorward::id::SessionId;
use doorward::session::attempts::{Attempt, Bucket, BucketKey, Effect, Rule};
use doorward::session::{Lookup, SessionStore};
use tokio::task::JoinSet;

use crate::measured::measured;
use crate::servers::{NONE, RedisServer};
use crate::{MINUTE, assert_answers, check, fill, key, on, record, revoke, session, single, start};

#[tokio::test]
async fn session_is_one_fixed_key_and_one_allocation() {
    let server = RedisServer::start(NONE).await;
    let (store, id) = (on(&server).await, session());
    fill(&store, id, record(), MINUTE).await;
    assert_eq!(server.ask::<Vec<String>>(&["KEYS", "*"]).await, [key(id)]);
    assert!(server.ask::<usize>(&["STRLEN", &key(id)]).await <= 44);
    assert_eq!(server.ask::<String>(&["OBJECT", "ENCODING", &key(id)]).await, "embstr");
    revoke(&store, id, MINUTE).await;
    assert_eq!(server.ask::<Vec<String>>(&["KEYS", "*"]).await, [key(id)]);
    assert_eq!(server.ask::<usize>(&["STRLEN", &key(id)]).await, 2);
}

#[tokio::test]
async fn attempt_is_one_script_and_every_bucket_ends() {
    let server = RedisServer::start(NONE).await;
    let store = on(&server).await;
    let key = |number| BucketKey([number; 16]);
    let bucket = |number, rule| Bucket { key: key(number), rule, effect: Effect::Refuses };
    let leaky = Rule::Leaky { burst: 5, leak: MINUTE, tight: 1 };
    let counted = Rule::Counted {
        burst: 5,
        first: MINUTE,
        longest: MINUTE,
        max: 9,
        memory: MINUTE * 60,
        longest_memory: MINUTE * 60,
    };
    let attempt = Attempt { account: key(0), buckets: vec![bucket(1, leaky), bucket(2, counted)] };
    let calls = async || {
        let stats: String = server.ask(&["INFO", "commandstats"]).await;
        let eval = stats.lines().find_map(|line| line.strip_prefix("cmdstat_eval:calls="));
        eval.and_then(|rest| rest.split(',').next()?.parse::<u32>().ok()).unwrap_or(0)
    };
    store.charge(&attempt).await.expect("charged");
    assert_eq!(calls().await, 1);
    store.charge(&attempt).await.expect("charged");
    store.refund(&attempt).await.expect("refunded");
    assert_eq!(calls().await, 3);
    let mut keys: Vec<String> = server.ask(&["KEYS", "*"]).await;
    keys.sort_unstable();
    assert_eq!(keys, ["test:{t}:AQEBAQEBAQEBAQEBAQEBAQ", "test:{t}:AgICAgICAgICAgICAgICAg"]);
    for (key, most) in keys.iter().zip([60_000, 3_600_000]) {
        let left = server.ask::<u64>(&["PTTL", key]).await;
        assert!((most - 30_000..=most).contains(&left), "{key}: {left}");
        let bytes = server.ask::<usize>(&["MEMORY", "USAGE", key]).await;
        assert!(bytes <= 128, "{key}: {bytes} bytes");
    }
}

#[tokio::test]
async fn record_expiry_is_jittered_and_tombstone_expiry_exact() {
    let server = RedisServer::start(NONE).await;
    let store = on(&server).await;
    let keep = MINUTE * 15;
    let mut spans = Vec::new();
    for _ in 0..100 {
        let id = session();
        fill(&store, id, record(), keep).await;
        spans.push(server.ask::<u64>(&["PTTL", &key(id)]).await);
    }
    spans.sort_unstable();
    // Queried within 10 s of the write, on a busy machine.
    let least = keep - Duration::from_secs(10);
    let (least, most) = (least.as_millis(), (keep + MINUTE).as_millis());
    assert!(spans.iter().all(|span| (least..=most).contains(&u128::from(*span))), "{spans:?}");
    assert!(
        spans[99] - spans[0] > 30_000,
        "100 draws of a minute spread over more than half of it: {spans:?}"
    );
    let short = session();
    fill(&store, short, record(), Duration::from_secs(30)).await;
    assert!(server.ask::<u64>(&["PTTL", &key(short)]).await <= 33_000);

    let id = session();
    revoke(&store, id, keep).await;
    let span = u128::from(server.ask::<u64>(&["PTTL", &key(id)]).await);
    assert!((least..=keep.as_millis()).contains(&span), "{span}");
}

#[tokio::test]
async fn record_of_another_version_is_absent_and_revocable() {
    let server = RedisServer::start(NONE).await;
    let store = on(&server).await;
    for value in ["\u{2}L0123456789abcdef01234567", "\u{1}X", "", "R"] {
        let id = session();
        server.ask::<()>(&["SET", &key(id), value, "PX", "60000"]).await;
        assert_eq!(check(&store, id).await, Lookup::Absent, "{value:?}");
        revoke(&store, id, MINUTE).await;
        assert_eq!(check(&store, id).await, Lookup::Tombstone, "{value:?}");
    }
}

/// As many as an unoptimised build writes in some seconds.
const SESSIONS: usize = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_costs_at_most_200_bytes() {
    let server = RedisServer::start(NONE).await;
    let store = Arc::new(on(&server).await);
    let used = async || {
        let info: String = server.ask(&["INFO", "memory"]).await;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a figure");
        line.trim().parse::<usize>().expect("a number")
    };
    let before = used().await;
    let mut filling = JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        filling.spawn(async move {
            for _ in 0..SESSIONS / 50 {
                let id = session();
                while store.fill(id, record(), MINUTE * 15).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }
    filling.join_all().await;
    assert_eq!(server.ask::<usize>(&["DBSIZE"]).await, SESSIONS);
    let each = (used().await - before) as f64 / SESSIONS as f64;
    measured(format_args!("{each:.0} bytes of Redis' memory per session, {SESSIONS} sessions"));
    assert!(each <= 200.0, "{each}");
}

#[tokio::test]
async fn prefix_separates_two_gateways() {
    let server = RedisServer::start(NONE).await;
    let mut other = single(&server);
    other.key_prefix = "other:".to_owned();
    let (store, other) = (on(&server).await, start(other));
    assert_answers(&other).await;
    let id: SessionId = session();
    fill(&store, id, record(), MINUTE).await;
    assert_eq!(check(&other, id).await, Lookup::Absent);
}
