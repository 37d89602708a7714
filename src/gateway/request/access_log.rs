//! The account of one request: counted and written when it is dropped, however it ended.

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
use crate::id::{SessionId, UserId};
use crate::identity::Identity;
use crate::metrics::{AuthenticationFailure, Label as _, Metrics, Stream};
use crate::request_id::RequestId;
use crate::snapshot::upstreams::Address;

/// The target of the line that every request has, and no other.
pub const ACCESS: &str = "doorward::access";

/// Characters of a path, a host or a user agent that stand in the log: enough to recognise it, and no room for more.
const SHOWN: usize = 256;

/// What is counted and logged about one request.
pub(crate) struct RequestLog {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    traffic: Arc<Traffic>,
    control: Arc<Control>,
    started: Monotonic,
    /// What it took, where something else follows its answer.
    took: Option<Duration>,
    /// Which requests have a line.
    lines: LogAccess,
    /// What it is called, once its header was looked at.
    pub(crate) request_id: Option<RequestId>,
    pub(crate) method: &'static str,
    /// What only the log wants: there where somebody reads it.
    shown: Option<Box<Shown>>,
    pub(crate) route: Option<Arc<Route>>,
    /// Whether it was for one of our endpoints.
    pub(crate) own: bool,
    session: OnceLock<SessionId>,
    user: OnceLock<UserId>,
    /// The address it was sent to, or should have been.
    pub(crate) server: Option<Address>,
    /// When it was sent on to the app.
    forwarded: Option<Monotonic>,
    /// What the check took, and the app up to the header of its answer.
    decision: Option<Duration>,
    upstream: Option<Duration>,
    /// Of the bodies, as far as they came.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// What kind of answer is being written.
    stream: Option<Stream>,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    /// What the transport said when it could not be forwarded.
    pub(crate) cause: Option<String>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The future was dropped: the client went away, or it was cut.
    Aborted,
    /// By one of our endpoints.
    Answered,
    /// By the app.
    Forwarded,
    /// By us, with this code.
    Refused {
        /// The stable one.
        code: &'static str,
        /// It is not the client's doing.
        grave: bool,
    },
}

/// What only the log wants.
struct Shown {
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
            shown: None,
            route: None,
            own: false,
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

    /// Whether a line will be written however it ends; otherwise only if it ends badly.
    pub(crate) fn is_read(&self) -> bool {
        self.lines != LogAccess::None && tracing::enabled!(target: ACCESS, tracing::Level::INFO)
    }

    /// Remembers what the log shows of a request. A query may hold secrets and is left out.
    pub(crate) fn show(&mut self, request: &RequestHeader, client: IpAddr, log: &Log) {
        let headers = &request.headers;
        let host = match request.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => headers.get(header::HOST).map_or(&b""[..], |host| host.as_bytes()),
        };
        let agent = headers.get(header::USER_AGENT).filter(|_| log.user_agent);
        self.shown = Some(Box::new(Shown {
            host: cut(host),
            path: cut(request_target::path_of(request)),
            client,
            protocol: protocol(request.version),
            user_agent: agent.map(|agent| cut(agent.as_bytes())),
            trace_id: trace_id(headers),
        }));
    }

    /// Whether [`Self::show`] has been called.
    pub(crate) const fn is_shown(&self) -> bool {
        self.shown.is_some()
    }

    /// Who it is.
    pub(crate) fn belongs_to(&self, identity: &Identity) {
        self.opened(identity.session_id());
        self.user.get_or_init(|| identity.user_id());
    }

    /// Which session it has to do with.
    pub(crate) fn opened(&self, session: SessionId) {
        self.session.get_or_init(|| session);
    }

    /// How long it has taken so far.
    fn elapsed(&self) -> Duration {
        self.clock.monotonic().since(self.started)
    }

    /// It was found out whether it is forwarded, or what to do with it.
    pub(crate) fn was_decided(&mut self) {
        let took = self.elapsed();
        self.decision = Some(took);
        if !self.own {
            self.metrics.requests.decision_seconds.observe(took.as_secs_f64());
        }
    }

    /// It is refused: with an answer of this status, if there is still somebody to give it to.
    pub(crate) const fn was_refused(&mut self, refusal: &Refusal, status: u16) {
        self.outcome = Outcome::Refused { code: refusal.code(), grave: status / 100 == 5 };
    }

    /// It is sent on to the app now.
    pub(crate) fn was_forwarded(&mut self) {
        self.forwarded = Some(self.clock.monotonic());
    }

    /// The header of the app's answer is here, and what follows is of that kind. Answers how long it took.
    pub(crate) fn is_answered(&mut self, stream: Stream) -> Option<Duration> {
        let took = self.forwarded.take().map(|at| self.clock.monotonic().since(at));
        self.upstream = took.or(self.upstream);
        if self.stream.replace(stream).is_none() {
            self.metrics.requests.streams.of(stream).inc();
        }
        took
    }

    /// The answer is out.
    pub(crate) fn is_over(&mut self) {
        self.took = Some(self.elapsed());
    }

    /// Whether it was sent on to the app and nothing has come back.
    pub(crate) const fn awaits_answer(&self) -> bool {
        self.forwarded.is_some()
    }

    /// Its name for metrics and the log.
    fn route_name(&self) -> &str {
        match &self.route {
            Some(route) => route.name.as_str(),
            None if self.own => "own",
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
            && let Some(&failure) = AuthenticationFailure::ALL.iter().find(|known| known.as_str() == code)
        {
            counted.authentication_failures.of(failure).inc();
        }
        if self.outcome != Outcome::Aborted && matches!(self.stream, None | Some(Stream::Response)) {
            counted.seconds.with_label_values(&[route]).observe(elapsed.as_secs_f64());
        }
    }

    fn write(&self, reason: &str, cut: Option<Cut>, elapsed: Duration) {
        let shown = self.shown.as_deref();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: ACCESS,
                    reason,
                    request_id = self.request_id.as_ref().map(RequestId::as_str),
                    method = self.method,
                    host = shown.map(|shown| shown.host.as_str()),
                    path = shown.map(|shown| shown.path.as_str()),
                    status = self.status,
                    route = self.route_name(),
                    client = shown.map(|shown| tracing::field::display(shown.client)),
                    session = self.session.get().map(tracing::field::display),
                    user = self.user.get().map(tracing::field::display),
                    upstream = self.route.as_ref().map(|route| route.upstream.as_str()),
                    server = self.server.as_ref().map(tracing::field::display),
                    bytes_in = self.bytes_in,
                    bytes_out = self.bytes_out,
                    total_ms = millis(elapsed),
                    decision_ms = self.decision.map(millis),
                    upstream_ms = self.upstream.map(millis),
                    protocol = shown.map(|shown| shown.protocol),
                    cut = cut.map(Cut::as_str),
                    cause = self.cause.as_deref(),
                    user_agent = shown.and_then(|shown| shown.user_agent.as_deref()),
                    trace_id = shown.and_then(|shown| shown.trace_id.as_deref()),
                )
            };
        }
        if matches!(self.outcome, Outcome::Refused { grave: true, .. }) { line!(warn) } else { line!(info) }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        // A stream that was cut had begun to be forwarded; what came to its end within its grace was not cut.
        let cut = self.control.dropped();
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
        // Last: whoever sees none in flight sees all of them counted, and a drain that has seen the last sees its line.
        self.metrics.requests.in_flight.dec();
        self.traffic.request_ended();
    }
}

/// With its fractions: a check takes some hundredths of one.
fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// The beginning of what a client sent; the log escapes what is in it.
fn cut(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(SHOWN) {
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

/// The trace a request belongs to, whoever says so (W3C Trace Context section 3.2): nothing hangs on it.
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
    fn a_trace_is_named_only_by_a_well_formed_context() {
        let ask = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("traceparent", value.parse().unwrap());
            }
            trace_id(&headers)
        };
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(ask(&[good]).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(ask(&[]), None);
        assert_eq!(ask(&[good, good]), None);
        for bad in [
            "",
            "00",
            "00-xyz-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(ask(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn what_a_client_sent_is_cut() {
        assert_eq!(cut(b"/caf\xc3\xa9"), "/caf\u{e9}");
        assert_eq!(cut("\u{e9}".repeat(SHOWN + 1).as_bytes()), format!("{}…", "\u{e9}".repeat(SHOWN)));
        assert_eq!(cut(b"\xff"), "\u{fffd}");
    }
}
