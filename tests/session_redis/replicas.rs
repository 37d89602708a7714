//! Replicas accept no writes and may miss a revocation, so they are not used.

use std::time::Duration;

use doorward::session::SessionStore;

use crate::servers::{NONE, RedisServer};
use crate::{MINUTE, assert_answers, assert_away, fill, on, record, session, single, start};

async fn demote(server: &RedisServer, master: &RedisServer) {
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]).await;
}

/// Number of times a server was asked for its role.
async fn role_checks(server: &RedisServer) -> u64 {
    let stats: String = server.ask(&["INFO", "commandstats"]).await;
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_role:calls=")?.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

#[tokio::test]
async fn replica_is_not_used_until_promoted() {
    let (master, replica) = (RedisServer::start(NONE).await, RedisServer::start(NONE).await);
    demote(&replica, &master).await;
    let store = start(single(&replica));
    for _ in 0..100 {
        store.check(session()).await.expect_err("a replica");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    replica.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    assert_answers(&store).await;
}

#[tokio::test]
async fn refused_write_drops_a_demoted_master_immediately() {
    let (master, server) = (RedisServer::start(NONE).await, RedisServer::start(NONE).await);
    let (store, id) = (on(&server).await, session());
    fill(&store, id, record(), MINUTE).await;
    // Just after a role check, so that the next one is almost a second away.
    let checks = role_checks(&server).await;
    while role_checks(&server).await == checks {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    demote(&server, &master).await;
    store.revoke(id, MINUTE).await.expect_err("read-only");
    store.check(id).await.expect_err("what it says no longer counts");
}

#[tokio::test]
async fn demoted_master_without_writes_is_noticed() {
    let (master, server) = (RedisServer::start(NONE).await, RedisServer::start(NONE).await);
    let store = on(&server).await;
    demote(&server, &master).await;
    assert_away(&store).await;
}
