//! Faults of Redis.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Fault, Held, Plan, Store, links};
use crate::fleet::Fleet;
use crate::servers::{NONE, RedisServer};
use crate::stores::redis::{Redis, address};
use crate::wait::{PATIENCE, until};

pub(super) async fn begin(plan: &Plan, fleet: &Fleet, held: &mut Held) {
    let redis = &fleet.redis;
    if links::begin(plan.fault, Store::Redis, fleet) {
        return;
    }
    match plan.fault {
        Fault::RedisKilled => redis.nodes.iter().for_each(RedisServer::kill),
        Fault::RedisPaused => redis.nodes.iter().for_each(RedisServer::pause),
        Fault::RedisFlushed => redis.each_master(&["FLUSHALL"]).await,
        // Revocations from here on are missing in the copy.
        Fault::RedisRestored => redis.each_master(&["SAVE"]).await,
        Fault::RedisFull => redis.limit_memory("noeviction").await,
        Fault::RedisEvictsLru => redis.limit_memory("allkeys-lru").await,
        Fault::RedisEvictsRandom => redis.limit_memory("allkeys-random").await,
        Fault::RedisEvictsTtl => redis.limit_memory("volatile-ttl").await,
        // Replica of a server that does not exist.
        Fault::RedisReadOnly => redis.each_master(&["REPLICAOF", "127.0.0.1", "1"]).await,
        Fault::RedisWrongPassword => redis.change_password().await,
        Fault::RedisRightLost => redis.each_node(&["ACL", "SETUSER", "default", "-set"]).await,
        Fault::RedisLoading => redis.load_slowly().await,
        // It may know sessions that the other has revoked.
        Fault::TwoServers => {
            let second = RedisServer::start(NONE).await;
            lead(plan, fleet, second.port).await;
            held.redis = Some(second);
        }
        Fault::OldPrimaryBack => redis.replace_stalled_primary().await,
        Fault::NodeForgotten => redis.forget_a_master().await,
        Fault::SentinelFailover => redis.masters().await[0].kill(),
        Fault::SentinelSwitch => {
            redis.sentinels[0].ask::<()>(&["SENTINEL", "FAILOVER", "main"]).await;
        }
        Fault::FailoverLosesWrites => redis.fail_over_without_copying().await,
        Fault::ClusterFailover => redis.a_replica().await.1.kill(),
        Fault::ClusterSwitch => redis.a_replica().await.0.ask::<()>(&["CLUSTER", "FAILOVER"]).await,
        Fault::ClusterMigration => redis.migrate_slots().await,
        other => unreachable!("{other:?} is no fault of Redis"),
    }
}

pub(super) async fn end(plan: &Plan, fleet: &Fleet, held: &mut Held) {
    let redis = &fleet.redis;
    match plan.fault {
        Fault::RedisPaused => redis.nodes.iter().for_each(RedisServer::resume),
        Fault::RedisFlushed => redis.each_master(&["FLUSHALL"]).await,
        Fault::RedisRestored => {
            redis.nodes[0].kill();
            redis.nodes[0].spawn().await;
            forget_copy(&redis.nodes[0]);
        }
        Fault::RedisFull | Fault::RedisEvictsLru | Fault::RedisEvictsRandom | Fault::RedisEvictsTtl => {
            redis.each_node(&["CONFIG", "SET", "maxmemory", "0"]).await;
        }
        Fault::RedisReadOnly => redis.nodes[0].ask::<()>(&["REPLICAOF", "NO", "ONE"]).await,
        Fault::RedisWrongPassword => redis.restore_password().await,
        Fault::RedisRightLost => redis.each_node(&["ACL", "SETUSER", "default", "+@all"]).await,
        Fault::RedisKilled
        | Fault::SentinelFailover
        | Fault::FailoverLosesWrites
        | Fault::ClusterFailover => {
            redis.start_killed().await;
        }
        Fault::RedisLoading => redis.end_loading().await,
        Fault::TwoServers => {
            lead(plan, fleet, redis.nodes[0].port).await;
            held.redis = None;
        }
        Fault::NodeForgotten => redis.introduce_all().await,
        Fault::SentinelSwitch | Fault::OldPrimaryBack | Fault::ClusterSwitch | Fault::ClusterMigration => {}
        _ => links::mend(Store::Redis, fleet),
    }
}

/// Leads the gateway concerned to another server.
async fn lead(plan: &Plan, fleet: &Fleet, port: u16) {
    for link in &fleet.replicas[plan.gateway].redis.all {
        link.lead_to(address(port)).await;
    }
}

/// Removes what the server saved, so that it is empty after the next start.
fn forget_copy(node: &RedisServer) {
    std::fs::remove_file(node.folder.join("dump.rdb")).expect("a copy");
}

/// Keys that take their time when they are loaded.
const FILLERS: &str = "4000";

impl Redis {
    /// Restarts it with so many keys that loading them takes some seconds.
    async fn load_slowly(&self) {
        let node = &self.nodes[0];
        node.ask::<()>(&[
            "EVAL",
            "for i = 1, ARGV[1] do redis.call('SET', 'filler:' .. i, i) end",
            "0",
            FILLERS,
        ])
        .await;
        node.ask::<()>(&["SAVE"]).await;
        node.kill();
        node.launch(&["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"]);
    }

    async fn end_loading(&self) {
        let node = &self.nodes[0];
        node.until_ready().await;
        forget_copy(node);
        node.ask::<()>(&[
            "EVAL",
            "for i = 1, ARGV[1] do redis.call('DEL', 'filler:' .. i) end",
            "0",
            FILLERS,
        ])
        .await;
    }

    /// Stalls the primary until another one is chosen, and has it go on: it does not know yet.
    async fn replace_stalled_primary(&self) {
        let (replica, master) = self.a_replica().await;
        master.pause();
        let is_chosen = until(PATIENCE, async || {
            let info = replica.try_ask::<String>(&["INFO", "replication"]).await;
            info.is_ok_and(|info| info.contains("role:master"))
        });
        assert!(is_chosen.await, "the Sentinels choose no primary");
        master.resume();
    }

    /// Makes every node forget a master that goes on; only its replica will not.
    async fn forget_a_master(&self) {
        let master = self.masters().await[0];
        let id: String = master.ask(&["CLUSTER", "MYID"]).await;
        let mut forgotten = 0;
        for node in self.nodes.iter().filter(|node| node.port != master.port) {
            forgotten += usize::from(node.try_ask::<()>(&["CLUSTER", "FORGET", &id]).await.is_ok());
        }
        assert_eq!(forgotten, self.nodes.len() - 2);
    }

    /// Introduces every node to every other one.
    async fn introduce_all(&self) {
        for node in &self.nodes {
            for other in self.nodes.iter().filter(|other| other.port != node.port) {
                let (port, bus) = (other.port.to_string(), other.bus.to_string());
                node.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
            }
        }
    }

    async fn each_master(&self, words: &[&str]) {
        for master in self.masters().await {
            master.ask::<()>(words).await;
        }
    }

    async fn each_node(&self, words: &[&str]) {
        for node in &self.nodes {
            node.ask::<()>(words).await;
        }
    }

    /// Leaves no memory: the server itself needs more.
    async fn limit_memory(&self, policy: &str) {
        self.each_node(&["CONFIG", "SET", "maxmemory-policy", policy]).await;
        self.each_node(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    }

    /// Sets another password and ends every connection.
    async fn change_password(&self) {
        let node = &self.nodes[0];
        let mut kept = node.connection().await.expect("connected");
        redis::cmd("CONFIG")
            .arg(&["SET", "requirepass", "another"])
            .query_async::<()>(&mut kept)
            .await
            .expect("another password");
        redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
            .query_async::<()>(&mut kept)
            .await
            .expect("all are cut");
        *self.kept.lock().await = Some(kept);
    }

    async fn restore_password(&self) {
        let mut kept = self.kept.lock().await.take().expect("kept");
        redis::cmd("CONFIG")
            .arg(&["SET", "requirepass", ""])
            .query_async::<()>(&mut kept)
            .await
            .expect("no password");
    }

    /// Kills the primary while its replica is stalled, so that what was written meanwhile is lost.
    async fn fail_over_without_copying(&self) {
        let (replica, master) = self.a_replica().await;
        replica.pause();
        // Workers have sessions revoked meanwhile.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        master.kill();
        replica.resume();
    }

    /// Starts every server that was killed.
    async fn start_killed(&self) {
        for node in &self.nodes {
            let is_dead = node.process.lock().expect("no panic").is_none();
            if is_dead {
                node.spawn().await;
            }
        }
    }

    /// Moves slots with keys from one master to another, as `redis-cli --cluster reshard` does.
    async fn migrate_slots(&self) {
        const SLOTS: usize = 60;
        let masters = self.masters().await;
        let (from, to) = (masters[0], masters[1]);
        let mut ids = Vec::new();
        for node in [from, to] {
            ids.push(node.ask::<String>(&["CLUSTER", "MYID"]).await);
        }
        let keys: Vec<String> = from.ask(&["KEYS", "*"]).await;
        let mut slots = BTreeSet::new();
        for key in keys {
            slots.insert(from.ask::<u16>(&["CLUSTER", "KEYSLOT", &key]).await.to_string());
        }
        for slot in slots.iter().take(SLOTS) {
            to.ask::<()>(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &ids[0]]).await;
            from.ask::<()>(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &ids[1]]).await;
            loop {
                let keys: Vec<String> = from.ask(&["CLUSTER", "GETKEYSINSLOT", slot, "100"]).await;
                if keys.is_empty() {
                    break;
                }
                for key in keys {
                    let port = to.port.to_string();
                    // It may have expired meanwhile.
                    let _: String =
                        from.ask(&["MIGRATE", "127.0.0.1", &port, &key, "0", "5000", "REPLACE"]).await;
                }
            }
            for node in [to, from] {
                node.ask::<()>(&["CLUSTER", "SETSLOT", slot, "NODE", &ids[1]]).await;
            }
        }
        self.until_whole().await;
    }
}
