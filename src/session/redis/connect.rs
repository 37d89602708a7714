//! From an address to a connection that may be published: to one server, to the master the Sentinels name, or to a
//! Cluster.

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
    /// The nodes of a Cluster do not hold together.
    #[error("the Cluster is down (cluster_state:fail)")]
    ClusterDown,
    /// Lacks commands that are needed.
    #[error("Redis {0} is too old: doorward needs Redis 7.0, or Valkey 7.2, or newer")]
    TooOld(String),
}

/// Knows how to reach Redis.
pub(super) struct Connector {
    options: RedisOptions,
    net: Net,
    sentinels: Option<Sentinels>,
    /// Where another one is put that is to be used instead.
    next: Arc<Next>,
}

/// A place for a connector that has other credentials.
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
        Ok(Self { options, net, sentinels, next: Arc::default() })
    }

    /// Looks into `next` each time before it does anything.
    pub(super) fn replaced_by(self, next: Arc<Next>) -> Self {
        Self { next, ..self }
    }

    /// Takes the place of this one, if there is another.
    fn renew(&mut self) {
        if let Some(mut connector) = self.next.take() {
            if let (Some(new), Some(old)) = (&mut connector.sentinels, &self.sentinels) {
                new.knows_as_much_as(old);
            }
            *self = connector.replaced_by(Arc::clone(&self.next));
        }
    }

    /// The servers by name, for people.
    pub(super) fn place(&self) -> String {
        let hosts = match &self.options.url.topology {
            RedisTopology::Single(host) => std::slice::from_ref(host),
            RedisTopology::Sentinel { hosts, .. } | RedisTopology::Cluster(hosts) => hosts,
        };
        let names: Vec<_> = hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
        names.join(", ")
    }

    /// Connects, and looks at what is there.
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
        beat(&link).await?;
        takes_writes(&link).await?;
        let look = Look::at(&link).await?;
        if look.is_too_old() {
            return Err(ConnectError::TooOld(look.version.unwrap_or_default()));
        }
        Ok(Connected { link, look, master })
    }

    /// Whether the server is still the one to write to. A demoted master answers a heartbeat happily, and one cut off
    /// from its Sentinels still believes in itself.
    pub(super) async fn is_current(&mut self, connected: &Connected) -> Result<(), ConnectError> {
        // The Sentinels are asked with the new password, too.
        self.renew();
        takes_writes(&connected.link).await?;
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

/// One server must be a master; a Cluster must be whole, or its commands are retried for nothing.
async fn takes_writes(link: &Link) -> Result<(), ConnectError> {
    let writable = match link {
        Link::One(_) => {
            let role = link.ask::<Vec<Value>>(&cmd("ROLE"), BEAT).await;
            role.map(|role| matches!(role.first(), Some(Value::BulkString(name)) if name == b"master"))
        }
        Link::Cluster(_) => {
            let mut state = cmd("CLUSTER");
            state.arg("INFO");
            link.ask_any::<String>(state, BEAT).await.map(|info| !info.contains("cluster_state:fail"))
        }
    };
    match (writable, link) {
        // An ACL may forbid the question.
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
