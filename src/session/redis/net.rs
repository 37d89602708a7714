//! Sockets and TLS for every kind of server. A name is resolved anew for each connection.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    TlsCertificates,
};

use super::fault::Fault;
use crate::config::StoreHost;

/// Resolving, TCP, TLS and login together: 1 s is many round trips, and a dead address must not hold up the next
/// attempt, which may resolve to another.
pub(super) const CONNECT: Duration = Duration::from_secs(1);

/// A burst of requests waits in the queue of its connection, not in front of it; each place costs some 100 bytes.
const QUEUE: usize = 1024;

/// The heartbeat notices a dead peer first. These end sockets nobody watches any more.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// How connections are made.
pub(super) struct Net {
    /// Whether with TLS, and then who must have signed the certificate: `None` is whom this system trusts.
    tls: Option<Option<Vec<u8>>>,
}

impl Net {
    /// Without TLS.
    pub(super) fn plain() -> Self {
        Self { tls: None }
    }

    /// With TLS: certificate and name are verified.
    pub(super) fn tls(roots: Option<Vec<u8>>) -> Self {
        // The crate takes the process' default. That there is one already, the gateway's own, is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { tls: Some(roots) }
    }

    /// What the crate wants to know of certificates; `None` without TLS.
    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = self.tls.as_ref()?.clone();
        Some(TlsCertificates { client_tls: None, root_cert })
    }

    /// One server's address and settings.
    pub(super) fn info(&self, host: &StoreHost, login: RedisConnectionInfo) -> Result<ConnectionInfo, Fault> {
        let (name, port) = (host.name.clone(), host.port);
        let address = match self.tls {
            None => ConnectionAddr::Tcp(name, port),
            Some(_) => ConnectionAddr::TcpTls { host: name, port, insecure: false, tls_params: None },
        };
        Ok(address.into_connection_info()?.set_redis_settings(login).set_tcp_settings(tcp()))
    }

    /// A client for one server; it does not connect yet.
    pub(super) fn client(&self, host: &StoreHost, login: RedisConnectionInfo) -> Result<Client, Fault> {
        let info = self.info(host, login)?;
        Ok(match self.certificates() {
            None => Client::open(info)?,
            Some(certificates) => Client::build_with_tls(info, certificates)?,
        })
    }
}

/// Who we are to a server.
pub(super) fn login(user: Option<&str>, password: Option<&str>, database: i64) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_db(database);
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password);
    }
    login
}

/// Settings of every socket.
pub(super) fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(UNACKNOWLEDGED).with_interval(UNACKNOWLEDGED);
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive).set_user_timeout(UNACKNOWLEDGED)
}

/// Connects, logs in and selects the database.
pub(super) async fn connect(client: &Client) -> Result<MultiplexedConnection, Fault> {
    // Each command brings its own limit.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE);
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}
