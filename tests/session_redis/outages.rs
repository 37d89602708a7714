//! Redis unreachable, stalled, full or read-only: calls do not wait, no session is wrongly live, and the store
//! reconnects.

use std::sync::Arc;
use std::time::Duration;

use doorward::config::RedisUrl;
use doorward::secret::Secret;
use doorward::session::attempts::{Attempt, Bucket, BucketKey, Effect, Rule};
use doorward::session::{Lookup, SessionStore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::eventually::assert_eventually;
use crate::log::{capture, captured};
use crate::servers::{NONE, RedisServer};
use crate::{
    AT_ONCE, MINUTE, SOON, assert_answers, assert_away, assert_counts, assert_fails_at_once, check, fill,
    key, on, record, revoke, session, single, start,
};

#[tokio::test]
async fn store_starts_without_redis_and_connects_later() {
    let server = RedisServer::start(NONE).await;
    server.kill();
    let store = start(single(&server));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_fails_at_once(&store).await;
    server.spawn().await;
    assert_answers(&store).await;
}

#[tokio::test]
async fn killed_redis_fails_calls_immediately_and_reconnects() {
    capture();
    let server = RedisServer::start(NONE).await;
    let (store, id) = (on(&server).await, session());
    fill(&store, id, record(), MINUTE).await;
    server.kill();
    assert_away(&store).await;
    assert_fails_at_once(&store).await;
    for outcome in [store.fill(id, record(), MINUTE).await, store.revoke(id, MINUTE).await] {
        outcome.expect_err("away");
    }
    server.spawn().await;
    assert_answers(&store).await;
    assert_eq!(check(&store, id).await, Lookup::Absent);
    let text = captured();
    assert_eq!(text.matches("session_store_back").count(), 1, "{text}");
    // One line per kind of outage: the connection ended, then no new one could be made.
    assert!((1..=2).contains(&text.matches("session_store_lost").count()), "{text}");
}

#[tokio::test]
async fn restart_from_a_dump_keeps_tombstones() {
    let server = RedisServer::start(NONE).await;
    let (store, id) = (on(&server).await, session());
    revoke(&store, id, MINUTE).await;
    server.ask::<()>(&["SAVE"]).await;
    server.kill();
    server.spawn().await;
    assert_answers(&store).await;
    assert_eq!(check(&store, id).await, Lookup::Tombstone);
}

#[tokio::test]
async fn stalled_redis_costs_only_a_few_slow_calls() {
    let server = RedisServer::start(NONE).await;
    let (store, id) = (on(&server).await, session());
    let record = record();
    fill(&store, id, record, MINUTE).await;
    server.pause();
    let mut slow = 0;
    for _ in 0..20 {
        let error = store.check(id).await.expect_err("stalled").to_string();
        slow += usize::from(error != AT_ONCE);
    }
    assert!(slow <= 3, "{slow} slow calls");
    assert_fails_at_once(&store).await;
    server.resume();
    assert_answers(&store).await;
    assert_eq!(check(&store, id).await, Lookup::Live(record));
}

#[tokio::test]
async fn stall_under_concurrency_ends_within_one_response_timeout() {
    let server = RedisServer::start(NONE).await;
    let store = Arc::new(on(&server).await);
    server.pause();
    let begun = Instant::now();
    let mut checks = JoinSet::new();
    for _ in 0..500 {
        let store = Arc::clone(&store);
        checks.spawn(async move { store.check(session()).await.expect_err("stalled") });
    }
    checks.join_all().await;
    // Sequentially they would take 50 s.
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_fails_at_once(&store).await;
}

/// Case X04: a stall that is nothing unusual, while the vault is away.
#[tokio::test]
async fn only_source_is_waited_for() {
    let server = RedisServer::start(NONE).await;
    let options =
        doorward::session::redis::RedisOptions { timeout: Duration::from_millis(10), ..single(&server) };
    let (store, id, record) = (Arc::new(start(options)), session(), record());
    assert_answers(&store).await;
    fill(&store, id, record, MINUTE).await;
    store.set_only_source(true);
    // The stall must be shorter than the time Redis is given, which a busy machine may not manage at once.
    for _ in 0..100 {
        server.pause();
        let begun = Instant::now();
        let checking = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.check(id).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let is_waiting = !checking.is_finished();
        server.resume();
        let found = checking.await.expect("no panic");
        if begun.elapsed() < Duration::from_millis(600) {
            assert!(is_waiting, "{found:?}");
            assert_eq!(found.expect("it was given time"), Lookup::Live(record));
            return;
        }
        assert_answers(&store).await;
    }
    panic!("no stall was short enough");
}

#[tokio::test]
async fn stall_without_traffic_is_noticed_by_the_heartbeat() {
    capture();
    let server = RedisServer::start(NONE).await;
    let store = on(&server).await;
    server.pause();
    // No calls until the outage is noticed.
    assert_eventually("it is noticed", SOON, async || captured().contains("session_store_lost")).await;
    assert_fails_at_once(&store).await;
}

#[tokio::test]
async fn wrong_password_error_does_not_show_the_password() {
    capture();
    let server = RedisServer::start(&["--requirepass", "right-horse"]).await;
    let with = |password: &str| {
        let mut options = single(&server);
        options.url = RedisUrl { password: Some(Secret::new(password.to_owned())), ..options.url };
        start(options)
    };
    let wrong = with("wrong-horse");
    let is_logged = async || captured().contains("refused the user or the password");
    assert_eventually("it is told", SOON, is_logged).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = wrong.check(session()).await.expect_err("refused").to_string();
    let text = captured();
    assert_eq!(text.matches("session_store_lost").count(), 1, "{text}");
    assert!(!text.contains("horse") && !error.contains("horse"), "{text}");
    drop(wrong);
    assert_answers(&with("right-horse")).await;
}

#[tokio::test]
async fn full_redis_deletes_records_it_cannot_tombstone() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]).await;
    let (store, id) = (on(&server).await, session());
    fill(&store, id, record(), MINUTE).await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    store.fill(session(), record(), MINUTE).await.expect_err("full");
    let error = store.revoke(id, MINUTE).await.expect_err("the tombstone is owed").to_string();
    assert!(error.contains("no memory"), "{error}");
    assert_eq!(check(&store, id).await, Lookup::Absent);
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    revoke(&store, id, MINUTE).await;
    assert_eq!(check(&store, id).await, Lookup::Tombstone);
}

#[tokio::test]
async fn evicting_redis_is_used_with_one_warning() {
    capture();
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]).await;
    let store = on(&server).await;
    for _ in 0..2 {
        server.kill();
        assert_away(&store).await;
        server.spawn().await;
        assert_answers(&store).await;
    }
    assert_eq!(captured().matches("session_store_evicts").count(), 1);
}

#[tokio::test]
async fn redis_that_forbids_info_commands_is_used() {
    let server = RedisServer::start(NONE).await;
    let acl =
        ["ACL", "SETUSER", "gate", "on", ">secret", "~test:*", "-@all", "+get", "+set", "+pexpire", "+del"];
    server.ask::<()>(&[&acl[..], &["+ping", "+multi", "+exec"]].concat()).await;
    let mut options = single(&server);
    let password = Some(Secret::new("secret".to_owned()));
    options.url = RedisUrl { user: Some("gate".to_owned()), password, ..options.url };
    let (store, id) = (start(options), session());
    assert_answers(&store).await;
    fill(&store, id, record(), MINUTE).await;
    store.extend(id, MINUTE * 2).await.expect("extended");
    revoke(&store, id, MINUTE).await;
    assert_eq!(server.ask::<usize>(&["STRLEN", &key(id)]).await, 2);
}

#[tokio::test]
async fn dropped_store_leaves_no_connection() {
    let server = RedisServer::start(NONE).await;
    let store = on(&server).await;
    let clients = async || server.ask::<String>(&["CLIENT", "LIST"]).await.lines().count();
    assert!(clients().await >= 2);
    drop(store);
    assert_eventually("only the question's own is left", SOON, async || clients().await == 1).await;
}

#[tokio::test]
async fn documented_acl_suffices() {
    // README: without EXEC and with no command beyond these.
    let server = RedisServer::start(NONE).await;
    let rights = "+get +set +pexpire +pttl +del +eval +ping +info +role +config|get";
    let words: Vec<&str> =
        ["ACL", "SETUSER", "door", "on", ">pw", "~test:*"].into_iter().chain(rights.split(' ')).collect();
    server.ask::<()>(&words).await;
    let login = |url: RedisUrl| RedisUrl {
        user: Some("door".to_owned()),
        password: Some(Secret::new("pw".to_owned())),
        ..url
    };
    let options = single(&server);
    let store = start(doorward::session::redis::RedisOptions { url: login(options.url), ..options });
    assert_answers(&store).await;
    let (id, record) = (session(), record());
    fill(&store, id, record, MINUTE).await;
    store.extend(id, MINUTE * 2).await.expect("extended");
    assert_eq!(check(&store, id).await, Lookup::Live(record));
    revoke(&store, id, MINUTE).await;
    assert_eq!(check(&store, id).await, Lookup::Tombstone);
    assert_counts(&store).await;
}

#[tokio::test]
async fn user_without_scripts_is_reported_once_and_sessions_go_on() {
    // The ACL of an earlier release.
    capture();
    let server = RedisServer::start(NONE).await;
    let rights = "+get +set +pexpire +del +ping +info +role +config|get";
    let words: Vec<&str> =
        ["ACL", "SETUSER", "old", "on", ">pw", "~test:*"].into_iter().chain(rights.split(' ')).collect();
    server.ask::<()>(&words).await;
    let options = single(&server);
    let url = RedisUrl {
        user: Some("old".to_owned()),
        password: Some(Secret::new("pw".to_owned())),
        ..options.url.clone()
    };
    let store = start(doorward::session::redis::RedisOptions { url, ..options });
    assert_answers(&store).await;
    let rule = Rule::Leaky { burst: 1, leak: MINUTE, tight: 1 };
    let bucket = Bucket { key: BucketKey([7; 16]), rule, effect: Effect::Refuses };
    let attempt = Attempt { account: BucketKey([8; 16]), buckets: vec![bucket] };
    for _ in 0..5 {
        assert!(store.charge(&attempt).await.is_err());
        assert_eq!(check(&store, session()).await, Lookup::Absent, "the connection is still there");
    }
    let text = captured();
    assert_eq!(text.matches("session_store_refuses_attempts").count(), 1, "{text}");
    assert!(text.contains("+eval"), "{text}");
}

#[tokio::test]
async fn read_only_user_is_reported_once_and_reads_continue() {
    capture();
    let server = RedisServer::start(NONE).await;
    server.ask::<()>(&["ACL", "SETUSER", "reader", "on", ">pw", "~test:*", "+get", "+ping"]).await;
    let options = single(&server);
    let url = RedisUrl {
        user: Some("reader".to_owned()),
        password: Some(Secret::new("pw".to_owned())),
        ..options.url.clone()
    };
    let store = start(doorward::session::redis::RedisOptions { url, ..options });
    assert_answers(&store).await;
    for _ in 0..5 {
        assert!(store.revoke(session(), MINUTE).await.is_err());
        assert!(store.fill(session(), record(), MINUTE).await.is_err());
        assert_eq!(check(&store, session()).await, Lookup::Absent, "the connection is still there");
    }
    let text = captured();
    assert_eq!(text.matches("session_store_refuses_writes").count(), 1, "{text}");
    assert!(text.contains("+pexpire"), "{text}");
}
