//! Connections: resolving, the check of the address, TCP, the forward proxy's tunnel, and TLS.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::is_public;
use super::error::OutboundError;
use super::target::Target;
use crate::error_chain;

/// Maximum number of addresses that are tried. A name with more has others that work.
const ADDRESSES: usize = 3;

/// A stream of bytes to a server.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection, and the task that drives the proxy's side of it.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) tasks: JoinSet<()>,
}

/// Opens connections for one user of the client.
pub(super) struct Connector {
    /// Without a trust store only this machine is reached.
    tls: Result<TlsConnector, OutboundError>,
    proxy: Arc<Matcher>,
    /// Hosts that the operator named, in lower case.
    named_hosts: BTreeSet<String>,
}

impl Connector {
    pub(super) fn new(
        tls: Result<ClientConfig, OutboundError>,
        proxy: Arc<Matcher>,
        named_hosts: BTreeSet<String>,
    ) -> Self {
        Self { tls: tls.map(|tls| TlsConnector::from(Arc::new(tls))), proxy, named_hosts }
    }

    /// Connects to a server, within `limit` for each step: TCP, the tunnel, TLS.
    pub(super) async fn connect(
        &self,
        target: &Target,
        limit: Duration,
    ) -> Result<Connection, OutboundError> {
        if !target.is_secure {
            // Only this machine, so without a proxy.
            let addresses = self.addresses(target).await?;
            if let Some(other) = addresses.iter().find(|address| !address.ip().is_loopback()) {
                return Err(OutboundError::Refused { host: target.host.clone(), address: other.ip() });
            }
            let stream = tcp(&addresses, limit).await?;
            return Ok(Connection { stream: Box::new(stream), tasks: JoinSet::new() });
        }
        let connector = self.tls.as_ref().map_err(Clone::clone)?;
        let (stream, tasks) = match self.proxy.intercept(&target.uri) {
            Some(proxy) => {
                self.check_literal(target)?;
                tunnel(&proxy, target, limit, connector).await?
            }
            None => {
                let stream: Box<dyn Stream> = Box::new(tcp(&self.addresses(target).await?, limit).await?);
                (stream, JoinSet::new())
            }
        };
        let stream = tls(connector, &target.host, stream, limit).await?;
        Ok(Connection { stream, tasks })
    }

    /// Returns the addresses to connect to: for a host that the operator named all, for others the public ones.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, OutboundError> {
        let all: Vec<SocketAddr> = match target.address() {
            Some(address) => vec![SocketAddr::new(address, target.port)],
            None => resolve(&target.host, target.port).await?,
        };
        if self.named_hosts.contains(&target.host) {
            return Ok(all);
        }
        let (public, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|address| is_public(address.ip()));
        match (public.is_empty(), others.first()) {
            (true, Some(other)) => {
                Err(OutboundError::Refused { host: target.host.clone(), address: other.ip() })
            }
            _ => Ok(public),
        }
    }

    /// Checks an address in a URL. A name is resolved by the proxy, which has rules of its own.
    fn check_literal(&self, target: &Target) -> Result<(), OutboundError> {
        let refused = |address: &IpAddr| !is_public(*address) && !self.named_hosts.contains(&target.host);
        match target.address().filter(refused) {
            Some(address) => Err(OutboundError::Refused { host: target.host.clone(), address }),
            None => Ok(()),
        }
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, OutboundError> {
    let failed = |error: io::Error| OutboundError::Unreachable(format!("{host} does not resolve: {error}"));
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await.map_err(failed)?.collect();
    if addresses.is_empty() {
        return Err(OutboundError::Unreachable(format!("{host} has no address")));
    }
    Ok(addresses)
}

/// Connects to the first address that accepts; each gets its share of the time.
async fn tcp(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, OutboundError> {
    let tried = &addresses[..addresses.len().min(ADDRESSES)];
    let share = limit / u32::try_from(tried.len().max(1)).unwrap_or(1);
    let mut last = OutboundError::Timeout;
    for address in tried {
        last = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are small, and waiting for more to send helps nobody.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => OutboundError::Unreachable(format!("{address}: {error}")),
            Err(_) => OutboundError::Timeout,
        };
    }
    Err(last)
}

async fn tls(
    connector: &TlsConnector,
    host: &str,
    stream: Box<dyn Stream>,
    limit: Duration,
) -> Result<Box<dyn Stream>, OutboundError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| OutboundError::Tls(format!("{host:?} is not a name that a certificate can have")))?;
    let stream = timeout(limit, connector.connect(name, stream)).await;
    let stream = stream.map_err(|_| OutboundError::Timeout)?.map_err(|error| tls_error(&error))?;
    Ok(Box::new(stream))
}

fn tls_error(error: &io::Error) -> OutboundError {
    match error_chain::find::<rustls::Error>(error) {
        Some(error) => OutboundError::Tls(error.to_string()),
        None => OutboundError::Unreachable(format!("during the TLS handshake: {error}")),
    }
}

/// Opens a tunnel through the forward proxy (RFC 9110 section 9.3.6).
async fn tunnel(
    proxy: &Intercept,
    target: &Target,
    limit: Duration,
    connector: &TlsConnector,
) -> Result<(Box<dyn Stream>, JoinSet<()>), OutboundError> {
    let failed = |why: String| OutboundError::Proxy(why);
    let uri = proxy.uri();
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(failed("it must be an http or https URL".to_owned())),
    };
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let mut stream: Box<dyn Stream> = Box::new(tcp(&resolve(&host, port).await?, limit).await?);
    if is_secure {
        stream = tls(connector, &host, stream, limit).await?;
    }
    let open = async {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(error.to_string()))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // The sender reports the failure.
            let _ = connection.with_upgrades().await;
        });
        let bracketed =
            if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
        let authority = format!("{bracketed}:{}", target.port);
        let mut request = http::Request::builder().method(Method::CONNECT).uri(&authority);
        request = request.header(header::HOST, &authority);
        if let Some(credentials) = proxy.basic_auth() {
            let mut credentials: HeaderValue = credentials.clone();
            credentials.set_sensitive(true);
            request = request.header(header::PROXY_AUTHORIZATION, credentials);
        }
        let request =
            request.body(Empty::<bytes::Bytes>::new()).map_err(|error| failed(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
        if response.status() != StatusCode::OK {
            return Err(failed(format!("it answers {}", response.status().as_u16())));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(error.to_string()))?;
        let stream: Box<dyn Stream> = Box::new(TokioIo::new(upgraded));
        Ok((stream, tasks))
    };
    timeout(limit, open).await.map_err(|_| OutboundError::Timeout)?
}
