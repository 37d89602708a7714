//! What is remembered of one request, and its account: written when it is dropped, however it ended.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Control, Cut, Registration};
use crate::clock::{Clock, Monotonic};
use crate::config::Route;
use crate::error::Refusal;
use crate::id::SessionId;
use crate::metrics::{AuthenticationFailure, Label as _, Metrics, Stream};
use crate::policy::Permit;
use crate::snapshot::Snapshot;
use crate::snapshot::upstreams::{Candidate, Turn};

use super::gate::Traffic;
use super::renewal::SetCookies;

/// The state of one request between Pingora's callbacks.
pub struct Context {
    /// The configuration in force when it began.
    pub(super) snapshot: Arc<Snapshot>,
    /// The handle by which it can be cut.
    pub(super) control: Arc<Control>,
    /// Proof that it may be forwarded.
    pub(super) permit: Option<Permit>,
    /// Keeps it entered under its session.
    pub(super) registration: Option<Registration>,
    pub(super) bearer_is_ours: bool,
    /// Cookies the answer is to set.
    pub(super) set: SetCookies,
    /// Servers still to be tried.
    pub(super) turn: Turn,
    /// The one being tried.
    pub(super) candidate: Option<Candidate>,
    /// Request body bytes so far.
    pub(super) body_bytes: u64,
    /// Why it is being refused, once that is known.
    pub(super) refusal: Option<Refusal>,
    pub(super) account: Account,
}

impl Context {
    /// The second look: what has come up since it was admitted.
    pub(super) fn obstacle(&self) -> Option<Refusal> {
        if self.registration.as_ref().is_some_and(Registration::is_revoked) {
            return Some(Refusal::TokenRevoked);
        }
        (self.control.cause() == Some(Cut::Rights)).then_some(Refusal::TokenExpired)
    }
}

/// What is counted and logged about one request.
pub(super) struct Account {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    traffic: Arc<Traffic>,
    started: Monotonic,
    control: Arc<Control>,
    pub(super) method: &'static str,
    pub(super) route: Option<Arc<Route>>,
    /// Whether it was for one of our endpoints.
    pub(super) own: bool,
    /// When it was sent on to the app.
    forwarded: Option<Monotonic>,
    /// What kind of answer is being written.
    stream: Option<Stream>,
    /// The path without its query, and who asked: only where somebody reads the log.
    pub(super) path: String,
    pub(super) client: Option<IpAddr>,
    pub(super) session: Option<SessionId>,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The future was dropped: the client went away, or it was cut.
    Aborted,
    /// By one of our endpoints.
    Answered,
    /// By the app.
    Forwarded,
    /// By us, with this code.
    Refused(&'static str),
}

impl Account {
    pub(super) fn open(
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        traffic: Arc<Traffic>,
        control: Arc<Control>,
    ) -> Self {
        metrics.requests.in_flight.inc();
        traffic.request_began();
        Self {
            started: clock.monotonic(),
            metrics,
            clock,
            traffic,
            control,
            method: "-",
            route: None,
            own: false,
            forwarded: None,
            stream: None,
            path: String::new(),
            client: None,
            session: None,
            status: 0,
            outcome: Outcome::Aborted,
        }
    }

    /// How long it has taken so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.monotonic().since(self.started)
    }

    /// It is sent on to the app now.
    pub(super) fn was_forwarded(&mut self) {
        self.forwarded = Some(self.clock.monotonic());
    }

    /// The header of the app's answer is here, and what follows is of that kind.
    pub(super) fn is_answered(&mut self, stream: Stream) {
        if let (Some(at), Some(route)) = (self.forwarded.take(), &self.route) {
            let took = self.clock.monotonic().since(at).as_secs_f64();
            self.metrics.upstreams.seconds.with_label_values(&[route.upstream.as_str()]).observe(took);
        }
        if self.stream.replace(stream).is_none() {
            self.metrics.requests.streams.of(stream).inc();
        }
    }

    /// Its name for metrics and the log.
    fn route_name(&self) -> &str {
        match &self.route {
            Some(route) => route.name.as_str(),
            None if self.own => "own",
            None => "-",
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.traffic.request_ended();
        let counted = &self.metrics.requests;
        if let Some(stream) = self.stream {
            counted.streams.of(stream).dec();
        }
        // A stream that was cut had begun to be forwarded; what came to its end within its grace was not cut.
        let cut = self.control.dropped();
        let reason = match (self.outcome, cut) {
            (Outcome::Aborted | Outcome::Forwarded, Some(cause)) => {
                counted.cut.with_label_values(&[cause.as_str()]).inc();
                "cut"
            }
            (Outcome::Aborted, None) => "aborted",
            (Outcome::Answered, _) => "answered",
            (Outcome::Forwarded, _) => "forwarded",
            (Outcome::Refused(code), _) => code,
        };
        let class = match self.status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "none",
        };
        let (route, elapsed) = (self.route_name(), self.elapsed());
        counted.finished.with_label_values(&[route, reason, class]).inc();
        if let Outcome::Refused(code) = self.outcome
            && let Some(&failure) = AuthenticationFailure::ALL.iter().find(|known| known.as_str() == code)
        {
            counted.authentication_failures.of(failure).inc();
        }
        if self.outcome != Outcome::Aborted && matches!(self.stream, None | Some(Stream::Response)) {
            counted.seconds.with_label_values(&[route]).observe(elapsed.as_secs_f64());
        }
        tracing::info!(
            target: "doorward::access",
            reason,
            method = self.method,
            route,
            path = self.path,
            client = self.client.map(tracing::field::display),
            status = self.status,
            cut = cut.map(Cut::as_str),
            session = self.session.map(tracing::field::display),
            millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        );
        // Last: whoever sees none in flight sees all of them counted.
        counted.in_flight.dec();
    }
}
