//! Access log entry and metrics of one request: written when the record is dropped, however the request ended.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, Version, header};
use pingora::http::RequestHeader;

use crate::auth::{Control, Cut};
use crate::clock::{Clock, Monotonic};
use crate::config::{Log, LogAccess, Route};
use crate::error::Refusal;
use crate::gateway::connection::traffic::Traffic;
use crate::gateway::request::request_target;
use crate::gateway::response::OwnResponse;
use crate::id::{SessionId, UserId};
use crate::identity::Identity;
use crate::metrics::{AuthenticationFailure, Label as _, Metrics, Stream};
use crate::request_id::RequestId;
use crate::snapshot::upstreams::Address;

/// Log target of access log entries only.
pub const ACCESS: &str = "doorward::access";

/// Maximum number of characters logged of a path, host or user agent: enough to recognise it, too few to flood the log.
const MAX_CHARS: usize = 256;

/// Record of one request for the access log and the metrics.
pub(crate) struct RequestLog {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    traffic: Arc<Traffic>,
    control: Arc<Control>,
    started: Monotonic,
    /// Duration up to the end of the response, if the request ends later (lingering close).
    took: Option<Duration>,
    /// Setting that selects the requests to log.
    lines: LogAccess,
    /// Request id, once the header is parsed.
    pub(crate) request_id: Option<RequestId>,
    pub(crate) method: &'static str,
    /// Fields for the log only; set if the entry will be written.
    logged: Option<Box<LoggedFields>>,
    pub(crate) route: Option<Arc<Route>>,
    /// Whether the request is for an endpoint of the gateway.
    pub(crate) is_own: bool,
    session: OnceLock<SessionId>,
    user: OnceLock<UserId>,
    /// Upstream address of the last attempt.
    pub(crate) server: Option<Address>,
    /// Time at which the request was forwarded; `None` once the response header is received.
    forwarded: Option<Monotonic>,
    /// Duration up to the access decision.
    decision: Option<Duration>,
    /// Duration from forwarding to the response header.
    upstream: Option<Duration>,
    /// Request body bytes received.
    pub(crate) bytes_in: u64,
    /// Response body bytes sent.
    pub(crate) bytes_out: u64,
    /// Kind of the response that is being sent.
    stream: Option<Stream>,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    /// Cause of a refusal, or error of the transport.
    pub(crate) cause: Option<String>,
}

/// Outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The future was dropped: the client disconnected, or the request was cut.
    Aborted,
    /// An endpoint of the gateway responded.
    Answered,
    /// The app responded.
    Forwarded,
    /// The gateway refused the request.
    Refused {
        /// Stable error code.
        code: &'static str,
        /// Whether the status is 5xx; logged as a warning.
        grave: bool,
    },
}

/// Fields for the log only.
struct LoggedFields {
    host: String,
    path: String,
    client: IpAddr,
    protocol: &'static str,
    user_agent: Option<String>,
    trace_id: Option<String>,
}

impl RequestLog {
    pub(crate) fn open(
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        traffic: Arc<Traffic>,
        control: Arc<Control>,
        lines: LogAccess,
    ) -> Self {
        metrics.requests.in_flight.inc();
        traffic.request_began();
        Self {
            started: clock.monotonic(),
            took: None,
            metrics,
            clock,
            traffic,
            control,
            lines,
            request_id: None,
            method: "-",
            logged: None,
            route: None,
            is_own: false,
            session: OnceLock::new(),
            user: OnceLock::new(),
            server: None,
            forwarded: None,
            decision: None,
            upstream: None,
            bytes_in: 0,
            bytes_out: 0,
            stream: None,
            status: 0,
            outcome: Outcome::Aborted,
            cause: None,
        }
    }

    /// Whether an entry at INFO level may be written, whatever the outcome: then every request needs its log fields.
    pub(crate) fn is_enabled(&self) -> bool {
        self.lines != LogAccess::None && tracing::enabled!(target: ACCESS, tracing::Level::INFO)
    }

    /// Stores the request's fields for the log. The query is left out: it may hold secrets.
    pub(crate) fn set_client_fields(&mut self, request: &RequestHeader, client: IpAddr, log: &Log) {
        let headers = &request.headers;
        let host = match request.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => headers.get(header::HOST).map_or(&b""[..], |host| host.as_bytes()),
        };
        let agent = headers.get(header::USER_AGENT).filter(|_| log.user_agent);
        self.logged = Some(Box::new(LoggedFields {
            host: truncate(host),
            path: truncate(request_target::path_of(request)),
            client,
            protocol: protocol(request.version),
            user_agent: agent.map(|agent| truncate(agent.as_bytes())),
            trace_id: trace_id(headers),
        }));
    }

    /// Whether [`Self::show`] has been called.
    pub(crate) const fn has_client_fields(&self) -> bool {
        self.logged.is_some()
    }

    /// Sets the user and session from the identity.
    pub(crate) fn set_identity(&self, identity: &Identity) {
        self.set_session(identity.session_id());
        self.user.get_or_init(|| identity.user_id());
    }

    /// Sets the session.
    pub(crate) fn set_session(&self, session: SessionId) {
        self.session.get_or_init(|| session);
    }

    /// Duration so far.
    fn elapsed(&self) -> Duration {
        self.clock.monotonic().since(self.started)
    }

    /// Records the duration of the decision.
    pub(crate) fn record_decision(&mut self) {
        let took = self.elapsed();
        self.decision = Some(took);
        if !self.is_own {
            self.metrics.requests.decision_seconds.observe(took.as_secs_f64());
        }
    }

    /// Records a refusal with `status`. The client may have gone.
    pub(crate) const fn record_refusal(&mut self, refusal: &Refusal, status: u16) {
        self.outcome = Outcome::Refused { code: refusal.code(), grave: status / 100 == 5 };
    }

    /// Records that the request is being forwarded to the app.
    pub(crate) fn record_forwarded(&mut self) {
        self.forwarded = Some(self.clock.monotonic());
    }

    /// Records the header of the app's response and its kind. Returns the duration since the request was forwarded.
    pub(crate) fn record_response_header(&mut self, stream: Stream) -> Option<Duration> {
        let took = self.forwarded.take().map(|at| self.clock.monotonic().since(at));
        self.upstream = took.or(self.upstream);
        if self.stream.replace(stream).is_none() {
            self.metrics.requests.streams.of(stream).inc();
        }
        took
    }

    /// Records the end of the response.
    pub(crate) fn record_end(&mut self) {
        self.took = Some(self.elapsed());
    }

    /// Whether the request was forwarded and no response header was received yet.
    pub(crate) const fn awaits_response(&self) -> bool {
        self.forwarded.is_some()
    }

    /// Name of the route for metrics and the log.
    fn route_name(&self) -> &str {
        match &self.route {
            Some(route) => route.name.as_str(),
            None if self.is_own => "own",
            None => "-",
        }
    }

    fn count(&self, reason: &str, elapsed: Duration) {
        let counted = &self.metrics.requests;
        if let Some(stream) = self.stream {
            counted.streams.of(stream).dec();
        }
        let class = match self.status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "none",
        };
        let route = self.route_name();
        counted.finished.with_label_values(&[route, reason, class]).inc();
        if let Outcome::Refused { code, .. } = self.outcome
            && let Some(&failure) = AuthenticationFailure::ALL.iter().find(|failure| failure.as_str() == code)
        {
            counted.authentication_failures.of(failure).inc();
        }
        if self.outcome != Outcome::Aborted && matches!(self.stream, None | Some(Stream::Response)) {
            counted.seconds.with_label_values(&[route]).observe(elapsed.as_secs_f64());
        }
    }

    fn write(&self, reason: &str, cut: Option<Cut>, elapsed: Duration) {
        let logged = self.logged.as_deref();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: ACCESS,
                    reason,
                    request_id = self.request_id.as_ref().map(RequestId::as_str),
                    method = self.method,
                    host = logged.map(|logged| logged.host.as_str()),
                    path = logged.map(|logged| logged.path.as_str()),
                    status = self.status,
                    route = self.route_name(),
                    client = logged.map(|logged| tracing::field::display(logged.client)),
                    session = self.session.get().map(tracing::field::display),
                    user = self.user.get().map(tracing::field::display),
                    upstream = self.route.as_ref().map(|route| route.upstream.as_str()),
                    server = self.server.as_ref().map(tracing::field::display),
                    bytes_in = self.bytes_in,
                    bytes_out = self.bytes_out,
                    total_ms = millis(elapsed),
                    decision_ms = self.decision.map(millis),
                    upstream_ms = self.upstream.map(millis),
                    protocol = logged.map(|logged| logged.protocol),
                    cut = cut.map(Cut::as_str),
                    cause = self.cause.as_deref(),
                    user_agent = logged.and_then(|logged| logged.user_agent.as_deref()),
                    trace_id = logged.and_then(|logged| logged.trace_id.as_deref()),
                )
            };
        }
        if matches!(self.outcome, Outcome::Refused { grave: true, .. }) { line!(warn) } else { line!(info) }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        // A cut stream has the outcome Forwarded. A response that ended within its grace was not dropped, so not cut.
        let cut = self.control.dropped();
        // An app that did not accept the request to its end, so that Pingora could not be interrupted.
        if cut == Some(Cut::UpstreamTimeout) && self.outcome == Outcome::Aborted {
            let refusal = Refusal::UpstreamTimeout;
            let status = OwnResponse::refusal(&refusal, None).status;
            self.record_refusal(&refusal, status);
            if self.control.was_answered_late() {
                self.status = status;
            }
        }
        let (reason, is_ordinary) = match (self.outcome, cut) {
            (Outcome::Aborted | Outcome::Forwarded, Some(cause)) => {
                self.metrics.requests.cut.with_label_values(&[cause.as_str()]).inc();
                ("cut", false)
            }
            (Outcome::Aborted, None) => ("aborted", false),
            (Outcome::Answered, _) => ("answered", true),
            (Outcome::Forwarded, _) => ("forwarded", true),
            (Outcome::Refused { code, .. }, _) => (code, false),
        };
        let elapsed = self.took.unwrap_or_else(|| self.elapsed());
        self.count(reason, elapsed);
        match self.lines {
            LogAccess::None => {}
            LogAccess::Refused if is_ordinary => {}
            LogAccess::Refused | LogAccess::All => self.write(reason, cut, elapsed),
        }
        // Last: when no request is in flight, all are counted and logged. The drain and tests rely on it.
        self.metrics.requests.in_flight.dec();
        self.traffic.request_ended();
    }
}

/// Milliseconds with fractions: a decision takes a few hundredths of one.
fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// Truncates a text from the client. Escaping is done by the log.
fn truncate(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "other",
    }
}

/// Returns the trace id of `traceparent` (W3C Trace Context section 3.2). Accepted from any client: it is only logged.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let mut sent = headers.get_all("traceparent").iter();
    let one = sent.next().filter(|_| sent.next().is_none())?.to_str().ok()?;
    let mut parts = one.split('-');
    let is_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    (is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16)).then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_id_needs_one_valid_traceparent() {
        let id_of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("traceparent", value.parse().unwrap());
            }
            trace_id(&headers)
        };
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(id_of(&[good]).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(id_of(&[]), None);
        assert_eq!(id_of(&[good, good]), None);
        for bad in [
            "",
            "00",
            "00-xyz-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(id_of(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn long_client_text_is_truncated() {
        assert_eq!(truncate(b"/caf\xc3\xa9"), "/caf\u{e9}");
        assert_eq!(
            truncate("\u{e9}".repeat(MAX_CHARS + 1).as_bytes()),
            format!("{}…", "\u{e9}".repeat(MAX_CHARS))
        );
        assert_eq!(truncate(b"\xff"), "\u{fffd}");
    }
}
