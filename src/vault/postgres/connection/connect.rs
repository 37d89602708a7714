//! Connections to Postgres: servers, encryption and timeouts.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use deadpool_postgres::Connect;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::PostgresUrl;
use crate::vault::VaultError;
use crate::vault::postgres::PostgresOptions;

/// Settings of every connection of a vault.
#[derive(Clone)]
pub(crate) struct Connector {
    /// Servers, database and credentials.
    pub(crate) config: Config,
    /// TLS settings; not used when `config` disables TLS.
    pub(crate) tls: MakeRustlsConnect,
    /// Names of the servers, for messages.
    pub(crate) server_names: Arc<str>,
}

impl Connector {
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self, VaultError> {
        let roots = if options.url.tls { roots(options.ca_file.as_deref())? } else { RootCertStore::empty() };
        // Named, because a process has no default provider when two are linked in.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| VaultError::Unavailable(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            config: config(options),
            tls: MakeRustlsConnect::new(tls),
            server_names: server_names(&options.url),
        })
    }
}

/// The connector in use for new connections. It is shared, so that a replacement applies to all of them.
#[derive(Clone)]
pub(crate) struct Connectors(Arc<RwLock<Connector>>);

impl Connectors {
    pub(crate) fn new(connector: Connector) -> Self {
        Self(Arc::new(RwLock::new(connector)))
    }

    /// Returns the connector in use.
    pub(crate) fn now(&self) -> Connector {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the connector in use.
    pub(crate) fn replace(&self, connector: Connector) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = connector;
    }
}

/// Makes the pool use the connector in use, instead of the one it was created with.
impl Connect for Connectors {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let Connector { config, tls, .. } = self.now();
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            // Statements on the connection report how it ended.
            Ok((client, tokio::spawn(async move { drop(connection.await) })))
        })
    }
}

fn server_names(url: &PostgresUrl) -> Arc<str> {
    let hosts: Vec<_> = url.hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
    format!("Postgres at {}", hosts.join(", ")).into()
}

/// Builds the configuration with setters, never from a string, so that no name or password can inject another setting.
fn config(options: &PostgresOptions) -> Config {
    let (url, timeout) = (&options.url, options.statement_timeout);
    let mut config = Config::new();
    for host in &url.hosts {
        config.host(&host.name).port(host.port);
    }
    config.user(&url.user).dbname(&url.database);
    config.application_name(url.application_name.as_deref().unwrap_or("doorward"));
    config.channel_binding(match url.channel_binding {
        crate::config::ChannelBinding::Prefer => ChannelBinding::Prefer,
        crate::config::ChannelBinding::Require => ChannelBinding::Require,
        crate::config::ChannelBinding::Disable => ChannelBinding::Disable,
    });
    if let Some(password) = &url.password {
        config.password(password.expose());
    }
    // `require` is as strict as `verify-full` here: the connector always verifies the chain and the name.
    config.ssl_mode(if url.tls { SslMode::Require } else { SslMode::Disable });
    if url.hosts.len() > 1 {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    // A host that drops packets must leave time for the others. This covers the TCP handshake only; the rest is under
    // the deadline of the caller.
    let share = u32::try_from(url.hosts.len()).unwrap_or(u32::MAX).saturating_add(1);
    config.connect_timeout((timeout / share).max(Duration::from_millis(100)));
    // TCP detection of a dead peer. It comes later than any caller's timeout and only cleans up.
    config.tcp_user_timeout(timeout * 2);
    config.keepalives_idle(Duration::from_secs(10));
    config.keepalives_interval(Duration::from_secs(5));
    config.keepalives_retries(3);
    if options.prepared {
        config.options(server_limits(timeout));
    }
    config
}

/// Timeouts enforced by the server, in case nobody is left to cancel a statement.
///
/// Twice the caller's timeout: when Postgres cancels a statement that only waits for a standby it reports success with
/// a warning, so the caller must have given up by then. A pooler rejects such options; there only the caller's deadline
/// applies.
fn server_limits(timeout: Duration) -> String {
    let (millis, lock) = ((timeout * 2).as_millis(), lock_wait(timeout).as_millis());
    format!(
        "-c statement_timeout={millis} -c lock_timeout={lock} -c idle_in_transaction_session_timeout={millis}"
    )
}

/// Maximum wait for one lock: a third, so that people who wait for a row that somebody holds get their 503 within a second
/// of the default two. Our own statements hold locks for a commit, and no more of them queue for one than the pools have
/// connections. They lock in the order of ids; a deadlock with another program's transaction is given up before Postgres
/// looks for it (`deadlock_timeout`, 1 s), as a 503.
pub(super) fn lock_wait(timeout: Duration) -> Duration {
    (timeout / 3).max(Duration::from_millis(1))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, VaultError> {
    let Some(path) = ca_file else { return system_roots() };
    let shown = path.display();
    let problem = |what: String| VaultError::Unavailable(format!("`{shown}` (vault.ca_file) {what}"));
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|error| problem(format!("cannot be read: let this user read it ({error})")))?;
    for certificate in certificates {
        let certificate =
            certificate.map_err(|error| problem(format!("is not a PEM file of certificates: {error}")))?;
        roots.add(certificate).map_err(|error| problem(format!("holds an unusable certificate: {error}")))?;
    }
    if roots.is_empty() {
        return Err(problem("holds no certificate: write the one that signed the server's, as PEM".into()));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, VaultError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let text =
            "this system has no trusted certificates: install them (ca-certificates) or set vault.ca_file";
        return Err(VaultError::Unavailable(text.into()));
    }
    Ok(roots)
}
