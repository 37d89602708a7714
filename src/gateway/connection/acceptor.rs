//! The gate in front of Pingora's proxy: a place for each connection, the TLS handshake, and the version it speaks.

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
    places: Arc<ConnectionLimiter>,
}

impl Acceptor {
    /// In front of `proxy`.
    pub fn new(
        listener: Listener,
        proxy: HttpProxy<Gateway>,
        traffic: Arc<Traffic>,
        metrics: Arc<Metrics>,
        current: Current,
    ) -> Self {
        let places = ConnectionLimiter::new(Arc::clone(&traffic), Arc::clone(&metrics));
        Self {
            listener,
            shared: Arc::new(Shared { proxy: Arc::new(proxy), traffic, metrics, current }),
            places,
        }
    }

    /// The same for addresses of another kind: what is allowed is allowed to all of them together.
    #[must_use]
    pub fn also(&self, listener: Listener) -> Self {
        Self { listener, ..self.clone() }
    }
}

/// A connection that was accepted.
struct Incoming {
    stream: Stream,
    /// Its client; the peer, where no load balancer names another.
    client: IpAddr,
    /// Why each of its requests is refused, if they are.
    refuses: Option<Refusal>,
}

impl Acceptor {
    /// Reads the PROXY protocol header, where the peer has to send one. `None` when it has not, and there is nobody to be told.
    async fn client_of(&self, stream: Stream, snapshot: &Snapshot) -> Option<Incoming> {
        let client = peer_of(&stream);
        let server = &snapshot.server;
        if !forwarded::is_trusted(client, &server.proxy_protocol_from) {
            return Some(Incoming { stream, client, refuses: None });
        }
        // Counted, for as long as it is not known whose it is, for nobody.
        let waiting = self.places.admit(None, server)?;
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
                return Some(Incoming { stream: stream?, client, refuses: None });
            }
            Err(error) => error,
        };
        self.shared.metrics.requests.connections_refused.of(ConnectionLimit::ProxyProtocol).inc();
        tracing::warn!(
            reason = "proxy_protocol_invalid",
            peer = %client,
            cause = %error,
            "a connection is refused: its peer is one of server.proxy_protocol_from"
        );
        // Whoever speaks HTTP in clear can be told so.
        let is_told = error == HeaderError::Missing && self.listener != Listener::Tls;
        let refuses = Refusal::RequestInvalid(error.to_string());
        stream.filter(|_| is_told).map(|stream| Incoming { stream, client, refuses: Some(refuses) })
    }
}

/// The address of the peer; that of a Unix socket stands for all of them.
fn peer_of(stream: &Stream) -> IpAddr {
    let digest = stream.get_socket_digest();
    let address = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().map(SocketAddr::ip));
    address.map_or(UNIX_PEER, |ip| ip.to_canonical())
}

/// Whom a connection is counted for. Peers behind a Unix socket are told apart only by a proxy that is believed.
fn counted_for(client: IpAddr, server: &Server) -> Option<IpAddr> {
    Some(client)
        .filter(|&client| client != UNIX_PEER || forwarded::is_trusted(client, &server.trusted_proxies))
}

#[async_trait]
impl ServerApp for Acceptor {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let snapshot = self.shared.current.load();
        let Incoming { stream, client, mut refuses } = self.client_of(stream, &snapshot).await?;
        let place = self.places.admit(counted_for(client, &snapshot.server), &snapshot.server)?;
        let (stream, proof) = match (self.listener, &snapshot.tls) {
            (Listener::Plain | Listener::Redirect, _) => (stream, None),
            // As long for the handshake as for a header.
            (Listener::Tls, Some(terms)) => {
                let deadline = snapshot.server.limits.header_deadline;
                // Apart: 7 KiB that are not kept for as long as the connection lasts.
                let handshake = Box::pin(tls::accept(stream, terms, deadline, client, &self.shared.metrics));
                let accepted = tokio::select! {
                    biased;
                    accepted = handshake => accepted?,
                    () = place.activity().until_evicted() => return None,
                };
                match accepted {
                    Accepted::Encrypted(stream, proof) => (stream, Some(Arc::new(proof))),
                    Accepted::InClear(stream) => {
                        let told = "this address speaks TLS, and the request came in clear: write https://";
                        refuses = Some(Refusal::RequestInvalid(told.to_owned()));
                        (stream, None)
                    }
                }
            }
            // Never in clear what was to be encrypted.
            (Listener::Tls, None) => return None,
        };
        let requests =
            ClientConnection::new(self.listener, &self.shared, &snapshot.server, proof, &place, refuses);
        // A connection outlives its configuration.
        drop(snapshot);
        if stream.selected_alpn_proto() == Some(ALPN::H2) {
            requests.serve_http2(stream, shutdown).await;
        } else {
            requests.serve_http1(stream, shutdown).await;
        }
        None
    }

    async fn cleanup(&self) {
        // The listener is closed; idle connections stay until nobody is left who might be sending.
        self.shared.traffic.until_closing().await;
        self.shared.proxy.http_cleanup().await;
    }
}
