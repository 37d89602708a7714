//! The gate in front of Pingora's proxy: how many connections, how long a header may take, and the way to cut a
//! request from outside.
//!
//! Pingora calls its callbacks in the task that reads the request, so a task-local hands them the request's
//! [`Control`]; dropping that task's future closes both sockets, which no callback could do to an idle stream.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::sync::{Notify, watch};

use super::caught::{Panicked, caught};
use super::proxy::Gateway;
use super::tls;
use crate::auth::{Control, Cut, Progress};
use crate::config::Server;
use crate::metrics::{ConnectionLimit, Metrics};
use crate::policy::forwarded;
use crate::request_id;
use crate::snapshot::Current;

/// A request whose answer has not begun is given this long to be refused in words after its session was revoked:
/// an ordinary answer arrives within it and is replaced; what takes longer (a held long poll) is cut.
const REFUSAL_GRACE: Duration = Duration::from_millis(500);

/// An answer that was being written when its session was revoked may come to its end within this: the request was
/// accepted before. Shorter would break off ordinary answers mid-way (a delayed acknowledgement between an app's
/// two writes takes 40 ms); longer would let a download go on.
const ANSWER_GRACE: Duration = Duration::from_millis(100);

tokio::task_local! {
    static CONTROL: Arc<Control>;
    static CONNECTION: Connection;
}

/// What is known of the connection this task serves.
struct Connection {
    /// Whether it has carried a request before.
    reused: Cell<bool>,
    listener: Listener,
}

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

/// Whether the request this task is reading came where all are sent on to https.
pub(super) fn only_redirects() -> bool {
    CONNECTION.try_with(|connection| connection.listener == Listener::Redirect).unwrap_or(false)
}

/// The control of the request this task is reading.
pub(super) fn control() -> Arc<Control> {
    CONTROL.try_with(Arc::clone).unwrap_or_default()
}

/// Requests in flight, for the drain.
#[derive(Debug)]
pub struct Traffic {
    requests: AtomicUsize,
    connections: AtomicUsize,
    controls: Mutex<slab::Slab<Arc<Control>>>,
    /// No request is in flight any more, or no connection is open.
    ended: Notify,
    winding_down: AtomicBool,
    closing: watch::Sender<bool>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            controls: Mutex::default(),
            ended: Notify::new(),
            winding_down: AtomicBool::new(false),
            closing: watch::channel(false).0,
        }
    }
}

impl Traffic {
    pub(super) fn request_began(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn request_ended(&self) {
        if self.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.notify_waiters();
        }
    }

    fn connection_ended(&self) {
        if self.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.notify_waiters();
        }
    }

    /// Every answer from now on is the last of its connection. One that is idle stays open: closing it could meet a
    /// request on its way.
    pub fn wind_down(&self) {
        self.winding_down.store(true, Ordering::Release);
    }

    pub(super) fn is_winding_down(&self) -> bool {
        self.winding_down.load(Ordering::Acquire)
    }

    /// Idle connections are closed.
    pub fn close_idle(&self) {
        self.closing.send_replace(true);
    }

    async fn until_closing(&self) {
        // The sender is ours: it outlives this.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Whether no request is in flight.
    pub fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Acquire) == 0
    }

    /// Resolves when no connection is open.
    pub async fn until_deserted(&self) {
        self.until_none(&self.connections).await;
    }

    async fn until_none(&self, count: &AtomicUsize) {
        loop {
            let ended = self.ended.notified();
            if count.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Resolves when no request is in flight.
    pub async fn until_idle(&self) {
        self.until_none(&self.requests).await;
    }

    /// Cuts every request in flight.
    pub fn cut_all(&self, cause: Cut) {
        let controls = self.controls.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, control) in &*controls {
            control.cut(cause);
        }
    }

    fn enter(self: &Arc<Self>, control: &Arc<Control>) -> Entered {
        let key = self.controls.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(control));
        Entered { traffic: Arc::clone(self), key }
    }
}

struct Entered {
    traffic: Arc<Traffic>,
    key: usize,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.traffic.controls.lock().unwrap_or_else(PoisonError::into_inner).try_remove(self.key);
    }
}

/// The application of a public listener.
#[derive(Clone)]
pub struct Gate {
    listener: Listener,
    proxy: Arc<HttpProxy<Gateway>>,
    traffic: Arc<Traffic>,
    metrics: Arc<Metrics>,
    current: Current,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// The requests of one connection.
struct Requests {
    proxy: Arc<HttpProxy<Gateway>>,
    traffic: Arc<Traffic>,
    metrics: Arc<Metrics>,
    current: Current,
    /// As they were when it was accepted.
    options: HttpServerOptions,
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

    fn requests(&self, server: &Server) -> Arc<Requests> {
        let mut options = HttpServerOptions::default();
        // Pingora's default is never; a client that says nothing is not kept longer than over HTTP/1.1.
        options.h2_idle_timeout = Some(server.keepalive_timeout);
        Arc::new(Requests {
            proxy: Arc::clone(&self.proxy),
            traffic: Arc::clone(&self.traffic),
            metrics: Arc::clone(&self.metrics),
            current: self.current.clone(),
            options,
        })
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
        let requests = self.requests(&snapshot.server);
        let stream = match (self.listener, &snapshot.tls) {
            (Listener::Plain | Listener::Redirect, _) => stream,
            // As long for the handshake as for a header.
            (Listener::Tls, Some(terms)) => {
                let deadline = snapshot.server.limits.header_deadline;
                tls::accept(stream, terms, deadline, client, &self.metrics).await?
            }
            // Never in clear what was to be encrypted.
            (Listener::Tls, None) => return None,
        };
        // A connection outlives its configuration.
        drop(snapshot);
        let connection = Connection { reused: Cell::new(false), listener: self.listener };
        CONNECTION.scope(connection, requests.process_new(stream, shutdown)).await
    }

    async fn cleanup(&self) {
        // The listener is closed; idle connections stay until nobody is left who might be sending.
        self.traffic.until_closing().await;
        self.proxy.http_cleanup().await;
    }
}

#[async_trait]
impl HttpServerApp for Requests {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let control = Arc::new(Control::default());
        let _entered = self.traffic.enter(&control);
        let proxied = CONTROL.scope(Arc::clone(&control), self.proxy.process_new_http(session, shutdown));
        let mut proxied = std::pin::pin!(request_id::scope(caught(proxied)));
        let finished = tokio::select! {
            biased;
            finished = &mut proxied => finished,
            cause = control.until_cut() => {
                let grace = match (cause, control.progress()) {
                    (Cut::Draining, _) | (_, Progress::Open) => None,
                    (_, Progress::Answering) => Some(ANSWER_GRACE),
                    (_, Progress::Waiting) => Some(REFUSAL_GRACE),
                };
                let finished = match grace {
                    Some(grace) => tokio::time::timeout(grace, &mut proxied).await.ok(),
                    None => None,
                };
                match finished {
                    Some(finished) => finished,
                    None => {
                        control.was_dropped();
                        return None;
                    }
                }
            }
            () = self.header_deadline(&control) => return None,
        };
        match finished {
            Ok(reused) => reused,
            Err(Panicked) => {
                self.metrics.requests.panics.inc();
                None
            }
        }
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

impl Requests {
    /// Resolves when the header has taken too long; never once it is there. On a connection that has carried a
    /// request, the wait for the next one counts too, so that is allowed on top.
    async fn header_deadline(&self, control: &Control) {
        let reused = CONNECTION.try_with(|connection| connection.reused.replace(true)).unwrap_or(false);
        let longest = {
            let server = &self.current.load().server;
            let idle = if reused { server.keepalive_timeout } else { Duration::ZERO };
            server.limits.header_deadline + idle
        };
        tokio::time::sleep(longest).await;
        if control.has_header() {
            std::future::pending::<()>().await;
        }
    }
}
