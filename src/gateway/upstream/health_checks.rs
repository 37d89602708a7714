//! Active health checks of the upstreams that enable them.
//!
//! One loop finds the addresses of the snapshot in force whose check is due, and checks each in a task of its own. A reload takes
//! effect with the next round. Checks use the options of requests (scheme, certificate, name), but a new connection each: a
//! reused one says nothing about the next connect.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Uri, header};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::ALPN;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::Peer as _;
use pingora::{Error, ErrorType};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::{Checks, Scheme};
use crate::gateway::request::panic_guard::{Panicked, catch_panic};
use crate::gateway::upstream::{handshake, upstream_request};
use crate::id::Random;
use crate::metrics::Metrics;
use crate::snapshot::Current;
use crate::snapshot::upstreams::{Candidate, Check, Report};

/// Maximum number of concurrent checks. Each holds a descriptor. With 32 checks of one second each (the default timeout), 160
/// addresses are still checked every five seconds (the default interval).
const MAX_CONCURRENT: usize = 32;

/// Longest time between two rounds: checks that a reload adds start within it.
const ROUND_INTERVAL: Duration = Duration::from_millis(250);

/// Maximum number of body bytes read, so that the app can write its response. A longer body is cut off.
const MAX_BODY: usize = 64 * 1024;

/// Maximum number of informational responses before the final one (RFC 9110 section 15.2): more than any server sends.
const MAX_INFORMATIONAL: usize = 8;

/// Dependencies of the health checks.
#[derive(Clone)]
pub struct Checking {
    /// Configuration in force, with the addresses to check.
    pub current: Current,
    /// Source of time.
    pub clock: Arc<dyn Clock>,
    /// Source of jitter between checks.
    pub random: Arc<dyn Random>,
    /// Metrics, for panics in a check.
    pub metrics: Arc<Metrics>,
}

/// Runs the health checks. Never returns.
pub async fn keep_checking(checking: Checking) {
    let prober = Arc::new(Prober { connector: OnceLock::new(), permits: Semaphore::new(MAX_CONCURRENT) });
    let mut running = JoinSet::new();
    loop {
        let mut pause = ROUND_INTERVAL;
        for group in checking.current.load().upstreams.all() {
            for candidate in group.candidates().iter() {
                let Some(checks) = candidate.checks() else { break };
                match candidate.start_check(checks, checking.clock.monotonic(), fraction(&checking.random)) {
                    Ok(check) => {
                        running.spawn(run(Arc::clone(&prober), check, checking.clone()));
                    }
                    Err(wait) => pause = pause.min(wait),
                }
            }
        }
        tokio::time::sleep(pause).await;
        while running.try_join_next().is_some() {}
    }
}

/// Returns a random number from 0 to 1.
fn fraction(random: &Arc<dyn Random>) -> f64 {
    f64::from(u16::from_ne_bytes(random.bytes())) / f64::from(u16::MAX)
}

/// Runs one check, once a permit is free, and reports its result.
async fn run(prober: Arc<Prober>, check: Check, Checking { clock, metrics, .. }: Checking) {
    let Ok(_permit) = prober.permits.acquire().await else { return };
    let (started, candidate) = (clock.monotonic(), Arc::clone(check.candidate()));
    let Some(checks) = candidate.checks() else { return };
    let probe = Box::pin(prober.probe(&candidate, checks));
    let probed = catch_panic(tokio::time::timeout(checks.timeout, probe)).await;
    let (failure, session) = match probed {
        Ok(Ok(Ok(Probed { status, session }))) => {
            let is_expected = status.is_none_or(|status| checks.expects(status));
            (status.filter(|_| !is_expected).map(|status| format!("answered {status}")), session)
        }
        Ok(Ok(Err(cause))) => (Some(cause), None),
        Ok(Err(_)) => (Some(format!("no answer within {:?}", checks.timeout)), None),
        Err(Panicked) => {
            // A panic is a defect of the gateway, and says nothing about the server.
            metrics.requests.panics.inc();
            return;
        }
    };
    let at = clock.monotonic();
    check.end(Report { at, took: at.since(started), failure });
    if let Some(session) = session {
        let _ = tokio::time::timeout(checks.timeout, drain(session)).await;
    }
}

/// Result of a probe that got through.
struct Probed {
    /// Status of the response; `None` if the check only connects.
    status: Option<u16>,
    /// Session with the rest of the response.
    session: Option<HttpSession>,
}

struct Prober {
    /// Created for the first check: it loads the system trust store, a megabyte that a gateway without checks does not need.
    connector: OnceLock<Connector>,
    permits: Semaphore,
}

impl Prober {
    /// Probes the server once. The error is a text for operators.
    async fn probe(&self, candidate: &Candidate, checks: &Checks) -> Result<Probed, String> {
        let connector = self.connector.get_or_init(|| Connector::new(None));
        let mut peer =
            upstream_request::base_peer(candidate).map_err(|error| describe("cannot connect", &error))?;
        if checks.path.is_none()
            && let Some(options) = peer.get_mut_peer_options()
        {
            // A check without a path only connects: no HTTP is spoken.
            options.alpn = ALPN::H1;
        }
        let connected = connector.get_http_session(&peer).await;
        let (mut session, _) = connected.map_err(|error| describe("cannot connect", &error))?;
        let Some(path) = &checks.path else { return Ok(Probed { status: None, session: None }) };
        let request = request(candidate, checks, path).ok_or("the request cannot be made")?;
        let status = exchange(&mut session, request).await.map_err(|error| describe("no answer", &error))?;
        Ok(Probed { status: Some(status), session: Some(session) })
    }
}

fn request(candidate: &Candidate, checks: &Checks, path: &str) -> Option<RequestHeader> {
    let host = match &checks.host {
        Some(host) => HeaderValue::from_str(host).ok()?,
        None => candidate.server.authority.clone(),
    };
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(4)).ok()?;
    request.insert_header(header::USER_AGENT, USER_AGENT).ok()?;
    request.insert_header(header::ACCEPT, "*/*").ok()?;
    if candidate.server.scheme == Scheme::H2c {
        // RFC 9113 section 8.3.1: HTTP/2 uses the `:authority` pseudo-header instead of `Host`.
        let uri =
            Uri::builder().scheme("http").authority(host.as_bytes()).path_and_query(path).build().ok()?;
        request.set_version(http::Version::HTTP_2);
        request.set_uri(uri);
    } else {
        request.insert_header(header::HOST, host).ok()?;
        request.insert_header(header::CONNECTION, "close").ok()?;
    }
    Some(request)
}

const USER_AGENT: &str = concat!("doorward/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Sends the request, and returns the status of the final response.
async fn exchange(session: &mut HttpSession, request: RequestHeader) -> pingora::Result<u16> {
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    for _ in 0..=MAX_INFORMATIONAL {
        session.read_response_header().await?;
        match session.response_header().map(|response| response.status.as_u16()) {
            Some(status) if status >= 200 => return Ok(status),
            _ => {}
        }
    }
    Err(Error::explain(ErrorType::InvalidHTTPHeader, "no final answer"))
}

/// Reads the rest of the response, so that the app's write does not fail.
async fn drain(mut session: HttpSession) {
    let mut read = 0;
    while read < MAX_BODY
        && let Ok(Some(chunk)) = session.read_response_body().await
    {
        read += Bytes::len(&chunk).max(1);
    }
    session.shutdown().await;
}

/// Describes a transport error for the log.
fn describe(step: &str, error: &Error) -> String {
    let text = format!("{step}: {}: {}", error.etype().as_str(), handshake::cause(error));
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
