//! The store uses only the master named by the Sentinels.

use std::time::Duration;

use doorward::config::RedisTopology;
use doorward::session::redis::RedisStore;
use doorward::session::{Lookup, SessionStore};
use tokio::time::Instant;

use crate::eventually::assert_eventually;
use crate::log::{capture, captured};
use crate::servers::{self, NONE, RedisServer};
use crate::{MINUTE, assert_answers, check, key, options, record, revoke, session, start};

/// Detection (2 s), agreement, election and promotion take some seconds, and as many again on a busy machine.
const FAILOVER: Duration = Duration::from_secs(30);

struct Group {
    master: RedisServer,
    replica: RedisServer,
    sentinels: Vec<RedisServer>,
}

async fn group(settings_of_the_master: &[&str]) -> Group {
    let master = RedisServer::start(settings_of_the_master).await;
    let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {}", master.port)]).await;
    let linked = async || replica.ask::<String>(&["INFO", "replication"]).await.contains("link_status:up");
    assert_eventually("the replica follows", FAILOVER, linked).await;
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        sentinels.push(RedisServer::sentinel(master.port, 2).await);
    }
    for sentinel in &sentinels {
        let ready = async || {
            let facts: Vec<String> = sentinel.ask(&["SENTINEL", "MASTER", "main"]).await;
            let is =
                |name: &str, value: &str| facts.chunks(2).any(|fact| fact[0] == name && fact[1] == value);
            is("num-slaves", "1") && is("num-other-sentinels", "2")
        };
        assert_eventually("the Sentinels know all", FAILOVER, ready).await;
    }
    Group { master, replica, sentinels }
}

impl Group {
    async fn assert_moves_to_the_replica(&self, store: &RedisStore) {
        let begun = Instant::now();
        while !writes_to(store, &self.replica).await {
            if begun.elapsed() > FAILOVER {
                let mut states = Vec::new();
                for sentinel in &self.sentinels {
                    states.push(sentinel.ask::<Vec<String>>(&["SENTINEL", "MASTER", "main"]).await.join(" "));
                }
                panic!("the replica ({}) is not used: {states:#?}\n{}", self.replica.port, captured());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Number of failovers: each raises the configuration epoch.
    async fn failovers(&self) -> String {
        let facts: Vec<String> = self.sentinels[0].ask(&["SENTINEL", "MASTER", "main"]).await;
        facts.chunks(2).find(|fact| fact[0] == "config-epoch").expect("an epoch")[1].clone()
    }

    async fn store(&self) -> RedisStore {
        let (hosts, master) = (self.sentinels.iter().map(RedisServer::host).collect(), "main".to_owned());
        let topology = RedisTopology::Sentinel { hosts, master, user: None, password: None };
        let store = start(options(servers::url(topology)));
        assert_answers(&store).await;
        store
    }
}

/// Returns true if the store writes to this server directly, and not through replication.
async fn writes_to(store: &RedisStore, server: &RedisServer) -> bool {
    let id = session();
    // A promotion closes the connections.
    let info = server.try_ask::<String>(&["INFO", "replication"]).await;
    info.is_ok_and(|info| info.contains("role:master"))
        && store.fill(id, record(), MINUTE).await.is_ok()
        && server.try_ask(&["EXISTS", &key(id)]).await.unwrap_or(false)
}

#[tokio::test]
async fn sentinel_failover_is_followed_without_returning_to_old_master() {
    capture();
    let group = group(NONE).await;
    let store = group.store().await;
    assert!(writes_to(&store, &group.master).await);
    group.master.kill();
    group.assert_moves_to_the_replica(&store).await;
    let id = session();
    revoke(&store, id, MINUTE).await;
    group.master.spawn().await;
    for _ in 0..50 {
        if let Ok(response) = store.check(id).await {
            assert_eq!(response, Lookup::Tombstone, "after failover {}", group.failovers().await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A second failover would be an error of the Sentinels on an overloaded machine.
    assert_eq!(group.failovers().await, "1");
    group.assert_moves_to_the_replica(&store).await;
}

#[tokio::test]
async fn isolated_master_is_dropped_when_sentinels_name_another() {
    // The Sentinels cannot demote it: it continues like a master cut off from them.
    capture();
    let group = group(&["--rename-command", "SLAVEOF", "", "--rename-command", "REPLICAOF", ""]).await;
    let store = group.store().await;
    assert!(writes_to(&store, &group.master).await);
    group.sentinels[0].ask::<()>(&["SENTINEL", "FAILOVER", "main"]).await;
    group.assert_moves_to_the_replica(&store).await;
    assert!(captured().contains("the Sentinels name another master"), "{}", captured());
    let role: Vec<redis::Value> = group.master.ask(&["ROLE"]).await;
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()), "the old one was never told");
}

#[tokio::test]
async fn unreachable_sentinels_do_not_interrupt_the_store() {
    capture();
    let group = group(NONE).await;
    let store = group.store().await;
    group.sentinels.iter().for_each(RedisServer::kill);
    // The Sentinels are queried every second.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    check(&store, session()).await;
    assert!(!captured().contains("Sentinel"), "{}", captured());
}

#[tokio::test]
async fn unknown_sentinel_master_name_is_reported() {
    capture();
    let sentinel = {
        let master = RedisServer::start(NONE).await;
        RedisServer::sentinel(master.port, 1).await
    };
    let (hosts, master) = (vec![sentinel.host()], "mian".to_owned());
    let topology = RedisTopology::Sentinel { hosts, master, user: None, password: None };
    let store = start(options(servers::url(topology)));
    let is_logged = async || captured().contains("no Sentinel says where the master is");
    assert_eventually("it is told", FAILOVER, is_logged).await;
    store.check(session()).await.expect_err("no master");
}
