//! Connecting to one server, to the master that the Sentinels name, or to a Cluster, and checking that the connection
//! may be published.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{ConnectionInfo, Value, cmd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::RedisOptions;
use super::fault::Fault;
use super::link::Link;
use super::net::{self, CONNECT, Net};
use super::patience;
use super::sentinel::Sentinels;
use super::server_info::ServerInfo;
use crate::config::{RedisTopology, StoreHost};
use crate::session::SessionStoreError;

/// Timeout of a heartbeat, and interval between two. Shorter would mistake a pause for a failure; longer would leave
/// requests waiting for a dead server.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(250);

/// Maximum time for connecting to a Cluster: a few nodes are connected one after the other.
const CONNECT_CLUSTER: Duration = Duration::from_secs(5);

/// Maximum retries in a Cluster: a moved slot costs one, a node that has just been replaced another.
const CLUSTER_RETRIES: u32 = 3;

/// Reason why no connection can be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConnectError {
    /// A command or a connection failed.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// No Sentinel names a master.
    #[error("no Sentinel says where the master is")]
    NoMaster,
    /// The Sentinels name another master.
    #[error("the Sentinels name another master")]
    OtherMaster,
    /// The Cluster reports a failed state.
    #[error("the Cluster is down (cluster_state:fail)")]
    ClusterDown,
    /// The server lacks required commands.
    #[error("Redis {0} is too old: doorward needs Redis 7.0, or Valkey 7.2, or newer")]
    TooOld(String),
}

/// Connects to Redis.
pub(super) struct Connector {
    options: RedisOptions,
    net: Net,
    sentinels: Option<Sentinels>,
    /// Receives a replacement connector.
    next: Arc<Next>,
}

/// Slot for a connector with other credentials.
#[derive(Default)]
pub(super) struct Next(Mutex<Option<Connector>>);

impl Next {
    pub(super) fn set(&self, connector: Connector) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(connector);
    }

    fn take(&self) -> Option<Connector> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A connection that may be published.
pub(super) struct Connected {
    pub(super) link: Link,
    pub(super) info: ServerInfo,
    /// The master that the Sentinels named, if there are any.
    master: Option<StoreHost>,
}

impl Connector {
    /// # Errors
    /// When connecting is impossible: an unreadable `ca_file`.
    pub(super) fn new(options: RedisOptions) -> Result<Self, SessionStoreError> {
        let net = if options.url.tls { Net::tls(roots(&options)?) } else { Net::plain() };
        let unusable = |fault: Fault| SessionStoreError(format!("sessions.url or sessions.ca_file: {fault}"));
        // Built once to check the certificates.
        let any_host = StoreHost { name: "localhost".to_owned(), port: 6379 };
        net.client(&any_host, net::login(None, None, 0)).map_err(unusable)?;
        let sentinels = match &options.url.topology {
            RedisTopology::Sentinel { hosts, master, user, password } => {
                let password = password.as_ref().map(|password| password.expose().as_str());
                Some(net.sentinels(hosts, master, user.as_deref(), password).map_err(unusable)?)
            }
            RedisTopology::Single(_) | RedisTopology::Cluster(_) => None,
        };
        Ok(Self { options, net, sentinels, next: Arc::default() })
    }

    /// Uses `next` as the slot for a replacement.
    pub(super) fn with_next(self, next: Arc<Next>) -> Self {
        Self { next, ..self }
    }

    /// Replaces this connector, if there is a replacement.
    fn renew(&mut self) {
        if let Some(mut connector) = self.next.take() {
            if let (Some(new), Some(old)) = (&mut connector.sentinels, &self.sentinels) {
                new.copy_epoch_from(old);
            }
            *self = connector.with_next(Arc::clone(&self.next));
        }
    }

    /// Returns the names of the servers, for messages.
    pub(super) fn servers(&self) -> String {
        let hosts = match &self.options.url.topology {
            RedisTopology::Single(host) => std::slice::from_ref(host),
            RedisTopology::Sentinel { hosts, .. } | RedisTopology::Cluster(hosts) => hosts,
        };
        let names: Vec<_> = hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
        names.join(", ")
    }

    /// Connects and checks the server.
    pub(super) async fn connect(&mut self) -> Result<Connected, ConnectError> {
        self.renew();
        let (link, master) = match &self.options.url.topology {
            RedisTopology::Single(host) => (self.one(host).await?, None),
            RedisTopology::Cluster(hosts) => (Link::Cluster(self.cluster(hosts).await?), None),
            RedisTopology::Sentinel { .. } => {
                let sentinels = self.sentinels.as_mut().ok_or(ConnectError::NoMaster)?;
                let master = sentinels.master().await.ok_or(ConnectError::NoMaster)?;
                (self.one(&master).await?, Some(master))
            }
        };
        heartbeat(&link).await?;
        takes_writes(&link).await?;
        let info = ServerInfo::at(&link).await?;
        if info.is_too_old() {
            return Err(ConnectError::TooOld(info.version.unwrap_or_default()));
        }
        Ok(Connected { link, info, master })
    }

    /// Checks that the server is still the master. A demoted master answers heartbeats, and one cut off from its
    /// Sentinels still considers itself the master.
    pub(super) async fn is_current(&mut self, connected: &Connected) -> Result<(), ConnectError> {
        // New credentials also apply to the Sentinels.
        self.renew();
        takes_writes(&connected.link).await?;
        let (Some(sentinels), Some(master)) = (self.sentinels.as_mut(), &connected.master) else {
            return Ok(());
        };
        // Sentinels may be away: meanwhile no other master is elected.
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
            .response_timeout(patience::longest(self.options.timeout))
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(5)
            .max_retry_wait(20);
        if let Some(certificates) = self.net.certificates() {
            builder = builder.certs(certificates);
        }
        let client = builder.build()?;
        match tokio::time::timeout(CONNECT_CLUSTER, client.get_async_connection()).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(Fault::Unanswered("the Cluster was not connected to in time".into())),
        }
    }
}

/// Sends one heartbeat. In a Cluster every master must answer.
pub(super) async fn heartbeat(link: &Link) -> Result<(), Fault> {
    link.query::<Value>(&cmd("PING"), HEARTBEAT).await.map(drop)
}

/// Checks that one server is a master, or that a Cluster is complete; otherwise its commands would be retried in vain.
async fn takes_writes(link: &Link) -> Result<(), ConnectError> {
    let writable = match link {
        Link::One(_) => {
            let role = link.query::<Vec<Value>>(&cmd("ROLE"), HEARTBEAT).await;
            role.map(|role| matches!(role.first(), Some(Value::BulkString(name)) if name == b"master"))
        }
        Link::Cluster(_) => {
            let mut state = cmd("CLUSTER");
            state.arg("INFO");
            link.query_any::<String>(state, HEARTBEAT).await.map(|info| !info.contains("cluster_state:fail"))
        }
    };
    match (writable, link) {
        // An ACL may forbid the command.
        (Ok(true) | Err(Fault::Refused(_)), _) => Ok(()),
        (Ok(false), Link::One(_)) => Err(Fault::ReadOnly.into()),
        (Ok(false), Link::Cluster(_)) => Err(ConnectError::ClusterDown),
        (Err(fault), _) => Err(fault.into()),
    }
}

fn roots(options: &RedisOptions) -> Result<Option<Vec<u8>>, SessionStoreError> {
    let Some(path) = &options.ca_file else { return Ok(None) };
    let unreadable = |error| SessionStoreError(format!("sessions.ca_file: {}: {error}", path.display()));
    let pem = std::fs::read(path).map_err(unreadable)?;
    if CertificateDer::pem_slice_iter(&pem).next().is_none() {
        return Err(SessionStoreError(format!("sessions.ca_file: {}: no certificate in it", path.display())));
    }
    Ok(Some(pem))
}
