//! Sockets and TLS for every kind of server. Names are resolved again for each connection.

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

/// Maximum time for resolving, TCP, TLS and login together. 1 s is many round trips, and a dead address must not delay
/// the next attempt, which may resolve to another.
pub(super) const CONNECT: Duration = Duration::from_secs(1);

/// Length of a connection's command queue, which absorbs bursts; each entry costs some 100 bytes.
const QUEUE: usize = 1024;

/// Keep-alive and user timeout of sockets. The heartbeat notices a dead peer first; these close sockets that are no
/// longer watched.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// Connection settings.
pub(super) struct Net {
    /// `None`: without TLS. The inner value: CA certificates (PEM), or `None` for the system trust store.
    tls: Option<Option<Vec<u8>>>,
}

impl Net {
    /// Settings without TLS.
    pub(super) fn plain() -> Self {
        Self { tls: None }
    }

    /// Settings with TLS: certificate and name are verified.
    pub(super) fn tls(roots: Option<Vec<u8>>) -> Self {
        // The redis crate uses the process default. If the gateway has installed one already, that one is equally good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { tls: Some(roots) }
    }

    /// Returns the certificates for the redis crate; `None` without TLS.
    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = self.tls.as_ref()?.clone();
        Some(TlsCertificates { client_tls: None, root_cert })
    }

    /// Returns the address and settings of one server.
    pub(super) fn info(&self, host: &StoreHost, login: RedisConnectionInfo) -> Result<ConnectionInfo, Fault> {
        let (name, port) = (host.name.clone(), host.port);
        let address = match self.tls {
            None => ConnectionAddr::Tcp(name, port),
            Some(_) => ConnectionAddr::TcpTls { host: name, port, insecure: false, tls_params: None },
        };
        Ok(address.into_connection_info()?.set_redis_settings(login).set_tcp_settings(tcp()))
    }

    /// Creates a client for one server, without connecting.
    pub(super) fn client(&self, host: &StoreHost, login: RedisConnectionInfo) -> Result<Client, Fault> {
        let info = self.info(host, login)?;
        Ok(match self.certificates() {
            None => Client::open(info)?,
            Some(certificates) => Client::build_with_tls(info, certificates)?,
        })
    }
}

/// Returns the login settings.
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

/// Returns the settings of every socket.
pub(super) fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(UNACKNOWLEDGED).with_interval(UNACKNOWLEDGED);
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive).set_user_timeout(UNACKNOWLEDGED)
}

/// Connects, logs in and selects the database.
pub(super) async fn connect(client: &Client) -> Result<MultiplexedConnection, Fault> {
    // Each command has its own timeout.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE);
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}
