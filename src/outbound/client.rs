//! The client, and the settings that all of its users share.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::connect::{Connection, Connector};
use super::error::OutboundError;
use super::request::{Request, Response};
use super::target::Target;
use crate::certificate::Authorities;
use crate::clock::Clock;
use crate::config::Env;
use crate::error_chain;
use crate::metrics::{Metrics, Outcome};

/// Maximum time for each step of connecting: TCP, a proxy's tunnel, TLS. Lost packets are repeated after one second and
/// again after three.
const CONNECT: Duration = Duration::from_secs(3);

/// Maximum size of a response header. Providers send a few KiB.
const MAX_HEADER: usize = 64 << 10;

/// Outgoing requests of one gateway: its proxies and metrics.
pub struct Outbound {
    proxy: Arc<Matcher>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Outbound {
    /// Creates the settings. `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment are honoured, in capital and
    /// small letters.
    pub fn new(env: Env<'_>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let variable = |name: &str| {
            env(name).or_else(|| env(&name.to_ascii_lowercase())).filter(|value| !value.is_empty())
        };
        let proxy = Matcher::builder()
            .https(variable("HTTPS_PROXY").unwrap_or_default())
            .all(variable("ALL_PROXY").unwrap_or_default())
            .no(variable("NO_PROXY").unwrap_or_default())
            .build();
        Self { proxy: Arc::new(proxy), clock, metrics }
    }

    /// Creates a client. `authorities` replace the system trust store. `named_hosts` are the hosts that the operator
    /// wrote, without port and brackets: they may have private addresses.
    ///
    /// # Errors
    /// [`OutboundError::Tls`] for an unusable CA. A missing trust store is an error of each https request.
    pub fn client<'a>(
        &self,
        authorities: Option<&Authorities>,
        named_hosts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Client, OutboundError> {
        let named: BTreeSet<String> = named_hosts.into_iter().map(str::to_ascii_lowercase).collect();
        let tls = match roots(authorities) {
            Ok(roots) => Ok(tls(roots)?),
            Err(error @ OutboundError::TrustStore(_)) => Err(error),
            Err(error) => return Err(error),
        };
        let connector = Connector::new(tls, Arc::clone(&self.proxy), named);
        Ok(Client {
            connector: Arc::new(connector),
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
        })
    }
}

fn roots(authorities: Option<&Authorities>) -> Result<RootCertStore, OutboundError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(authorities) => {
            for der in authorities.der() {
                let added = roots.add(CertificateDer::from(der.to_vec()));
                added.map_err(|error| OutboundError::Tls(error.to_string()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            // Stores contain old certificates that cannot be parsed: the others count.
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let why = found.errors.first().map_or("it is empty".to_owned(), ToString::to_string);
                return Err(OutboundError::TrustStore(why));
            }
        }
    }
    Ok(roots)
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, OutboundError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OutboundError::Tls(error.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Sends requests to the servers of one party. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    connector: Arc<Connector>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Client {
    /// Sends a request once, and reads the whole response. Every status is a response; see [`Response::success`].
    ///
    /// Each request has a connection of its own: one that the server has just closed would lose a request which must not
    /// be sent twice, such as a refresh.
    ///
    /// # Errors
    /// [`OutboundError`]; never [`OutboundError::Status`].
    pub async fn send(&self, request: Request) -> Result<Response, OutboundError> {
        let purpose = request.purpose;
        let begun = self.clock.monotonic();
        let result = timeout(request.timeout, self.exchange(request)).await;
        let result = result.unwrap_or(Err(OutboundError::Timeout));
        let seconds = self.clock.monotonic().since(begun).as_secs_f64();
        self.metrics.outbound.finished(purpose, outcome(&result), seconds);
        result
    }

    async fn exchange(&self, request: Request) -> Result<Response, OutboundError> {
        let target = Target::parse(&request.url)?;
        let Connection { stream, mut tasks } = self.connector.connect(&target, CONNECT).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEADER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error))?;
        // Ends with `tasks`, when the response is complete or this future is dropped.
        tasks.spawn(async move {
            // The sender reports the failure.
            let _ = connection.await;
        });
        let max_body = request.max_body;
        let response =
            sender.send_request(message(request, &target)?).await.map_err(|error| failed(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, max_body).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return OutboundError::TooLarge(max_body);
            }
            error.downcast_ref::<hyper::Error>().map_or(OutboundError::Malformed("body".to_owned()), failed)
        })?;
        Ok(Response::new(head.status.as_u16(), head.headers, body.to_bytes()))
    }
}

fn message(request: Request, target: &Target) -> Result<http::Request<Full<Bytes>>, OutboundError> {
    let bad = |_| OutboundError::BadUrl("the URL has characters that a request cannot have");
    let host =
        HeaderValue::try_from(target.authority.as_str()).map_err(|error| bad(http::Error::from(error)))?;
    let mut message = http::Request::builder()
        .method(request.method)
        .uri(target.path.as_str())
        .body(Full::new(request.body))
        .map_err(bad)?;
    let fields = message.headers_mut();
    *fields = request.fields;
    fields.insert(HOST, host);
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    // GitHub refuses requests without one.
    fields.insert(USER_AGENT, HeaderValue::from_static("doorward"));
    Ok(message)
}

/// Returns the fault of a failed exchange. The server may have closed the connection, or sent something else than HTTP.
fn failed(error: &hyper::Error) -> OutboundError {
    if let Some(error) = error_chain::find::<rustls::Error>(error) {
        return OutboundError::Tls(error.to_string());
    }
    if error.is_parse() || error.is_incomplete_message() {
        return OutboundError::Malformed(error.to_string());
    }
    match error_chain::find::<std::io::Error>(error) {
        Some(error) => OutboundError::Unreachable(error.to_string()),
        None => OutboundError::Malformed(error.to_string()),
    }
}

fn outcome(result: &Result<Response, OutboundError>) -> Outcome {
    match result {
        Ok(response) => match response.status {
            200..300 => Outcome::Ok,
            300..400 => Outcome::Redirect,
            400..500 => Outcome::ClientError,
            _ => Outcome::ServerError,
        },
        Err(error) => match error {
            OutboundError::BadUrl(_) | OutboundError::Refused { .. } => Outcome::Refused,
            OutboundError::Unreachable(_) | OutboundError::Proxy(_) => Outcome::Unreachable,
            OutboundError::Tls(_) | OutboundError::TrustStore(_) => Outcome::Tls,
            OutboundError::Timeout => Outcome::Timeout,
            OutboundError::TooLarge(_) => Outcome::TooLarge,
            OutboundError::Malformed(_) | OutboundError::Status(_) => Outcome::Malformed,
        },
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}
