//! Faults of Redis.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Fault, Plan, Store, links};
use crate::fleet::Fleet;
use crate::servers::RedisServer;
use crate::stores::redis::Redis;

pub(super) async fn begin(plan: &Plan, fleet: &Fleet) {
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

pub(super) async fn end(plan: &Plan, fleet: &Fleet) {
    let redis = &fleet.redis;
    match plan.fault {
        Fault::RedisPaused => redis.nodes.iter().for_each(RedisServer::resume),
        Fault::RedisFlushed => redis.each_master(&["FLUSHALL"]).await,
        Fault::RedisRestored => {
            redis.nodes[0].kill();
            redis.nodes[0].spawn().await;
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
        Fault::SentinelSwitch | Fault::ClusterSwitch | Fault::ClusterMigration => {}
        _ => links::mend(Store::Redis, fleet),
    }
}

impl Redis {
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
