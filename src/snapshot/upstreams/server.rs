//! A server as configured, and each address that its name stands for.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderValue;

use super::health::{Change, Health, Report, Standing, Trial, UnderWay};
use super::tls::Terms;
use crate::clock::{Clock, Monotonic};
use crate::config::{Checks, Health as Policy, Scheme, Upstream, UpstreamServer};
use crate::metrics::{Checked, Ejection, UpstreamSeries};

/// One server as configured.
#[derive(Debug)]
pub struct Server {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its name: what its certificate must be for.
    pub host: String,
    /// The `Host` an app sees that is not told the client's.
    pub authority: HeaderValue,
    /// How long a connect may take.
    pub connect_timeout: Duration,
    /// Whom it must be, and who we are to it.
    pub terms: Terms,
    port: u16,
    /// As it stands in the configuration, and of which upstream: in metrics and logs.
    name: String,
    upstream: Arc<str>,
    policy: Arc<Policy>,
    /// Its name did not resolve when last asked for, which was said.
    is_lost: AtomicBool,
    /// Nothing is counted before the snapshot is in force.
    series: OnceLock<UpstreamSeries>,
}

/// A server's address to connect to.
#[derive(Debug)]
pub struct Candidate {
    /// Where.
    pub address: SocketAddr,
    /// Of which server.
    pub server: Arc<Server>,
    health: Arc<Health>,
}

impl Server {
    pub(super) fn new(
        config: &UpstreamServer,
        upstream: &Upstream,
        name: &Arc<str>,
        policy: &Arc<Policy>,
    ) -> Self {
        let authority =
            HeaderValue::from_str(&config.authority()).expect("a checked host and port are a header value");
        Self {
            scheme: config.scheme,
            host: config.host.clone(),
            authority,
            connect_timeout: upstream.connect_timeout,
            terms: Terms::new(&upstream.tls),
            port: config.port,
            name: config.to_string(),
            upstream: Arc::clone(name),
            policy: Arc::clone(policy),
            is_lost: AtomicBool::new(false),
            series: OnceLock::new(),
        }
    }

    /// As it stands in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, when its host is an address: that needs no look-up, ever.
    pub(super) fn literal(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse::<IpAddr>().ok()?, self.port))
    }

    /// Its addresses now, or `None` when its name does not resolve: said once until it does. `is_known` says whether it ever
    /// did.
    pub(super) async fn look_up(&self, is_known: bool) -> Option<Vec<SocketAddr>> {
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(found) => {
                let mut found: Vec<SocketAddr> = found.collect();
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

    /// Whether both are the same to a client: what is known of an address of one holds for the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.scheme, self.port, self.host.as_str()) == (other.scheme, other.port, other.host.as_str())
    }

    pub(super) fn count_in(&self, series: UpstreamSeries) {
        // A snapshot comes into force once.
        let _ = self.series.set(series);
    }

    pub(super) fn series(&self) -> Option<&UpstreamSeries> {
        self.series.get()
    }
}

impl Candidate {
    pub(super) fn new(address: SocketAddr, server: &Arc<Server>, health: Arc<Health>) -> Arc<Self> {
        Arc::new(Self { address, server: Arc::clone(server), health })
    }

    pub(super) const fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.health.standing(&self.server.policy)
    }

    pub(super) fn try_out(&self, now: Monotonic) -> Option<Trial> {
        self.health.try_out(&self.server.policy, now)
    }

    /// The app's answer began, this long after it was asked (`None`: not told). What the answer says of the app itself is
    /// its business, except that it is not there.
    pub fn answered(&self, status: u16, took: Option<Duration>, clock: &dyn Clock) {
        if let (Some(series), Some(took)) = (self.server.series(), took) {
            series.seconds.observe(took.as_secs_f64());
        }
        if matches!(status, BAD_GATEWAY | UNAVAILABLE | GATEWAY_TIMEOUT) {
            return self.failed(Ejection::Status, clock);
        }
        if self.health.succeeded() == Change::Back {
            self.say_back("requests");
        }
    }

    /// A connect failed, perhaps for want of something here: then it says nothing about the server.
    pub fn connect_failed(&self, is_ours: bool, clock: &dyn Clock) {
        if let Some(series) = self.server.series() {
            series.connect_failures.inc();
        }
        if !is_ours {
            self.failed(Ejection::Connect, clock);
        }
    }

    /// No answer came in time.
    pub fn timed_out(&self, clock: &dyn Clock) {
        self.failed(Ejection::Timeout, clock);
    }

    /// The connection ended, or said nonsense, where an answer should have come.
    pub fn broke_off(&self, clock: &dyn Clock) {
        self.failed(Ejection::Status, clock);
    }

    fn failed(&self, cause: Ejection, clock: &dyn Clock) {
        if let Change::PutLast(length) = self.health.failed(cause, &self.server.policy, clock.monotonic()) {
            self.say_last(cause, Some(length));
        }
    }

    /// Its checks, where there are any.
    pub fn checks(&self) -> Option<&Checks> {
        self.server.policy.checks.as_ref()
    }

    /// Begins a check, if one is due; else says how long to wait. `part` is a random number from 0 to 1.
    ///
    /// # Errors
    /// How long to wait.
    pub fn begin_check(
        self: &Arc<Self>,
        checks: &Checks,
        now: Monotonic,
        part: f64,
    ) -> Result<Check, Duration> {
        let under_way = self.health.begin_check(checks, now, part)?;
        Ok(Check { candidate: Arc::clone(self), _under_way: under_way })
    }

    fn checked(&self, report: Report) {
        let Some(checks) = self.checks() else { return };
        if let Some(series) = self.server.series() {
            let result = if report.failure.is_some() { Checked::Failed } else { Checked::Ok };
            series.checks.of(result).inc();
        }
        match self.health.checked(report, checks) {
            Change::PutLast(_) => self.say_last(Ejection::Check, None),
            Change::Back => self.say_back("checks"),
            Change::None => {}
        }
    }

    fn say_last(&self, cause: Ejection, length: Option<Duration>) {
        use crate::metrics::Label as _;
        if let Some(series) = self.server.series() {
            series.ejections.of(cause).inc();
        }
        let failure = self.standing().last_check.and_then(|report| report.failure);
        tracing::warn!(
            reason = "upstream_ejected",
            upstream = &*self.server.upstream,
            server = self.server.name,
            address = %self.address,
            cause = cause.as_str(),
            seconds = length.map(|length| length.as_secs()),
            check = failure.filter(|_| cause == Ejection::Check),
            "this address of the app fails; others are asked first"
        );
    }

    fn say_back(&self, by: &'static str) {
        tracing::info!(
            reason = "upstream_back",
            upstream = &*self.server.upstream,
            server = self.server.name,
            address = %self.address,
            by,
            in_turn = self.standing().is_in_turn(),
            "this address of the app works again"
        );
    }
}

/// Statuses by which a server says that the app behind it is not there (RFC 9110 sections 15.6.3 to 15.6.5).
const BAD_GATEWAY: u16 = 502;
const UNAVAILABLE: u16 = 503;
const GATEWAY_TIMEOUT: u16 = 504;

/// A check under way.
#[derive(Debug)]
pub struct Check {
    candidate: Arc<Candidate>,
    _under_way: UnderWay,
}

impl Check {
    /// Of which address.
    pub fn candidate(&self) -> &Arc<Candidate> {
        &self.candidate
    }

    /// Ends it.
    pub fn end(self, report: Report) {
        self.candidate.checked(report);
    }
}
