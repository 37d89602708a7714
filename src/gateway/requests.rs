//! The requests of one connection: each in reach of those who cut it, none waited for longer than allowed.
//!
//! Pingora calls its callbacks in the task that reads the request, so a task-local hands them the request's
//! [`Control`]; dropping that task's future closes both sockets, which no callback could do to an idle stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use super::caught::{Panicked, caught};
use super::gate::{Gate, Listener};
use super::proxy::Gateway;
use super::traffic::Traffic;
use crate::auth::{Control, Cut, Progress};
use crate::config::Server;
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

tokio::task_local! {
    static REQUEST: Request;
}

/// What the gate knows of the request this task serves.
struct Request {
    control: Arc<Control>,
    listener: Listener,
}

/// The control of the request this task is reading.
pub(super) fn control() -> Arc<Control> {
    REQUEST.try_with(|request| Arc::clone(&request.control)).unwrap_or_default()
}

/// Whether the request this task is reading came where all are sent on to https.
pub(super) fn only_redirects() -> bool {
    REQUEST.try_with(|request| request.listener == Listener::Redirect).unwrap_or(false)
}

/// The requests of one connection.
pub(super) struct Requests {
    listener: Listener,
    proxy: Arc<HttpProxy<Gateway>>,
    traffic: Arc<Traffic>,
    metrics: Arc<Metrics>,
    current: Current,
    /// As they were when it was accepted.
    options: HttpServerOptions,
    /// How many there were.
    begun: AtomicU32,
}

impl Requests {
    /// Of a connection that is let in now.
    pub(super) fn new(gate: &Gate, server: &Server) -> Arc<Self> {
        let mut options = HttpServerOptions::default();
        // Pingora's default is never; a client that says nothing is not kept longer than over HTTP/1.1.
        options.h2_idle_timeout = Some(server.keepalive_timeout);
        Arc::new(Self {
            listener: gate.listener,
            proxy: Arc::clone(&gate.proxy),
            traffic: Arc::clone(&gate.traffic),
            metrics: Arc::clone(&gate.metrics),
            current: gate.current.clone(),
            options,
            begun: AtomicU32::new(0),
        })
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
        let is_first = self.begun.fetch_add(1, Ordering::Relaxed) == 0;
        let request = Request { control: Arc::clone(&control), listener: self.listener };
        let proxied = REQUEST.scope(request, self.proxy.process_new_http(session, shutdown));
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
            () = self.header_deadline(&control, is_first) => return None,
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
    async fn header_deadline(&self, control: &Control, is_first: bool) {
        let longest = {
            let server = &self.current.load().server;
            let idle = if is_first { Duration::ZERO } else { server.keepalive_timeout };
            server.limits.header_deadline + idle
        };
        tokio::time::sleep(longest).await;
        if control.has_header() {
            std::future::pending::<()>().await;
        }
    }
}
