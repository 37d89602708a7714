//! Redis away, stalled, full or refusing: nothing waits, nothing is taken for live, and it comes back by itself.

use std::sync::Arc;
use std::time::Duration;

use doorward::config::RedisUrl;
use doorward::secret::Secret;
use doorward::session::redis::RedisStore;
use doorward::session::{Lookup, SessionStore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::eventually::assert_eventually;
use crate::measured::measured;
use crate::servers::{NONE, RedisServer};
use crate::{
    MINUTE, SOON, assert_answers, assert_away, captured, key, on, record, session, single, start, text,
};

/// A thousand failing checks, none of which waits for anything.
async fn assert_fails_at_once(store: &RedisStore) {
    let begun = Instant::now();
    for _ in 0..1000 {
        store.check(session()).await.expect_err("away");
    }
    let taken = begun.elapsed();
    measured(format_args!("a failing check takes {:.1} us", taken.as_secs_f64() * 1000.0));
    // As long as one would wait for its answer.
    assert!(taken < Duration::from_millis(100), "1000 failing checks took {taken:?}");
}

#[tokio::test]
async fn it_starts_without_redis_and_connects_when_it_comes() {
    let server = RedisServer::start(NONE).await;
    server.kill();
    let store = start(single(&server));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_fails_at_once(&store).await;
    server.spawn().await;
    assert_answers(&store).await;
}

#[tokio::test]
async fn a_killed_redis_fails_every_call_at_once_and_is_back_by_itself() {
    let (lines, _guard) = captured();
    let server = RedisServer::start(NONE).await;
    let (store, id) = (on(&server).await, session());
    store.fill(id, record(), MINUTE).await.expect("filled");
    server.kill();
    assert_away(&store).await;
    assert_fails_at_once(&store).await;
    for outcome in [store.fill(id, record(), MINUTE).await, store.revoke(id, MINUTE).await] {
        outcome.expect_err("away");
    }
    server.spawn().await;
    assert_answers(&store).await;
    assert_eq!(store.check(id).await.expect("an answer"), Lookup::Absent);
    let text = text(&lines);
    assert_eq!(text.matches("session_store_back").count(), 1, "{text}");
    // Once for each way it was away: the connection ended, then none could be made.
    assert!((1..=2).contains(&text.matches("session_store_lost").count()), "{text}");
}

#[tokio::test]
async fn a_restart_from_a_dump_keeps_tombstones() {
    let server = RedisServer::start(NONE).await;
    let (store, id) = (on(&server).await, session());
    store.revoke(id, MINUTE).await.expect("revoked");
    server.ask::<()>(&["SAVE"]).await;
    server.kill();
    server.spawn().await;
    assert_answers(&store).await;
    assert_eq!(store.check(id).await.expect("an answer"), Lookup::Tombstone);
}

#[tokio::test]
async fn a_stalled_redis_costs_a_few_slow_calls_and_no_more() {
    let server = RedisServer::start(NONE).await;
    let (store, id) = (on(&server).await, session());
    let record = record();
    store.fill(id, record, MINUTE).await.expect("filled");
    server.pause();
    let mut slow = 0;
    for _ in 0..20 {
        let begun = Instant::now();
        store.check(id).await.expect_err("stalled");
        slow += usize::from(begun.elapsed() > Duration::from_millis(50));
    }
    assert!(slow <= 3, "{slow} slow calls");
    assert_fails_at_once(&store).await;
    server.resume();
    assert_answers(&store).await;
    assert_eq!(store.check(id).await.expect("an answer"), Lookup::Live(record));
}

#[tokio::test]
async fn a_stall_in_a_crowd_ends_for_all_within_one_answers_time() {
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
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_fails_at_once(&store).await;
}

#[tokio::test]
async fn a_stall_nobody_felt_is_noticed_by_the_heartbeat() {
    let server = RedisServer::start(NONE).await;
    let store = on(&server).await;
    server.pause();
    // Two heartbeats and their answers' time, and as much again for a busy machine.
    tokio::time::sleep(Duration::from_millis(2000)).await;
    assert_fails_at_once(&store).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    let (lines, _guard) = captured();
    let server = RedisServer::start(&["--requirepass", "right-horse"]).await;
    let with = |password: &str| {
        let mut options = single(&server);
        options.url = RedisUrl { password: Some(Secret::new(password.to_owned())), ..options.url };
        start(options)
    };
    let wrong = with("wrong-horse");
    let told = async || text(&lines).contains("refused the user or the password");
    assert_eventually("it is told", SOON, told).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = wrong.check(session()).await.expect_err("refused").to_string();
    let text = text(&lines);
    assert_eq!(text.matches("session_store_lost").count(), 1, "{text}");
    assert!(!text.contains("horse") && !error.contains("horse"), "{text}");
    drop(wrong);
    assert_answers(&with("right-horse")).await;
}

#[tokio::test]
async fn a_full_redis_forgets_what_it_cannot_bury() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]).await;
    let (store, id) = (on(&server).await, session());
    store.fill(id, record(), MINUTE).await.expect("filled");
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    store.fill(session(), record(), MINUTE).await.expect_err("full");
    let error = store.revoke(id, MINUTE).await.expect_err("the tombstone is owed").to_string();
    assert!(error.contains("no memory"), "{error}");
    assert_eq!(store.check(id).await.expect("an answer"), Lookup::Absent);
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    store.revoke(id, MINUTE).await.expect("room again");
    assert_eq!(store.check(id).await.expect("an answer"), Lookup::Tombstone);
}

#[tokio::test]
async fn an_evicting_redis_is_used_and_warned_of_once() {
    let (lines, _guard) = captured();
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]).await;
    let store = on(&server).await;
    for _ in 0..2 {
        server.kill();
        assert_away(&store).await;
        server.spawn().await;
        assert_answers(&store).await;
    }
    assert_eq!(text(&lines).matches("session_store_evicts").count(), 1);
}

#[tokio::test]
async fn a_redis_that_forbids_questions_about_itself_is_used() {
    let server = RedisServer::start(NONE).await;
    let acl =
        ["ACL", "SETUSER", "gate", "on", ">secret", "~test:*", "-@all", "+get", "+set", "+pexpire", "+del"];
    server.ask::<()>(&[&acl[..], &["+ping", "+multi", "+exec"]].concat()).await;
    let mut options = single(&server);
    let password = Some(Secret::new("secret".to_owned()));
    options.url = RedisUrl { user: Some("gate".to_owned()), password, ..options.url };
    let (store, id) = (start(options), session());
    assert_answers(&store).await;
    store.fill(id, record(), MINUTE).await.expect("filled");
    store.extend(id, MINUTE * 2).await.expect("extended");
    store.revoke(id, MINUTE).await.expect("revoked");
    assert_eq!(server.ask::<usize>(&["STRLEN", &key(id)]).await, 2);
}

#[tokio::test]
async fn a_dropped_store_leaves_no_connection() {
    let server = RedisServer::start(NONE).await;
    let store = on(&server).await;
    let clients = async || server.ask::<String>(&["CLIENT", "LIST"]).await.lines().count();
    assert!(clients().await >= 2);
    drop(store);
    assert_eventually("only the question's own is left", SOON, async || clients().await == 1).await;
}
