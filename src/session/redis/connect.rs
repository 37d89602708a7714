//! From an address to a connection that may be published: to one server, to the master the Sentinels name, or to a
//! Cluster.

use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{ConnectionInfo, Value, cmd};

use super::RedisOptions;
use super::fault::Fault;
use super::link::Link;
use super::look::Look;
use super::net::{self, CONNECT, Net};
use super::sentinel::Sentinels;
use crate::config::{RedisTopology, StoreHost};
use crate::session::SessionStoreError;

/// Time for the answer to a heartbeat, and between two. Shorter would take a pause for death; longer would leave
/// requests waiting for a dead server.
pub(super) const BEAT: Duration = Duration::from_millis(250);

/// A few nodes are connected to one after the other.
const CONNECT_CLUSTER: Duration = Duration::from_secs(5);

/// A moved slot costs one, a node that has just been replaced another.
const CLUSTER_RETRIES: u32 = 3;

/// Why nothing can be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConnectError {
    /// A command failed, or connecting did.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// No Sentinel says where the master is.
    #[error("no Sentinel says where the master is")]
    NoMaster,
    /// The Sentinels have moved on to another.
    #[error("the Sentinels name another master")]
    OtherMaster,
    /// Lacks commands that are needed.
    #[error("Redis {0} is too old: doorward needs Redis 7.0, or Valkey 7.2, or newer")]
    TooOld(String),
}

/// Knows how to reach Redis.
pub(super) struct Connector {
    options: RedisOptions,
    net: Net,
    sentinels: Option<Sentinels>,
}

/// A connection fit to be published.
pub(super) struct Connected {
    pub(super) link: Link,
    pub(super) look: Look,
    /// The master, where Sentinels name one.
    master: Option<StoreHost>,
}

impl Connector {
    /// # Errors
    /// When it cannot even be tried: an unreadable `ca_file`.
    pub(super) fn new(options: RedisOptions) -> Result<Self, SessionStoreError> {
        let net = if options.url.tls { Net::tls(roots(&options)?) } else { Net::plain() };
        let unusable = |fault: Fault| SessionStoreError(format!("sessions.url or sessions.ca_file: {fault}"));
        // Built once here for what it may say against the certificates.
        let somewhere = StoreHost { name: "localhost".to_owned(), port: 6379 };
        net.client(&somewhere, net::login(None, None, 0)).map_err(unusable)?;
        let sentinels = match &options.url.topology {
            RedisTopology::Sentinel { hosts, master, user, password } => {
                let password = password.as_ref().map(|password| password.expose().as_str());
                Some(net.sentinels(hosts, master, user.as_deref(), password).map_err(unusable)?)
            }
            RedisTopology::Single(_) | RedisTopology::Cluster(_) => None,
        };
        Ok(Self { options, net, sentinels })
    }

    /// Connects, and looks at what is there.
    pub(super) async fn connect(&mut self) -> Result<Connected, ConnectError> {
        let (link, master) = match &self.options.url.topology {
            RedisTopology::Single(host) => (self.one(host).await?, None),
            RedisTopology::Cluster(hosts) => (Link::Cluster(self.cluster(hosts).await?), None),
            RedisTopology::Sentinel { .. } => {
                let sentinels = self.sentinels.as_mut().ok_or(ConnectError::NoMaster)?;
                let master = sentinels.master().await.ok_or(ConnectError::NoMaster)?;
                (self.one(&master).await?, Some(master))
            }
        };
        beat(&link).await?;
        is_master(&link).await?;
        let look = Look::at(&link).await?;
        if look.is_too_old() {
            return Err(ConnectError::TooOld(look.version.unwrap_or_default()));
        }
        Ok(Connected { link, look, master })
    }

    /// Whether the server is still the one to write to. A demoted master answers a heartbeat happily, and one cut off
    /// from its Sentinels still believes in itself.
    pub(super) async fn is_current(&mut self, connected: &Connected) -> Result<(), ConnectError> {
        is_master(&connected.link).await?;
        let (Some(sentinels), Some(master)) = (self.sentinels.as_mut(), &connected.master) else {
            return Ok(());
        };
        // Sentinels may be away: while they are nobody else is made master.
        match sentinels.master().await {
            Some(now) if now != *master => Err(ConnectError::OtherMaster),
            _ => Ok(()),
        }
    }

    fn info(&self, host: &StoreHost) -> Result<ConnectionInfo, Fault> {
        self.net.info(host, self.login())
    }

    fn login(&self) -> redis::RedisConnectionInfo {
        let url = &self.options.url;
        let password = url.password.as_ref().map(|password| password.expose().as_str());
        net::login(url.user.as_deref(), password, url.database)
    }

    async fn one(&self, host: &StoreHost) -> Result<Link, Fault> {
        Ok(Link::One(net::connect(&self.net.client(host, self.login())?).await?))
    }

    async fn cluster(&self, hosts: &[StoreHost]) -> Result<ClusterConnection, Fault> {
        let nodes = hosts.iter().map(|host| self.info(host)).collect::<Result<Vec<_>, _>>()?;
        let mut builder = ClusterClient::builder(nodes)
            .tcp_settings(net::tcp())
            .connection_timeout(CONNECT)
            .response_timeout(BEAT)
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(5)
            .max_retry_wait(20);
        if let Some(certificates) = self.net.certificates() {
            builder = builder.certs(certificates);
        }
        let client = builder.build()?;
        match tokio::time::timeout(CONNECT_CLUSTER, client.get_async_connection()).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(Fault::Unanswered("the Cluster was not connected to in time".to_owned())),
        }
    }
}

/// One heartbeat: in a Cluster every master must answer.
pub(super) async fn beat(link: &Link) -> Result<(), Fault> {
    link.ask::<Value>(&cmd("PING"), BEAT).await.map(drop)
}

async fn is_master(link: &Link) -> Result<(), Fault> {
    // A Cluster answers for its nodes itself.
    let Link::One(_) = link else { return Ok(()) };
    match link.ask::<Vec<Value>>(&cmd("ROLE"), BEAT).await {
        Ok(role) if matches!(role.first(), Some(Value::BulkString(name)) if name == b"master") => Ok(()),
        Ok(_) => Err(Fault::ReadOnly),
        // An ACL may forbid the question.
        Err(Fault::Refused(_)) => Ok(()),
        Err(fault) => Err(fault),
    }
}

fn roots(options: &RedisOptions) -> Result<Option<Vec<u8>>, SessionStoreError> {
    let Some(path) = &options.ca_file else { return Ok(None) };
    let unreadable = |error| SessionStoreError(format!("sessions.ca_file: {}: {error}", path.display()));
    std::fs::read(path).map(Some).map_err(unreadable)
}
