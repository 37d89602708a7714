//! Redis alone, with Sentinels, or as a Cluster, and the links through which each gateway reaches it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::link::{Link, Renames};
use crate::servers::{self, NONE, RedisServer};
use crate::wait::{PATIENCE, until};

async fn assert_until(what: &str, check: impl AsyncFnMut() -> bool) {
    assert!(until(PATIENCE, check).await, "not within {PATIENCE:?}: {what}");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Sentinel,
    Cluster,
}

/// All servers of one topology.
pub(crate) struct Redis {
    pub(crate) kind: Kind,
    /// Servers that hold data: those that begin as masters come first.
    pub(crate) nodes: Vec<RedisServer>,
    pub(crate) sentinels: Vec<RedisServer>,
    /// A connection from before the password was changed.
    pub(crate) kept: tokio::sync::Mutex<Option<redis::aio::MultiplexedConnection>>,
}

impl Redis {
    pub(crate) async fn start(kind: Kind) -> Self {
        let (nodes, sentinels) = match kind {
            Kind::Single => (vec![RedisServer::start(NONE).await], Vec::new()),
            Kind::Sentinel => sentinel_group().await,
            Kind::Cluster => (cluster_with_replicas().await, Vec::new()),
        };
        Self { kind, nodes, sentinels, kept: tokio::sync::Mutex::default() }
    }

    /// Links of one gateway to every server.
    pub(crate) async fn links(&self) -> RedisLinks {
        let renames = Renames::default();
        let (mut nodes, mut all) = (Vec::new(), Vec::new());
        for node in self.nodes.iter().chain(&self.sentinels) {
            let link = Link::renaming(address(node.port), Arc::clone(&renames)).await;
            all.push((node.port, link.address().port()));
            nodes.push(link);
        }
        let url = match self.kind {
            Kind::Single => format!("redis://{}/0", nodes[0].address()),
            Kind::Sentinel => {
                let hosts: Vec<String> =
                    nodes[self.nodes.len()..].iter().map(|link| link.address().to_string()).collect();
                format!("redis+sentinel://{}/main/0", hosts.join(","))
            }
            Kind::Cluster => {
                let hosts: Vec<String> = nodes.iter().map(|link| link.address().to_string()).collect();
                format!("redis+cluster://{}", hosts.join(","))
            }
        };
        if self.kind != Kind::Single {
            let text = |port: u16| {
                let text = port.to_string().into_bytes();
                assert_eq!(text.len(), 5, "ports of equal length are exchanged");
                text
            };
            let pairs = all.iter().map(|&(server, link)| (text(server), text(link)));
            renames.lock().expect("not poisoned").extend(pairs);
        }
        RedisLinks { all: nodes, url }
    }

    /// Servers that are masters now.
    pub(crate) async fn masters(&self) -> Vec<&RedisServer> {
        let mut masters = Vec::new();
        for node in &self.nodes {
            let info = node.try_ask::<String>(&["INFO", "replication"]).await;
            if info.is_ok_and(|info| info.contains("role:master")) {
                masters.push(node);
            }
        }
        masters
    }

    /// A replica that follows its master, and the master.
    pub(crate) async fn a_replica(&self) -> (&RedisServer, &RedisServer) {
        let found: Mutex<Option<(usize, usize)>> = Mutex::new(None);
        assert_until("a replica follows its master", async || {
            for (at, node) in self.nodes.iter().enumerate() {
                let Ok(info) = node.try_ask::<String>(&["INFO", "replication"]).await else { continue };
                let port =
                    info.lines().find_map(|line| line.strip_prefix("master_port:")?.trim().parse().ok());
                let master = self.nodes.iter().position(|node| Some(node.port) == port);
                if let (true, Some(master)) = (info.contains("master_link_status:up"), master) {
                    *found.lock().expect("not poisoned") = Some((at, master));
                    return true;
                }
            }
            false
        })
        .await;
        let (replica, master) = found.into_inner().expect("not poisoned").expect("found");
        (&self.nodes[replica], &self.nodes[master])
    }

    /// Waits until every server has its role: no node is down, and each replica follows.
    pub(crate) async fn until_whole(&self) {
        let masters = if self.kind == Kind::Cluster { 3 } else { 1 };
        assert_until("Redis is whole", async || {
            let mut roles = Vec::new();
            for node in &self.nodes {
                let Ok(info) = node.try_ask::<String>(&["INFO", "replication"]).await else { return false };
                if info.contains("role:slave") && !info.contains("master_link_status:up") {
                    return false;
                }
                roles.push(info.contains("role:master"));
                if self.kind == Kind::Cluster {
                    let info: String = node.try_ask(&["CLUSTER", "INFO"]).await.unwrap_or_default();
                    let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
                    if !info.contains("cluster_state:ok") || !info.contains(&known) {
                        return false;
                    }
                }
            }
            roles.iter().filter(|is_master| **is_master).count() == masters
        })
        .await;
    }
}

/// Links of one gateway.
pub(crate) struct RedisLinks {
    pub(crate) all: Vec<Link>,
    pub(crate) url: String,
}

pub(crate) fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A primary with a replica, and three Sentinels.
async fn sentinel_group() -> (Vec<RedisServer>, Vec<RedisServer>) {
    let master = RedisServer::start(NONE).await;
    let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {}", master.port)]).await;
    let linked = async || {
        let info = replica.try_ask::<String>(&["INFO", "replication"]).await;
        info.is_ok_and(|info| info.contains("link_status:up"))
    };
    assert_until("the replica follows", linked).await;
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        sentinels.push(RedisServer::sentinel(master.port, 2).await);
    }
    for sentinel in &sentinels {
        let ready = async || {
            let facts: Vec<String> =
                sentinel.try_ask(&["SENTINEL", "MASTER", "main"]).await.unwrap_or_default();
            let is =
                |name: &str, value: &str| facts.chunks(2).any(|fact| fact[0] == name && fact[1] == value);
            is("num-slaves", "1") && is("num-other-sentinels", "2")
        };
        assert_until("the Sentinels know all", ready).await;
    }
    (vec![master, replica], sentinels)
}

/// Three masters, each with a replica.
async fn cluster_with_replicas() -> Vec<RedisServer> {
    let mut nodes = servers::cluster().await;
    let mut masters = Vec::new();
    for node in &nodes {
        masters.push(node.ask::<String>(&["CLUSTER", "MYID"]).await);
    }
    for _ in 0..masters.len() {
        let replica = servers::node().await;
        let (seed, bus) = (nodes[0].port.to_string(), nodes[0].bus.to_string());
        replica.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &seed, &bus]).await;
        nodes.push(replica);
    }
    for (replica, master) in nodes[3..].iter().zip(&masters) {
        let follows = async || replica.try_ask::<()>(&["CLUSTER", "REPLICATE", master]).await.is_ok();
        assert_until("the replica knows its master", follows).await;
    }
    for node in &nodes {
        let knows = async || {
            let info: String = node.try_ask(&["CLUSTER", "INFO"]).await.unwrap_or_default();
            let all: String = node.try_ask(&["CLUSTER", "NODES"]).await.unwrap_or_default();
            info.contains("cluster_state:ok") && all.matches("slave").count() == 3
        };
        assert_until("every node knows the replicas", knows).await;
    }
    nodes
}
