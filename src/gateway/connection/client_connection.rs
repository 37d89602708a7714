//! One client connection: its requests, their deadlines, and their cancellation from outside.
//!
//! Pingora runs its callbacks in the task that reads the request, so a task-local passes them the request's [`Control`].
//! Dropping that future closes the client's socket (over HTTP/2: resets the stream) and the app's; no callback could do that to an
//! idle stream.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp as _};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, HttpSession, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::auth::{Control, Cut, Progress};
use crate::config::Server;
use crate::error::Refusal;
use crate::gateway::connection::backlog::{Backlog, Connection};
use crate::gateway::connection::bounded_stream::BoundedStream;
use crate::gateway::connection::http2_refusals::{Http2State, Watched};
use crate::gateway::connection::limiter::{ConnectionActivity, ConnectionPermit};
use crate::gateway::connection::listener::Listener;
use crate::gateway::connection::tls::ClientAuthentication;
use crate::gateway::connection::traffic::Traffic;
use crate::gateway::connection::unanswered::UnansweredRequests;
use crate::gateway::request::callbacks::Gateway;
use crate::gateway::request::current_request::{self, CurrentRequest};
use crate::gateway::request::panic_guard::{Panicked, catch_panic};
use crate::gateway::request::send;
use crate::gateway::request::silence::{self, Silence};
use crate::gateway::response::OwnResponse;
use crate::gateway::timer::Timer;
use crate::metrics::Metrics;
use crate::request_id;
use crate::snapshot::Current;

/// Time after a cut in which a request without a response yet can still get an error response. An ordinary response
/// arrives within it and is replaced; a slower one (a held long poll) is cut.
const REFUSAL_GRACE: Duration = Duration::from_millis(500);

/// Time for the response to a request whose app was silent: to write it, and to drain the body that the client still sends (at most a
/// second, see lingering_close.rs). A shorter time would reset the connection before the client has read the response.
const TIMEOUT_GRACE: Duration = Duration::from_secs(2);

/// Time after a cut in which a response that has begun may complete: its request was accepted before. Shorter would
/// truncate ordinary responses (a delayed acknowledgement between an app's two writes takes 40 ms); longer would let a
/// download continue.
const RESPONSE_GRACE: Duration = Duration::from_millis(100);

/// State that all connections share.
pub(crate) struct Shared {
    pub(crate) proxy: Arc<HttpProxy<Gateway>>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) current: Current,
}

/// One client connection, over HTTP/1.1 or HTTP/2.
pub(crate) struct ClientConnection {
    listener: Listener,
    client_authentication: Option<Arc<ClientAuthentication>>,
    proxy: Arc<HttpProxy<Gateway>>,
    traffic: Arc<Traffic>,
    metrics: Arc<Metrics>,
    current: Current,
    /// Options in force when the connection was accepted.
    options: HttpServerOptions,
    header_bytes: u32,
    max_streams: u32,
    activity: Arc<ConnectionActivity>,
    client: Option<IpAddr>,
    /// Whether the client has many connections.
    is_crowded: bool,
    /// Maximum number of requests on this connection.
    max_requests: u32,
    /// Requests started so far.
    requests_started: AtomicU32,
    /// Signalled when the request limit is reached.
    limit_reached: Notify,
    /// Write side of an HTTP/2 connection.
    http2: Arc<Connection>,
    http2_state: Arc<Http2State>,
    unanswered: Arc<UnansweredRequests>,
    /// Refusal of every request on this connection.
    connection_refusal: Option<Refusal>,
}

impl ClientConnection {
    /// Creates a connection that was admitted with `permit`. With `connection_refusal`, every request gets that refusal.
    pub(crate) fn new(
        listener: Listener,
        shared: &Shared,
        server: &Server,
        client_authentication: Option<Arc<ClientAuthentication>>,
        permit: &ConnectionPermit,
        connection_refusal: Option<Refusal>,
    ) -> Arc<Self> {
        let mut options = HttpServerOptions::default();
        // Pingora's default is no timeout; idle HTTP/2 connections are kept as long as idle HTTP/1.1 connections.
        options.h2_idle_timeout = Some(server.keepalive_timeout);
        let limits = &server.limits;
        // Pingora counts reuses: one less than requests.
        options.keepalive_request_limit = Some(limits.requests_per_connection - 1);
        options.h2c = server.h2c && listener == Listener::Plain && limits.http2_streams > 0;
        Arc::new(Self {
            listener,
            client_authentication,
            proxy: Arc::clone(&shared.proxy),
            traffic: Arc::clone(&shared.traffic),
            metrics: Arc::clone(&shared.metrics),
            current: shared.current.clone(),
            options,
            header_bytes: u32::try_from(limits.header_bytes).unwrap_or(u32::MAX),
            max_streams: limits.http2_streams,
            activity: Arc::clone(permit.activity()),
            client: permit.peer(),
            is_crowded: permit.is_crowded(),
            max_requests: limits.requests_per_connection,
            requests_started: AtomicU32::new(0),
            limit_reached: Notify::new(),
            http2: Connection::new(shared.traffic.held(), permit.peer()),
            http2_state: Arc::default(),
            unanswered: Arc::new(UnansweredRequests {
                metrics: Arc::clone(&shared.metrics),
                current: shared.current.clone(),
                client: permit.peer(),
            }),
            connection_refusal,
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
        // Only HTTP/2 requests arrive here; HTTP/1.1 requests are served by http1.rs.
        self.http2_state.accepted();
        let send_timeout = self.current.load().server.limits.send_timeout;
        let backlog = tokio::select! {
            biased;
            backlog = self.http2.next_request(send_timeout) => backlog,
            // Otherwise requests that the client has reset would pile up.
            () = until_reset(&mut session) => return None,
        };
        let Some(backlog) = backlog else {
            self.unanswered.refused(&Refusal::Overloaded);
            return None;
        };
        self.serve(session, shutdown, &backlog, &mut Timer::default(), None).await
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        // Based on Pingora's limits: the library's defaults are 16 MiB of header and unlimited streams.
        let mut options = default_h2_options();
        options.max_header_list_size(self.header_bytes).max_concurrent_streams(self.max_streams);
        // Streams reset by the client before they are accepted, and by us for errors (CVE-2023-44487, CVE-2025-8671).
        options.max_pending_accept_reset_streams(20).max_local_error_reset_streams(Some(100));
        // Request bodies buffered until the upstream reads them: 1 MiB per connection.
        options.initial_window_size(256 << 10).initial_connection_window_size(1 << 20);
        // Response bytes buffered per stream: the library's default of 400 KiB would be 40 MiB per connection.
        options.max_send_buffer_size(64 << 10);
        Some(options)
    }
}

/// Resolves when the client has reset the request's stream or closed its connection. Never over HTTP/1.1.
async fn until_reset(session: &mut ServerSession) {
    if let ServerSession::H2(stream) = session {
        // Ok and Err both mean that the stream is gone.
        let _ = stream.idle().await;
    } else {
        std::future::pending::<()>().await;
    }
}

impl ClientConnection {
    /// Serves one request. With `connection_refusal`, `session` holds the stand-in of an invalid request, which gets that refusal.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
        backlog: &Arc<Backlog>,
        timer: &mut Timer,
        connection_refusal: Option<Refusal>,
    ) -> Option<ReusedHttpStream> {
        let _serving = self.activity.serve()?;
        let (control, started) = (Arc::new(Control::default()), Instant::now());
        let silence = Silence::new(started);
        let _entered = self.traffic.enter(&control, backlog);
        let started_before = self.requests_started.fetch_add(1, Ordering::Relaxed);
        if started_before + 1 == self.max_requests {
            self.limit_reached.notify_one();
        }
        let request = CurrentRequest {
            control: Arc::clone(&control),
            silence: Arc::clone(&silence),
            backlog: Arc::clone(backlog),
            listener: self.listener,
            client_authentication: self.client_authentication.clone(),
            connection_refusal,
        };
        let finished = self.run(session, shutdown, request, timer, started).await;
        let Some(finished) = finished else {
            if control.was_answered_late()
                && let Some(stream) = silence.slot().take()
            {
                self.answer_late(stream, &silence).await;
            }
            return None;
        };
        match finished {
            Ok(reused) => {
                // No callback ran: Pingora refused the request with a response of its own.
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

    /// Runs a request in Pingora. `None` if it was dropped.
    async fn run(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
        request: CurrentRequest,
        timer: &mut Timer,
        started: Instant,
    ) -> Option<Result<Option<ReusedHttpStream>, Panicked>> {
        let (control, silence) = (&Arc::clone(&request.control), &Arc::clone(&request.silence));
        let backlog = Arc::clone(&request.backlog);
        let proxied = current_request::scope(request, self.proxy.process_new_http(session, shutdown));
        let mut guarded = std::pin::pin!(request_id::scope(catch_panic(proxied)));
        let mut serving = std::future::poll_fn(|task| {
            let polled = guarded.as_mut().poll(task);
            backlog.was_woken();
            polled
        });
        let (deadline, _) = self.timeouts();
        let finished = tokio::select! {
            biased;
            finished = &mut serving => finished,
            cause = control.until_cut() => {
                let grace = match (cause, control.progress()) {
                    (Cut::Draining | Cut::Stalled, _) | (_, Progress::Open) => None,
                    // The client can still get an error response with Retry-After.
                    (Cut::UpstreamTimeout, _) => Some(TIMEOUT_GRACE),
                    (_, Progress::Answering) => Some(RESPONSE_GRACE),
                    (_, Progress::Waiting) => Some(REFUSAL_GRACE),
                };
                let finished = match grace {
                    Some(grace) => tokio::time::timeout(grace, &mut serving).await.ok(),
                    None => None,
                };
                match finished {
                    Some(finished) => finished,
                    None => {
                        let is_answered = cause == Cut::UpstreamTimeout && silence.is_interruptible();
                        if is_answered && control.progress() == Progress::Waiting {
                            control.set_answered_late();
                        }
                        control.set_dropped();
                        // Drops the future, which closes the sockets.
                        return None;
                    }
                }
            }
            // Polled after the request, so that data from the app counts before its silence does. Both cut the request
            // through `control`, and resolve only if its header is late.
            () = silence::cut_on_silence(control, silence, started + deadline) => return None,
            () = async {
                timer.until(started + deadline).await;
                self.enforce_deadlines(control, silence, deadline).await;
            } => return None,
        };
        Some(finished)
    }

    /// Sends the response to a request that was dropped because Pingora waited for its app to accept the body.
    async fn answer_late(&self, mut stream: HttpSession, silence: &Silence) {
        let response = OwnResponse::refusal(&Refusal::UpstreamTimeout, silence.request_id());
        let snapshot = self.current.load();
        let hsts = snapshot.hsts.as_ref().filter(|_| self.listener == Listener::Tls);
        let sending = send::send_late(&mut stream, &response, silence.request_id(), hsts);
        // A client that is gone, or does not read, needs no response.
        let _ = tokio::time::timeout(TIMEOUT_GRACE, sending).await;
    }

    /// Log of the requests that Pingora refuses, or that get no response.
    pub(crate) const fn unanswered(&self) -> &Arc<UnansweredRequests> {
        &self.unanswered
    }

    /// Refusal of every request on this connection.
    pub(crate) fn connection_refusal(&self) -> Option<Refusal> {
        self.connection_refusal.clone()
    }

    /// Whether cleartext HTTP/2 with prior knowledge is enabled.
    pub(crate) const fn speaks_h2c(&self) -> bool {
        self.options.h2c
    }

    /// Creates the send backlog of an HTTP/1.1 connection.
    pub(crate) fn http1_backlog(&self) -> Arc<Backlog> {
        Backlog::of_http1(self.traffic.held(), self.client, self.is_crowded)
    }

    pub(crate) fn header_bytes(&self) -> usize {
        self.header_bytes as usize
    }

    /// Maximum number of requests on this connection.
    pub(crate) const fn max_requests(&self) -> u32 {
        self.max_requests
    }

    /// Header deadline, and keepalive timeout.
    pub(crate) fn timeouts(&self) -> (Duration, Duration) {
        let server = &self.current.load().server;
        (server.limits.header_deadline, server.keepalive_timeout)
    }

    /// Resolves when idle connections are closed, or this one is evicted.
    pub(crate) async fn until_closed_when_idle(&self) {
        tokio::select! {
            () = self.traffic.until_closing() => {}
            () = self.until_evicted() => {}
        }
    }

    /// Resolves when this connection is evicted to make room for another.
    pub(crate) async fn until_evicted(&self) {
        self.activity.until_evicted().await;
    }

    /// Serves an HTTP/2 connection. `stopping` is Pingora's shutdown signal.
    ///
    /// Requests run in tasks of their own; this future reads the connection. When the gateway winds down or the request limit
    /// is reached, it sends GOAWAY (RFC 9113 section 6.8): the client opens no more streams, and open ones complete.
    pub(crate) async fn serve_http2(self: Arc<Self>, stream: Stream, stopping: &ShutdownWatch) {
        let _entered = self.traffic.enter_http2(&self.http2);
        let counted: Stream = BoundedStream::whole(stream, Arc::clone(&self.http2));
        let stream =
            Box::new(Watched::new(counted, Arc::clone(&self.http2_state), Arc::clone(&self.unanswered)));
        let (send_goaway, goaway) = watch::channel(*stopping.borrow());
        let mut stopping = stopping.clone();
        let mut serving = std::pin::pin!(self.process_new(stream, &goaway));
        let deadline = self.current.load().server.limits.header_deadline;
        let mut first_request_deadline = std::pin::pin!(tokio::time::sleep(deadline));
        let mut last_stream = std::pin::pin!(async {
            tokio::select! {
                // An error means that the sender is gone: treated as a shutdown.
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = self.traffic.until_winding_down() => {}
                () = self.limit_reached.notified() => {}
                () = self.until_certificate_outdated() => {}
            }
        });
        let (mut goaway_sent, mut has_request) = (false, false);
        loop {
            tokio::select! {
                _ = &mut serving => return self.refuse_overdue_header(),
                () = self.until_evicted() => return,
                () = self.http2.until_abandoned() => return,
                () = &mut last_stream, if !goaway_sent => {
                    goaway_sent = true;
                    send_goaway.send_replace(true);
                }
                // The client negotiated HTTP/2 and has not sent a complete request.
                () = &mut first_request_deadline, if !has_request => {
                    if self.requests_started.load(Ordering::Relaxed) == 0 {
                        return self.refuse_overdue_header();
                    }
                    has_request = true;
                }
            }
        }
    }

    /// Logs the header section that the client has begun and not ended, if any, when a timeout closes its connection.
    fn refuse_overdue_header(&self) {
        if self.http2_state.is_header_open() {
            self.unanswered.refused(&Refusal::RequestTimeout);
        }
    }

    /// Resolves when the client certificate of the handshake is no longer accepted.
    async fn until_certificate_outdated(&self) {
        match &self.client_authentication {
            Some(client_authentication) => client_authentication.until_outdated().await,
            None => std::future::pending().await,
        }
    }

    /// To be called at the header deadline. Resolves if the request has no header. Otherwise cuts the request if its body is too
    /// slow, and never resolves.
    async fn enforce_deadlines(&self, control: &Control, silence: &Silence, deadline: Duration) {
        if !control.has_header() {
            return;
        }
        if self.slow_body(control, silence, deadline).await {
            // Not dropped: the client can still get an error response.
            control.cut(Cut::Slow);
        }
        std::future::pending::<()>().await;
    }

    /// Resolves to true if the body's average rate is below `min_body_rate`. The time counts from the call; bytes received
    /// before count too. Checked every `grace` while the gateway waits for the body; false once the response has begun.
    ///
    /// A check while the app does not read the body is skipped: the client is not the slow side then.
    async fn slow_body(&self, control: &Control, silence: &Silence, grace: Duration) -> bool {
        let started = Instant::now();
        loop {
            tokio::time::sleep(grace).await;
            let awaited = control.awaited_body().filter(|_| control.progress() == Progress::Waiting);
            let Some(received) = awaited else { return false };
            let rate = self.current.load().server.limits.min_body_rate;
            if !silence.app_blocks() && received < started.elapsed().as_secs().saturating_mul(rate) {
                return true;
            }
        }
    }
}
