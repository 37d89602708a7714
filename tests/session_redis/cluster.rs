//! A Cluster whose slots and masters move.

use std::time::Duration;

use doorward::config::{RedisTopology, RedisUrl};
use doorward::id::SessionId;
use doorward::secret::Secret;
use doorward::session::redis::RedisStore;
use doorward::session::{Lookup, SessionStore};

use crate::eventually::assert_eventually;
use crate::servers::{self, RedisServer};
use crate::{
    AT_ONCE, MINUTE, assert_answers, assert_away, assert_counts, assert_fails_at_once, check, fill, key,
    options, record, revoke, session, start,
};

/// A node counts as dead after 2 s without contact; electing its replica takes as long again.
const FAILOVER: Duration = Duration::from_secs(30);

async fn on(nodes: &[RedisServer]) -> RedisStore {
    let hosts = nodes.iter().map(RedisServer::host).collect();
    let store = start(options(servers::url(RedisTopology::Cluster(hosts))));
    assert_answers(&store).await;
    store
}

/// A session in a slot of this node, and the slot.
async fn session_at(node: &RedisServer) -> (SessionId, String) {
    loop {
        let id = session();
        if node.try_ask::<Option<String>>(&["GET", &key(id)]).await.is_ok() {
            let slot: u16 = node.ask(&["CLUSTER", "KEYSLOT", &key(id)]).await;
            return (id, slot.to_string());
        }
    }
}

async fn id_of(node: &RedisServer) -> String {
    node.ask(&["CLUSTER", "MYID"]).await
}

#[tokio::test]
async fn sessions_are_found_during_and_after_slot_migration() {
    let nodes = servers::cluster().await;
    let store = on(&nodes).await;
    let (from, to) = (&nodes[0], &nodes[1]);
    let (id, slot) = session_at(from).await;
    let record = record();
    fill(&store, id, record, MINUTE * 3).await;
    to.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id_of(from).await]).await;
    from.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id_of(to).await]).await;
    from.ask::<()>(&["MIGRATE", "127.0.0.1", &to.port.to_string(), &key(id), "0", "5000"]).await;

    assert_eq!(check(&store, id).await, Lookup::Live(record));
    revoke(&store, id, MINUTE).await;
    assert_eq!(check(&store, id).await, Lookup::Tombstone);

    for node in [to, from] {
        node.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &id_of(to).await]).await;
    }
    assert_eq!(check(&store, id).await, Lookup::Tombstone);
    assert!(to.ask::<u64>(&["PTTL", &key(id)]).await > 170_000, "what was there would have stayed 3 minutes");
    revoke(&store, id, MINUTE * 5).await;
    assert!(to.ask::<u64>(&["PTTL", &key(id)]).await > 290_000);
}

#[tokio::test]
async fn cluster_is_down_while_a_master_is_lost() {
    let nodes = servers::cluster().await;
    let store = on(&nodes).await;
    nodes[2].kill();
    assert_away(&store).await;
    nodes[2].spawn().await;
    assert_eventually("it is back", FAILOVER, async || {
        let (id, _) = session_at(&nodes[2]).await;
        store.fill(id, record(), MINUTE).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn cluster_is_down_while_a_master_is_stalled() {
    let nodes = servers::cluster().await;
    let store = on(&nodes).await;
    let (here, _) = session_at(&nodes[0]).await;
    nodes[2].pause();
    assert_eventually("no session waits for it", FAILOVER, async || {
        store.check(here).await.is_err_and(|error| error.to_string() == AT_ONCE)
    })
    .await;
    assert_fails_at_once(&store).await;
    nodes[2].resume();
    let id = session_at(&nodes[2]).await.0;
    assert_eventually("it is back", FAILOVER, async || store.check(id).await.is_ok()).await;
}

#[tokio::test]
async fn cluster_failover_is_followed() {
    let nodes = servers::cluster().await;
    let replica = servers::node().await;
    let (seed, bus) = (nodes[1].port.to_string(), &nodes[1].bus.to_string());
    replica.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &seed, bus]).await;
    let master = id_of(&nodes[0]).await;
    let follows = async || replica.try_ask::<()>(&["CLUSTER", "REPLICATE", &master]).await.is_ok();
    assert_eventually("the replica knows its master", FAILOVER, follows).await;
    // The voting masters must know the replica, and the replica must know its master.
    let known = async || {
        let info: String = replica.ask(&["CLUSTER", "INFO"]).await;
        let mut known = info.contains("cluster_state:ok");
        for node in &nodes {
            known &= node.ask::<Vec<String>>(&["CLUSTER", "REPLICAS", &master]).await.len() == 1;
        }
        known && replica.ask::<String>(&["INFO", "replication"]).await.contains("link_status:up")
    };
    assert_eventually("the replica could take over", FAILOVER, known).await;
    let store = on(&nodes).await;
    let (id, _) = session_at(&nodes[0]).await;
    revoke(&store, id, MINUTE * 5).await;
    let copied = async || {
        let keys: Vec<String> = replica.ask(&["KEYS", "*"]).await;
        keys == [key(id)]
    };
    assert_eventually("the tombstone is copied", FAILOVER, copied).await;
    nodes[0].kill();
    assert_away(&store).await;
    let followed = async || matches!(store.check(id).await, Ok(Lookup::Tombstone));
    assert_eventually("the new master is used", FAILOVER, followed).await;
    assert!(replica.ask::<String>(&["INFO", "replication"]).await.contains("role:master"));
}

#[tokio::test]
async fn documented_acl_suffices_in_a_cluster() {
    // README: one command more than without a Cluster.
    let nodes = servers::cluster().await;
    let rights = "+get +set +pexpire +pttl +del +eval +ping +info +role +config|get +cluster";
    let words: Vec<&str> =
        ["ACL", "SETUSER", "door", "on", ">pw", "~test:*"].into_iter().chain(rights.split(' ')).collect();
    for node in &nodes {
        node.ask::<()>(&words).await;
    }
    let topology = RedisTopology::Cluster(nodes.iter().map(RedisServer::host).collect());
    let url = RedisUrl {
        user: Some("door".to_owned()),
        password: Some(Secret::new("pw".to_owned())),
        ..servers::url(topology)
    };
    let store = start(options(url));
    assert_answers(&store).await;
    for node in &nodes {
        let ((id, _), record) = (session_at(node).await, record());
        fill(&store, id, record, MINUTE).await;
        store.extend(id, MINUTE * 2).await.expect("extended");
        assert_eq!(check(&store, id).await, Lookup::Live(record));
        revoke(&store, id, MINUTE).await;
        assert_eq!(check(&store, id).await, Lookup::Tombstone);
    }
    assert_counts(&store).await;
}
