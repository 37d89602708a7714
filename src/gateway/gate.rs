//! The gate in front of Pingora's proxy: a place for each connection, the TLS handshake, and the version it speaks.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp as _, ServerApp};
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use super::places::Places;
use super::proxy::Gateway;
use super::requests::Requests;
use super::tls;
use super::traffic::Traffic;
use crate::metrics::Metrics;
use crate::snapshot::Current;

/// What the addresses of a public listener are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// HTTP in clear: behind a proxy that terminates TLS, or in trusted networks.
    Plain,
    /// HTTP over TLS.
    Tls,
    /// HTTP in clear, to be sent on to https.
    Redirect,
}

/// The application of a public listener.
#[derive(Clone)]
pub struct Gate {
    pub(super) listener: Listener,
    pub(super) proxy: Arc<HttpProxy<Gateway>>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) current: Current,
    places: Arc<Places>,
}

impl Gate {
    /// In front of `proxy`.
    pub fn new(
        listener: Listener,
        proxy: HttpProxy<Gateway>,
        traffic: Arc<Traffic>,
        metrics: Arc<Metrics>,
        current: Current,
    ) -> Self {
        let places = Places::new(Arc::clone(&traffic), Arc::clone(&metrics));
        Self { listener, proxy: Arc::new(proxy), traffic, metrics, current, places }
    }

    /// The same for addresses of another kind: what is allowed is allowed to all of them together.
    #[must_use]
    pub fn also(&self, listener: Listener) -> Self {
        Self { listener, ..self.clone() }
    }
}

#[async_trait]
impl ServerApp for Gate {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let peer = stream
            .get_socket_digest()
            .and_then(|digest| digest.peer_addr().and_then(|a| a.as_inet()).copied());
        let client = peer.map(|address| address.ip().to_canonical());
        let snapshot = self.current.load();
        let place = self.places.admit(client, &snapshot.server)?;
        let (stream, proof) = match (self.listener, &snapshot.tls) {
            (Listener::Plain | Listener::Redirect, _) => (stream, None),
            // As long for the handshake as for a header.
            (Listener::Tls, Some(terms)) => {
                let deadline = snapshot.server.limits.header_deadline;
                // Apart: 7 KiB that are not kept for as long as the connection lasts.
                let handshake = Box::pin(tls::accept(stream, terms, deadline, client, &self.metrics));
                let (stream, proof) = tokio::select! {
                    biased;
                    accepted = handshake => accepted?,
                    () = place.activity().until_displaced() => return None,
                };
                (stream, Some(Arc::new(proof)))
            }
            // Never in clear what was to be encrypted.
            (Listener::Tls, None) => return None,
        };
        let requests = Requests::new(self, &snapshot.server, proof, &place);
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
        self.traffic.until_closing().await;
        self.proxy.http_cleanup().await;
    }
}
