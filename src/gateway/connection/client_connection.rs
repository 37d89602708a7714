//! The requests of one connection: each in reach of those who cut it, none waited for longer than allowed.
//!
//! Pingora calls its callbacks in the task that reads the request, so a task-local hands them the request's
//! [`Control`]; dropping that task's future closes both sockets, which no callback could do to an idle stream.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp as _};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::auth::{Control, Cut, LastToken, Progress};
use crate::config::Server;
use crate::error::Refusal;
use crate::gateway::connection::backlog::{Backlog, Connection};
use crate::gateway::connection::bounded_stream::BoundedStream;
use crate::gateway::connection::http2_refusals::Watched;
use crate::gateway::connection::limiter::{ConnectionActivity, ConnectionPermit};
use crate::gateway::connection::listener::Listener;
use crate::gateway::connection::tls::Proof;
use crate::gateway::connection::traffic::Traffic;
use crate::gateway::connection::unanswered::UnansweredRequests;
use crate::gateway::request::callbacks::Gateway;
use crate::gateway::request::current_request::{self, CurrentRequest};
use crate::gateway::request::panic_guard::{Panicked, catch_panic};
use crate::gateway::request::silence::Silence;
use crate::metrics::Metrics;
use crate::request_id;
use crate::snapshot::Current;

/// A request whose answer has not begun is given this long to be refused in words after its session was revoked:
/// an ordinary answer arrives within it and is replaced; what takes longer (a held long poll) is cut.
const REFUSAL_GRACE: Duration = Duration::from_millis(500);

/// An answer that was being written when its session was revoked may come to its end within this: the request was
/// accepted before. Shorter would break off ordinary answers mid-way (a delayed acknowledgement between an app's
/// two writes takes 40 ms); longer would let a download go on.
const ANSWER_GRACE: Duration = Duration::from_millis(100);

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) proxy: Arc<HttpProxy<Gateway>>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) current: Current,
}

/// The requests of one connection.
pub(crate) struct ClientConnection {
    listener: Listener,
    proof: Option<Arc<Proof>>,
    proxy: Arc<HttpProxy<Gateway>>,
    traffic: Arc<Traffic>,
    metrics: Arc<Metrics>,
    current: Current,
    /// As they were when it was accepted.
    options: HttpServerOptions,
    header_bytes: u32,
    streams: u32,
    activity: Arc<ConnectionActivity>,
    client: Option<IpAddr>,
    /// Whether its client has many connections.
    is_crowded: bool,
    /// How many there may be.
    most: u32,
    /// How many there were.
    begun: AtomicU32,
    /// There were.
    enough: Notify,
    /// Its write side, where it speaks HTTP/2.
    http2: Arc<Connection>,
    unanswered: Arc<UnansweredRequests>,
    /// The token that it sent last.
    last_token: Arc<LastToken>,
    /// Why every request of it is refused, whatever it is.
    refuses: Option<Refusal>,
}

impl ClientConnection {
    /// Of a connection that is let in now; `refuses` is why each of its requests is refused, if they are.
    pub(crate) fn new(
        listener: Listener,
        shared: &Shared,
        server: &Server,
        proof: Option<Arc<Proof>>,
        place: &ConnectionPermit,
        refuses: Option<Refusal>,
    ) -> Arc<Self> {
        let mut options = HttpServerOptions::default();
        // Pingora's default is never; a client that says nothing is not kept longer than over HTTP/1.1.
        options.h2_idle_timeout = Some(server.keepalive_timeout);
        let limits = &server.limits;
        // Counted by Pingora in reuses, of which there is one less.
        options.keepalive_request_limit = Some(limits.requests_per_connection - 1);
        options.h2c = server.h2c && listener == Listener::Plain && limits.http2_streams > 0;
        Arc::new(Self {
            listener,
            proof,
            proxy: Arc::clone(&shared.proxy),
            traffic: Arc::clone(&shared.traffic),
            metrics: Arc::clone(&shared.metrics),
            current: shared.current.clone(),
            options,
            header_bytes: u32::try_from(limits.header_bytes).unwrap_or(u32::MAX),
            streams: limits.http2_streams,
            activity: Arc::clone(place.activity()),
            client: place.peer(),
            is_crowded: place.is_crowded(),
            most: limits.requests_per_connection,
            begun: AtomicU32::new(0),
            enough: Notify::new(),
            http2: Connection::new(shared.traffic.held(), place.peer()),
            unanswered: Arc::new(UnansweredRequests {
                metrics: Arc::clone(&shared.metrics),
                current: shared.current.clone(),
                client: place.peer(),
            }),
            last_token: Arc::default(),
            refuses,
        })
    }
}

#[async_trait]
impl HttpServerApp for ClientConnection {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        // What comes over HTTP/1.1 does not come here.
        let patience = self.current.load().server.limits.send_timeout;
        let backlog = tokio::select! {
            biased;
            backlog = self.http2.next_request(patience) => backlog,
            // Those that a client takes back would pile up.
            () = until_taken_back(&mut session) => return None,
        };
        let Some(backlog) = backlog else {
            self.unanswered.refused(&Refusal::Overloaded);
            return None;
        };
        self.serve(session, shutdown, &backlog, None).await
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        // From Pingora's bounds: those of the library alone would be 16 MiB of header and any number of streams.
        let mut options = default_h2_options();
        options.max_header_list_size(self.header_bytes).max_concurrent_streams(self.streams);
        // Streams that are reset before they were looked at, and by us for errors (CVE-2023-44487, CVE-2025-8671).
        options.max_pending_accept_reset_streams(20).max_local_error_reset_streams(Some(100));
        // What is held of bodies that the apps have not taken yet: 1 MiB a connection.
        options.initial_window_size(256 << 10).initial_connection_window_size(1 << 20);
        // What is held of an answer that waits for its client, for each stream: the library's 400 KiB would be 40 MiB.
        options.max_send_buffer_size(64 << 10);
        Some(options)
    }
}

/// Resolves when the client has reset the stream of its request, or its connection is gone.
async fn until_taken_back(session: &mut ServerSession) {
    if let ServerSession::H2(stream) = session {
        // Either way it is gone.
        let _ = stream.idle().await;
    } else {
        std::future::pending::<()>().await;
    }
}

impl ClientConnection {
    /// Serves one request; `refused` is why it is none, where another stands in for it.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
        backlog: &Arc<Backlog>,
        refused: Option<Refusal>,
    ) -> Option<ReusedHttpStream> {
        let _serving = self.activity.serve()?;
        let (control, begun) = (Arc::new(Control::of_connection(&self.last_token)), Instant::now());
        let silence = Silence::new(begun);
        let _entered = self.traffic.enter(&control, backlog);
        let before = self.begun.fetch_add(1, Ordering::Relaxed);
        if before + 1 == self.most {
            self.enough.notify_one();
        }
        let request = CurrentRequest {
            control: Arc::clone(&control),
            silence: Arc::clone(&silence),
            backlog: Arc::clone(backlog),
            listener: self.listener,
            proof: self.proof.clone(),
            refused,
        };
        let proxied = current_request::scope(request, self.proxy.process_new_http(session, shutdown));
        let mut proxied = std::pin::pin!(request_id::scope(catch_panic(proxied)));
        let mut proxied = std::future::poll_fn(|task| {
            let polled = proxied.as_mut().poll(task);
            backlog.was_woken();
            polled
        });
        let (deadline, _) = self.patience();
        let finished = tokio::select! {
            biased;
            finished = &mut proxied => finished,
            cause = control.until_cut() => {
                let grace = match (cause, control.progress()) {
                    (Cut::Draining | Cut::Stalled, _) | (_, Progress::Open) => None,
                    // Whoever waits for the app is told to come back, and answers in words where there is a chance for them.
                    (Cut::Silent, _) => Some(REFUSAL_GRACE),
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
            // Only after the request itself: what the app has just sent comes before its silence. It cuts, and so resolves never.
            () = end_silence(&control, &silence, begun + deadline) => return None,
            () = self.overdue(&control, &silence, begun, deadline) => return None,
        };
        match finished {
            Ok(reused) => {
                // No callback was called: the transport has refused it, in its own words.
                if !control.has_header() && !*shutdown.borrow() {
                    self.unanswered.refused(&Refusal::RequestInvalid(String::new()));
                }
                reused
            }
            Err(Panicked) => {
                self.metrics.requests.panics.inc();
                None
            }
        }
    }

    /// The log of what is refused without an answer of ours.
    pub(crate) const fn unanswered(&self) -> &Arc<UnansweredRequests> {
        &self.unanswered
    }

    /// Why every request of this connection is refused, if they are.
    pub(crate) fn refuses(&self) -> Option<Refusal> {
        self.refuses.clone()
    }

    /// Whether HTTP/2 with prior knowledge is taken in clear.
    pub(crate) const fn speaks_h2c(&self) -> bool {
        self.options.h2c
    }

    /// The backlog of its write side, where it speaks HTTP/1.1.
    pub(crate) fn http1_backlog(&self) -> Arc<Backlog> {
        Backlog::of_http1(self.traffic.held(), self.client, self.is_crowded)
    }

    pub(crate) fn header_bytes(&self) -> usize {
        self.header_bytes as usize
    }

    /// How many requests there may be.
    pub(crate) const fn most(&self) -> u32 {
        self.most
    }

    /// How long a header may take, and how long there may be none.
    pub(crate) fn patience(&self) -> (Duration, Duration) {
        let server = &self.current.load().server;
        (server.limits.header_deadline, server.keepalive_timeout)
    }

    /// Resolves when idle connections are closed, or this one's place is somebody else's.
    pub(crate) async fn until_unwanted(&self) {
        tokio::select! {
            () = self.traffic.until_closing() => {}
            () = self.until_evicted() => {}
        }
    }

    /// Resolves when this connection's place is somebody else's.
    pub(crate) async fn until_evicted(&self) {
        self.activity.until_evicted().await;
    }

    /// Serves a connection that speaks HTTP/2. `stopping` is told by Pingora's listener.
    ///
    /// Its requests run in tasks of their own; this future reads the connection. The client is told to open no more of
    /// them when the gateway winds down or the connection has carried its share (GOAWAY, RFC 9113 section 6.8): nothing
    /// that is under way is lost by that.
    pub(crate) async fn serve_http2(self: Arc<Self>, stream: Stream, stopping: &ShutdownWatch) {
        let _entered = self.traffic.enter_http2(&self.http2);
        let counted: Stream = BoundedStream::whole(stream, Arc::clone(&self.http2));
        let stream = Box::new(Watched::new(counted, Arc::clone(&self.unanswered)));
        let (leave, leaving) = watch::channel(*stopping.borrow());
        let mut stopping = stopping.clone();
        let mut serving = std::pin::pin!(self.process_new(stream, &leaving));
        let deadline = self.current.load().server.limits.header_deadline;
        let mut silent = std::pin::pin!(tokio::time::sleep(deadline));
        let mut leaves = std::pin::pin!(async {
            tokio::select! {
                // An error means that nobody will tell any more, as good as being told.
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = self.traffic.until_winding_down() => {}
                () = self.enough.notified() => {}
                () = self.outdated() => {}
            }
        });
        let (mut is_leaving, mut is_heard) = (false, false);
        loop {
            tokio::select! {
                _ = &mut serving => return,
                () = self.until_evicted() => return,
                () = self.http2.until_abandoned() => return,
                () = &mut leaves, if !is_leaving => {
                    is_leaving = true;
                    leave.send_replace(true);
                }
                // A client that negotiates HTTP/2 and then says nothing, or half of it.
                () = &mut silent, if !is_heard => {
                    if self.begun.load(Ordering::Relaxed) == 0 {
                        return;
                    }
                    is_heard = true;
                }
            }
        }
    }

    /// Resolves when what the client proved in its handshake counts no more.
    async fn outdated(&self) {
        match &self.proof {
            Some(proof) => proof.until_outdated().await,
            None => std::future::pending().await,
        }
    }

    /// Resolves when the client has taken too long for the body, or for what a header still wants when it is read as a
    /// request.
    async fn overdue(&self, control: &Control, silence: &Silence, begun: Instant, deadline: Duration) {
        tokio::time::sleep_until(begun + deadline).await;
        if !control.has_header() {
            return;
        }
        if self.slow_body(control, silence, deadline).await {
            // In words, where there is still a chance for them.
            control.cut(Cut::Slow);
        }
        std::future::pending::<()>().await;
    }

    /// Whether the body comes more slowly than its rate, on average since now and with all that came before; asked again
    /// each `grace` for as long as it is waited for. What the app has begun to answer it takes as it comes.
    ///
    /// What the app leaves lying is no doing of the client's.
    async fn slow_body(&self, control: &Control, silence: &Silence, grace: Duration) -> bool {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(grace).await;
            let awaited = control.awaited_body().filter(|_| control.progress() == Progress::Waiting);
            let Some(came) = awaited else { return false };
            let rate = self.current.load().server.limits.min_body_rate;
            if !silence.app_blocks() && came < begun.elapsed().as_secs().saturating_mul(rate) {
                return true;
            }
        }
    }
}

/// Cuts the request when its app has been silent for too long.
async fn end_silence(control: &Control, silence: &Silence, woken_at: Instant) {
    silence.until_expired(woken_at).await;
    control.cut(Cut::Silent);
    std::future::pending::<()>().await;
}
