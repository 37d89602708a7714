//! The gate in front of Pingora's proxy: how many connections, and from whom.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp as _, ServerApp};
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use super::proxy::Gateway;
use super::requests::Requests;
use super::tls;
use super::traffic::Traffic;
use crate::config::Server;
use crate::metrics::{ConnectionLimit, Metrics};
use crate::policy::forwarded;
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
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
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
        Self { listener, proxy: Arc::new(proxy), traffic, metrics, current, open: Arc::default() }
    }

    /// The same for addresses of another kind: what is allowed is allowed to all of them together.
    #[must_use]
    pub fn also(&self, listener: Listener) -> Self {
        Self { listener, ..self.clone() }
    }

    /// A place for a connection from `ip`, if there is one.
    fn admit(&self, ip: Option<IpAddr>, server: &Server) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |limit| {
            self.metrics.requests.connections_refused.of(limit).inc();
            None
        };
        if open.all >= server.limits.connections {
            return refused(ConnectionLimit::Total);
        }
        // A trusted proxy stands for everybody behind it.
        let ip = ip.filter(|ip| !forwarded::is_trusted(*ip, &server.trusted_proxies)).map(forwarded::network);
        if let Some(ip) = ip {
            let mine = open.by_ip.entry(ip).or_default();
            if *mine >= server.limits.connections_per_ip {
                return refused(ConnectionLimit::Address);
            }
            *mine += 1;
        }
        open.all += 1;
        self.metrics.requests.connections.inc();
        self.traffic.connections.fetch_add(1, Ordering::AcqRel);
        let (traffic, metrics) = (Arc::clone(&self.traffic), Arc::clone(&self.metrics));
        Some(Place { open: Arc::clone(&self.open), traffic, metrics, ip })
    }
}

/// One connection's place; given back when dropped.
struct Place {
    open: Arc<Mutex<Open>>,
    traffic: Arc<Traffic>,
    metrics: Arc<Metrics>,
    ip: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.requests.connections.dec();
        self.traffic.connection_ended();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(ip) = self.ip
            && let Some(mine) = open.by_ip.get_mut(&ip)
        {
            *mine -= 1;
            if *mine == 0 {
                open.by_ip.remove(&ip);
            }
        }
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
        let _place = self.admit(client, &snapshot.server)?;
        let (stream, proof) = match (self.listener, &snapshot.tls) {
            (Listener::Plain | Listener::Redirect, _) => (stream, None),
            // As long for the handshake as for a header.
            (Listener::Tls, Some(terms)) => {
                let deadline = snapshot.server.limits.header_deadline;
                let (stream, proof) = tls::accept(stream, terms, deadline, client, &self.metrics).await?;
                (stream, Some(Arc::new(proof)))
            }
            // Never in clear what was to be encrypted.
            (Listener::Tls, None) => return None,
        };
        let requests = Requests::new(self, &snapshot.server, proof);
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
