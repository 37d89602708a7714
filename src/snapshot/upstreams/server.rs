//! A server as configured, and each address that its name stands for.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::HeaderValue;

use super::address::Address;
use super::health::{Change, Health, Mode, Report, Trial, UnderWay};
use super::tls::Terms;
use crate::clock::{Clock, Monotonic};
use crate::config::{Checks, Health as Policy, Scheme, Upstream, UpstreamServer};
use crate::metrics::{Checked, Ejection, UpstreamSeries};

/// One server as configured.
#[derive(Debug)]
pub struct Server {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its name, or its address.
    pub host: String,
    /// What its certificate must be for, and what is asked for.
    pub server_name: String,
    /// The `Host` an app sees that is not told the client's.
    pub authority: HeaderValue,
    /// How long a connect may take.
    pub connect_timeout: Duration,
    /// How long a connection without requests is kept.
    pub idle_timeout: Duration,
    /// Whom it must be, and who we are to it.
    pub terms: Terms,
    port: u16,
    socket: Option<PathBuf>,
    /// As it stands in the configuration, and of which upstream: in metrics and logs.
    name: String,
    upstream: Arc<str>,
    policy: Arc<Policy>,
    /// Its name did not resolve when last asked for, which was said.
    is_lost: AtomicBool,
    look_up: Arc<Looking>,
    /// Nothing is counted before the snapshot is in force.
    series: OnceLock<UpstreamSeries>,
}

/// What has become of a look-up of its name.
#[derive(Debug, Default)]
enum LookUp {
    #[default]
    None,
    UnderWay,
    Ended(std::io::Result<Vec<Address>>),
}

#[derive(Debug, Default)]
struct Looking(Mutex<LookUp>);

impl Looking {
    fn lock(&self) -> MutexGuard<'_, LookUp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server's address to connect to.
#[derive(Debug)]
pub struct Candidate {
    /// Where.
    pub address: Address,
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
            server_name: upstream.tls.server_name.clone().unwrap_or_else(|| config.host.clone()),
            connect_timeout: upstream.connect_timeout,
            idle_timeout: upstream.idle_timeout,
            terms: Terms::new(&upstream.tls),
            port: config.port,
            socket: config.socket.clone(),
            name: config.to_string(),
            upstream: Arc::clone(name),
            policy: Arc::clone(policy),
            is_lost: AtomicBool::new(false),
            look_up: Arc::default(),
            series: OnceLock::new(),
        }
    }

    /// As it stands in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, when its host is an address: that needs no look-up, ever.
    pub(super) fn literal(&self) -> Option<Address> {
        if let Some(socket) = &self.socket {
            return Some(Address::Unix(socket.as_path().into()));
        }
        Some(Address::Inet(SocketAddr::new(self.host.parse::<IpAddr>().ok()?, self.port)))
    }

    /// Its addresses now, or `None` when its name does not resolve: said once until it does. `is_known` says whether it ever
    /// did.
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

    /// What the system knows of its name. A look-up cannot be broken off and holds a thread to its end: so there is one at a
    /// time, and what it finds too late is there for the next who asks.
    async fn addresses(&self, deadline: Duration) -> std::io::Result<Vec<Address>> {
        let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "the resolver does not answer");
        let before = std::mem::replace(&mut *self.look_up.lock(), LookUp::UnderWay);
        match before {
            LookUp::UnderWay => return Err(late()),
            LookUp::Ended(found) => {
                *self.look_up.lock() = LookUp::None;
                return found;
            }
            LookUp::None => {}
        }
        let (host, port, look_up) = (self.host.clone(), self.port, Arc::clone(&self.look_up));
        let ended = tokio::spawn(async move {
            let found = tokio::net::lookup_host((host, port)).await;
            *look_up.lock() = LookUp::Ended(found.map(|found| found.map(Address::Inet).collect()));
        });
        // Where it failed to end, which is a defect of ours, it is late.
        drop(tokio::time::timeout(deadline, ended).await);
        let mut look_up = self.look_up.lock();
        match std::mem::replace(&mut *look_up, LookUp::None) {
            LookUp::Ended(found) => found,
            under_way => {
                *look_up = under_way;
                Err(late())
            }
        }
    }

    /// Whether both are the same to a client: what is known of an address of one holds for the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.scheme, self.port, self.host.as_str(), &self.socket)
            == (other.scheme, other.port, other.host.as_str(), &other.socket)
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
    pub(super) fn new(address: Address, server: &Arc<Server>, health: Arc<Health>) -> Arc<Self> {
        Arc::new(Self { address, server: Arc::clone(server), health })
    }

    /// Which of its HTTP/2 connections may be used: those made since the last one that was given up.
    pub fn connections(&self) -> u64 {
        self.health.connections()
    }

    /// An HTTP/2 connection of it is not to be used again, which cannot be said of one: none that is there now is.
    pub fn give_up_connections(&self) {
        self.health.give_up_connections();
    }

    /// The app said how long it keeps a connection without requests (`None`: it did not).
    pub fn keeps_connections(&self, said: Option<Duration>) {
        self.health.keeps_connections(said);
    }

    /// How long a connection may be without requests, and still be used: the app must not be about to close it. Zero: not
    /// at all.
    pub fn idle_timeout(&self) -> Duration {
        self.server.idle_timeout.min(self.health.idle_timeout())
    }

    pub(super) const fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// How it stands.
    pub fn standing(&self) -> Mode {
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
