//! Servers as configured, and the addresses their names resolve to.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::HeaderValue;

use super::address::Address;
use super::health::{Change, CheckGuard, Health, HealthStatus, Report, Trial};
use super::tls::Terms;
use crate::clock::{Clock, Monotonic};
use crate::config::{
    Checks, Health as Policy, RequestHeaders, ResponseHeaders, Scheme, Upstream, UpstreamServer,
};
use crate::metrics::{Checked, Ejection, UpstreamSeries};

/// One server as configured.
#[derive(Debug)]
pub struct Server {
    /// Protocol of connections.
    pub scheme: Scheme,
    /// Host name or address.
    pub host: String,
    /// Name for SNI and for checking the server's certificate.
    pub server_name: String,
    /// `Host` header for apps that do not get the client's.
    pub authority: HeaderValue,
    /// Maximum time for a connect.
    pub connect_timeout: Duration,
    /// Maximum time an idle connection is kept.
    pub idle_timeout: Duration,
    /// TLS parameters.
    pub terms: Terms,
    /// Headers of requests to the app.
    pub request_headers: Arc<RequestHeaders>,
    /// Changes of the app's responses.
    pub response_headers: Arc<ResponseHeaders>,
    port: u16,
    socket: Option<PathBuf>,
    /// The server as written in the configuration, and its upstream: for metrics and logs.
    name: String,
    upstream: Arc<str>,
    policy: Arc<Policy>,
    /// The last lookup failed, and the failure was logged.
    is_lost: AtomicBool,
    lookup: Arc<LookupState>,
    /// Metric series; empty before the snapshot comes into force.
    series: OnceLock<UpstreamSeries>,
}

/// State of the DNS lookup.
#[derive(Debug, Default)]
enum Lookup {
    #[default]
    None,
    InProgress,
    Ended(std::io::Result<Vec<Address>>),
}

#[derive(Debug, Default)]
struct LookupState(Mutex<Lookup>);

impl LookupState {
    fn lock(&self) -> MutexGuard<'_, Lookup> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server's address to connect to.
#[derive(Debug)]
pub struct Candidate {
    /// The address.
    pub address: Address,
    /// The server it belongs to.
    pub server: Arc<Server>,
    health: Arc<Health>,
}

impl Server {
    pub(super) fn new(
        config: &UpstreamServer,
        upstream: &Upstream,
        name: &Arc<str>,
        policy: &Arc<Policy>,
        (request_headers, response_headers): (&Arc<RequestHeaders>, &Arc<ResponseHeaders>),
    ) -> Self {
        let authority =
            HeaderValue::from_str(&config.authority()).expect("a checked host and port are a header value");
        Self {
            scheme: config.scheme,
            host: config.host.clone(),
            authority,
            server_name: upstream.tls.server_name.clone().unwrap_or_else(|| config.host.clone()),
            connect_timeout: upstream.connect_timeout,
            idle_timeout: upstream.idle_timeout,
            terms: Terms::new(&upstream.tls),
            request_headers: Arc::clone(request_headers),
            response_headers: Arc::clone(response_headers),
            port: config.port,
            socket: config.socket.clone(),
            name: config.to_string(),
            upstream: Arc::clone(name),
            policy: Arc::clone(policy),
            is_lost: AtomicBool::new(false),
            lookup: Arc::default(),
            series: OnceLock::new(),
        }
    }

    /// Returns the server as written in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address if the host is a literal address or socket, which needs no lookup.
    pub(super) fn literal(&self) -> Option<Address> {
        if let Some(socket) = &self.socket {
            return Some(Address::Unix(socket.as_path().into()));
        }
        Some(Address::Inet(SocketAddr::new(self.host.parse::<IpAddr>().ok()?, self.port)))
    }

    /// Resolves the server's name. `None` when it does not resolve, which is logged once per outage. `is_known`: it
    /// resolved before.
    pub(super) async fn look_up(&self, is_known: bool, deadline: Duration) -> Option<Vec<Address>> {
        match self.addresses(deadline).await {
            Ok(mut found) => {
                found.sort_unstable();
                found.dedup();
                if self.is_lost.swap(false, Ordering::Relaxed) {
                    tracing::info!(
                        reason = "upstream_resolved",
                        server = self.host,
                        "the name of an upstream's server resolves again"
                    );
                }
                (!found.is_empty()).then_some(found)
            }
            Err(error) => {
                if !self.is_lost.swap(true, Ordering::Relaxed) {
                    let meanwhile =
                        if is_known { "its last addresses are used" } else { "nothing is sent there" };
                    tracing::warn!(
                        reason = "upstream_unresolved",
                        server = self.host,
                        cause = %error,
                        "the name of an upstream's server does not resolve; until it does, {meanwhile}"
                    );
                }
                None
            }
        }
    }

    /// Queries the system resolver. A lookup cannot be cancelled and holds a thread to its end. So there is one at a
    /// time, and a late result is used by the next call.
    async fn addresses(&self, deadline: Duration) -> std::io::Result<Vec<Address>> {
        let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "the resolver does not respond");
        let before = std::mem::replace(&mut *self.lookup.lock(), Lookup::InProgress);
        match before {
            Lookup::InProgress => return Err(late()),
            Lookup::Ended(found) => {
                *self.lookup.lock() = Lookup::None;
                return found;
            }
            Lookup::None => {}
        }
        let (host, port, lookup) = (self.host.clone(), self.port, Arc::clone(&self.lookup));
        let ended = tokio::spawn(async move {
            let found = tokio::net::lookup_host((host, port)).await;
            *lookup.lock() = Lookup::Ended(found.map(|found| found.map(Address::Inet).collect()));
        });
        // If the task failed, which is a defect, the state stays in progress and counts as late.
        drop(tokio::time::timeout(deadline, ended).await);
        let mut lookup = self.lookup.lock();
        match std::mem::replace(&mut *lookup, Lookup::None) {
            Lookup::Ended(found) => found,
            in_progress => {
                *lookup = in_progress;
                Err(late())
            }
        }
    }

    /// Returns whether both are the same server to a client, so that the health of an address applies to both.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.scheme, self.port, self.host.as_str(), &self.socket)
            == (other.scheme, other.port, other.host.as_str(), &other.socket)
    }

    pub(super) fn set_series(&self, series: UpstreamSeries) {
        // A snapshot comes into force only once.
        let _ = self.series.set(series);
    }

    pub(super) fn series(&self) -> Option<&UpstreamSeries> {
        self.series.get()
    }
}

impl Candidate {
    pub(super) fn new(address: Address, server: &Arc<Server>, health: Arc<Health>) -> Arc<Self> {
        Arc::new(Self { address, server: Arc::clone(server), health })
    }

    /// Returns the key of HTTP/2 connections that may be used: those made since the last abandonment.
    pub fn connections(&self) -> u64 {
        self.health.connections()
    }

    /// Abandons all current HTTP/2 connections. The pool cannot exclude a single one.
    pub fn abandon_connections(&self) {
        self.health.abandon_connections();
    }

    /// Returns the key of connections that were kept under the app's current keep-alive timeout.
    ///
    /// The timeout arrives with a response, and Pingora keeps the connection of that response with the idle timeout that its request
    /// began with. So a connection that was kept for longer than the app now allows is not reused.
    pub fn kept_connections(&self) -> u64 {
        self.health.kept_connections()
    }

    /// Records the keep-alive timeout that the app announced (`None`: it announced none).
    pub fn set_keep_alive(&self, announced: Option<Duration>) {
        self.health.set_keep_alive(announced);
    }

    /// Returns the maximum idle time of a reusable connection, short enough that the app is not about to close it.
    /// Zero: no reuse.
    pub fn idle_timeout(&self) -> Duration {
        self.server.idle_timeout.min(self.health.idle_timeout())
    }

    pub(super) const fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Returns the health of the address.
    pub fn health_status(&self) -> HealthStatus {
        self.health.status(&self.server.policy)
    }

    pub(super) fn start_trial(&self, now: Monotonic) -> Option<Trial> {
        self.health.start_trial(&self.server.policy, now)
    }

    /// Records the start of a response, `took` after the request (`None`: not measured). Only 502, 503 and 504 count as
    /// failures of the address.
    pub fn response_started(&self, status: u16, took: Option<Duration>, clock: &dyn Clock) {
        if let (Some(series), Some(took)) = (self.server.series(), took) {
            series.seconds.observe(took.as_secs_f64());
        }
        if matches!(status, BAD_GATEWAY | UNAVAILABLE | GATEWAY_TIMEOUT) {
            return self.failed(Ejection::Status, clock);
        }
        if self.health.succeeded() == Change::Restored {
            self.log_restored("requests");
        }
    }

    /// Records a failed connect. One caused by a lack of local resources (`is_ours`) does not count against the server.
    pub fn connect_failed(&self, is_ours: bool, clock: &dyn Clock) {
        if let Some(series) = self.server.series() {
            series.connect_failures.inc();
        }
        if !is_ours {
            self.failed(Ejection::Connect, clock);
        }
    }

    /// Records a response timeout.
    pub fn timed_out(&self, clock: &dyn Clock) {
        self.failed(Ejection::Timeout, clock);
    }

    /// Records a connection that ended or broke the protocol before a response.
    pub fn connection_broke(&self, clock: &dyn Clock) {
        self.failed(Ejection::Status, clock);
    }

    fn failed(&self, cause: Ejection, clock: &dyn Clock) {
        if let Change::Ejected(length) = self.health.failed(cause, &self.server.policy, clock.monotonic()) {
            self.log_ejected(cause, Some(length));
        }
    }

    /// Returns the settings of active checks, if configured.
    pub fn checks(&self) -> Option<&Checks> {
        self.server.policy.checks.as_ref()
    }

    /// Starts a check if one is due. `part` is a random number from 0 to 1.
    ///
    /// # Errors
    /// The time to wait until the next check.
    pub fn start_check(
        self: &Arc<Self>,
        checks: &Checks,
        now: Monotonic,
        part: f64,
    ) -> Result<Check, Duration> {
        let in_progress = self.health.start_check(checks, now, part)?;
        Ok(Check { candidate: Arc::clone(self), _guard: in_progress })
    }

    fn checked(&self, report: Report) {
        let Some(checks) = self.checks() else { return };
        if let Some(series) = self.server.series() {
            let result = if report.failure.is_some() { Checked::Failed } else { Checked::Ok };
            series.checks.of(result).inc();
        }
        match self.health.checked(report, checks) {
            Change::Ejected(_) => self.log_ejected(Ejection::Check, None),
            Change::Restored => self.log_restored("checks"),
            Change::None => {}
        }
    }

    fn log_ejected(&self, cause: Ejection, length: Option<Duration>) {
        use crate::metrics::Label as _;
        if let Some(series) = self.server.series() {
            series.ejections.of(cause).inc();
        }
        let failure = self.health_status().last_check.and_then(|report| report.failure);
        tracing::warn!(
            reason = "upstream_ejected",
            upstream = &*self.server.upstream,
            server = self.server.name,
            address = %self.address,
            cause = cause.as_str(),
            seconds = length.map(|length| length.as_secs()),
            check = failure.filter(|_| cause == Ejection::Check),
            "this address of the app fails: others get requests first"
        );
    }

    fn log_restored(&self, by: &'static str) {
        tracing::info!(
            reason = "upstream_back",
            upstream = &*self.server.upstream,
            server = self.server.name,
            address = %self.address,
            by,
            in_turn = self.health_status().is_healthy(),
            "this address of the app works again"
        );
    }
}

/// Statuses that mean the app behind the server is unavailable (RFC 9110 sections 15.6.3 to 15.6.5).
const BAD_GATEWAY: u16 = 502;
const UNAVAILABLE: u16 = 503;
const GATEWAY_TIMEOUT: u16 = 504;

/// A check in progress.
#[derive(Debug)]
pub struct Check {
    candidate: Arc<Candidate>,
    _guard: CheckGuard,
}

impl Check {
    /// Returns the checked address.
    pub fn candidate(&self) -> &Arc<Candidate> {
        &self.candidate
    }

    /// Ends the check with its result.
    pub fn end(self, report: Report) {
        self.candidate.checked(report);
    }
}
