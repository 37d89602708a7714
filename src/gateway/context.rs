//! What is remembered of one request, and its account: written when it is dropped, however it ended.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Control, Cut, Registration};
use crate::clock::{Clock, Monotonic};
use crate::config::Route;
use crate::error::Refusal;
use crate::id::SessionId;
use crate::metrics::Metrics;
use crate::policy::Permit;
use crate::snapshot::Snapshot;
use crate::snapshot::upstreams::{Candidate, Turn};

use super::gate::Traffic;

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
        metrics.requests_in_flight.inc();
        traffic.request_began();
        Self {
            started: clock.monotonic(),
            metrics,
            clock,
            traffic,
            control,
            method: "-",
            route: None,
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
}

impl Drop for Account {
    fn drop(&mut self) {
        self.traffic.request_ended();
        self.metrics.requests_in_flight.dec();
        // A stream that was cut had begun to be forwarded; what came to its end within its grace was not cut.
        let cut = self.control.dropped();
        let reason = match (self.outcome, cut) {
            (Outcome::Aborted | Outcome::Forwarded, Some(cause)) => {
                self.metrics.cuts.with_label_values(&[cause.as_str()]).inc();
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
        self.metrics.requests.with_label_values(&[reason, class]).inc();
        let route = self.route.as_ref().map_or("-", |route| route.name.as_str());
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
            millis = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX),
        );
    }
}
