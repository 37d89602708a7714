//! Connection handler in front of Pingora's proxy: connection limit, PROXY protocol, TLS handshake, HTTP version.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp as _, ServerApp};
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use crate::config::Server;
use crate::error::Refusal;
use crate::gateway::connection::client_connection::{ClientConnection, Shared};
use crate::gateway::connection::limiter::ConnectionLimiter;
use crate::gateway::connection::listener::Listener;
use crate::gateway::connection::proxy_protocol;
use crate::gateway::connection::proxy_protocol::HeaderError;
use crate::gateway::connection::tls;
use crate::gateway::connection::tls::Accepted;
use crate::gateway::connection::traffic::Traffic;
use crate::gateway::request::callbacks::Gateway;
use crate::metrics::{ConnectionLimit, Metrics};
use crate::policy::forwarded::{self, UNIX_PEER};
use crate::snapshot::{Current, Snapshot};

/// The application of a public listener.
#[derive(Clone)]
pub struct Acceptor {
    listener: Listener,
    shared: Arc<Shared>,
    limiter: Arc<ConnectionLimiter>,
}

impl Acceptor {
    /// Creates the acceptor of one listener; its connections are served by `proxy`.
    pub fn new(
        listener: Listener,
        proxy: HttpProxy<Gateway>,
        traffic: Arc<Traffic>,
        metrics: Arc<Metrics>,
        current: Current,
    ) -> Self {
        let limiter = ConnectionLimiter::new(Arc::clone(&traffic), Arc::clone(&metrics));
        Self {
            listener,
            shared: Arc::new(Shared { proxy: Arc::new(proxy), traffic, metrics, current }),
            limiter,
        }
    }

    /// Returns an acceptor for another kind of listener. Both share one connection limit.
    #[must_use]
    pub fn also(&self, listener: Listener) -> Self {
        Self { listener, ..self.clone() }
    }
}

/// A connection that was accepted.
struct Incoming {
    stream: Stream,
    /// Client address: from the PROXY protocol header if there is one, otherwise the peer's.
    client: IpAddr,
    /// Refusal of every request on this connection.
    connection_refusal: Option<Refusal>,
}

impl Acceptor {
    /// Reads the PROXY protocol header, if the peer must send one. `None` if it is missing and no response can be sent.
    async fn client_of(&self, stream: Stream, snapshot: &Snapshot) -> Option<Incoming> {
        let client = peer_of(&stream);
        let server = &snapshot.server;
        if !forwarded::is_trusted(client, &server.proxy_protocol_from) {
            return Some(Incoming { stream, client, connection_refusal: None });
        }
        // The client is unknown until the header is read: only the total limit applies.
        let waiting = self.limiter.admit(None, server)?;
        let reading = proxy_protocol::read_header(stream);
        let (stream, header) = tokio::select! {
            biased;
            read = reading => read,
            () = waiting.activity().until_evicted() => return None,
            () = tokio::time::sleep(server.limits.header_deadline) => (None, Err(HeaderError::Ended)),
        };
        let error = match header {
            Ok(ends) => {
                let client = ends.map_or(client, |ends| ends.client.ip().to_canonical());
                return Some(Incoming { stream: stream?, client, connection_refusal: None });
            }
            Err(error) => error,
        };
        self.shared.metrics.requests.connections_refused.of(ConnectionLimit::ProxyProtocol).inc();
        tracing::warn!(
            reason = "proxy_protocol_invalid",
            peer = %client,
            cause = %error,
            "connection refused: its peer must send a PROXY protocol header (server.proxy_protocol_from)"
        );
        // A client that speaks cleartext HTTP gets a response with the reason.
        let can_respond = error == HeaderError::Missing && self.listener != Listener::Tls;
        let connection_refusal = Refusal::RequestInvalid(error.to_string());
        stream.filter(|_| can_respond).map(|stream| Incoming {
            stream,
            client,
            connection_refusal: Some(connection_refusal),
        })
    }
}

/// Address of the peer; [`UNIX_PEER`] for every Unix socket.
fn peer_of(stream: &Stream) -> IpAddr {
    let digest = stream.get_socket_digest();
    let address = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().map(SocketAddr::ip));
    address.map_or(UNIX_PEER, |ip| ip.to_canonical())
}

/// Address for the connection limit per client. `None` behind a Unix socket, unless its peer is a trusted proxy.
fn limited_address(client: IpAddr, server: &Server) -> Option<IpAddr> {
    Some(client)
        .filter(|&client| client != UNIX_PEER || forwarded::is_trusted(client, &server.trusted_proxies))
}

#[async_trait]
impl ServerApp for Acceptor {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let snapshot = self.shared.current.load();
        let Incoming { stream, client, mut connection_refusal } = self.client_of(stream, &snapshot).await?;
        let permit = self.limiter.admit(limited_address(client, &snapshot.server), &snapshot.server)?;
        let (stream, client_authentication) = match (self.listener, &snapshot.tls) {
            (Listener::Plain | Listener::Redirect, _) => (stream, None),
            // The handshake has the same deadline as a header.
            (Listener::Tls, Some(terms)) => {
                let deadline = snapshot.server.limits.header_deadline;
                // Boxed: otherwise its 7 KiB would be part of the connection's future for its whole life.
                let handshake = Box::pin(tls::accept(stream, terms, deadline, client, &self.shared.metrics));
                let accepted = tokio::select! {
                    biased;
                    accepted = handshake => accepted?,
                    () = permit.activity().until_evicted() => return None,
                };
                match accepted {
                    Accepted::Encrypted(stream, client_authentication) => {
                        (stream, Some(Arc::new(client_authentication)))
                    }
                    Accepted::InClear(stream) => {
                        let detail = "this address speaks TLS, and the request came in clear: write https://";
                        connection_refusal = Some(Refusal::RequestInvalid(detail.to_owned()));
                        (stream, None)
                    }
                }
            }
            // A TLS listener never falls back to cleartext.
            (Listener::Tls, None) => return None,
        };
        let connection = ClientConnection::new(
            self.listener,
            &self.shared,
            &snapshot.server,
            client_authentication,
            &permit,
            connection_refusal,
        );
        // A connection outlives its configuration snapshot.
        drop(snapshot);
        if stream.selected_alpn_proto() == Some(ALPN::H2) {
            connection.serve_http2(stream, shutdown).await;
        } else {
            connection.serve_http1(stream, shutdown).await;
        }
        None
    }

    async fn cleanup(&self) {
        // The listener is closed. Idle connections stay open until the drain ends: a request may be on its way.
        self.shared.traffic.until_closing().await;
        self.shared.proxy.http_cleanup().await;
    }
}
