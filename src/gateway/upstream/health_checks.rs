//! Active checks: the servers of an upstream that wants it are asked, again and again, how they are.
//!
//! One loop looks which addresses of the snapshot in force are due and asks each in a task of its own; a reload brings and
//! removes checks with the next look. They go the way of requests (scheme, certificate, name) on a connection of their own:
//! one that was kept says nothing about the next connect.

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

/// Checks under way at once. Each holds a descriptor; and while as many hang for a second each (the default timeout), 160
/// addresses are still asked every five seconds (the default interval).
const AT_ONCE: usize = 32;

/// Checks that a reload brought begin within this.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// An answer's body is read up to this, so that the app can write it; what is longer is broken off.
const BODY: usize = 64 * 1024;

/// Answers that may come before the answer (RFC 9110 section 15.2): more than any server sends.
const INTERIM: usize = 8;

/// What the checks work with.
#[derive(Clone)]
pub struct Checking {
    /// Which addresses, and how.
    pub current: Current,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Spreads them in time.
    pub random: Arc<dyn Random>,
    /// Counts defects of ours.
    pub metrics: Arc<Metrics>,
}

/// Makes the checks; never ends by itself.
pub async fn keep_checking(checking: Checking) {
    let prober = Arc::new(Prober { connector: OnceLock::new(), places: Semaphore::new(AT_ONCE) });
    let mut under_way = JoinSet::new();
    loop {
        let mut pause = LOOK_EVERY;
        for group in checking.current.load().upstreams.all() {
            for candidate in group.candidates().iter() {
                let Some(checks) = candidate.checks() else { break };
                match candidate.start_check(checks, checking.clock.monotonic(), part(&checking.random)) {
                    Ok(check) => {
                        under_way.spawn(run(Arc::clone(&prober), check, checking.clone()));
                    }
                    Err(wait) => pause = pause.min(wait),
                }
            }
        }
        tokio::time::sleep(pause).await;
        while under_way.try_join_next().is_some() {}
    }
}

/// A number from 0 to 1.
fn part(random: &Arc<dyn Random>) -> f64 {
    f64::from(u16::from_ne_bytes(random.bytes())) / f64::from(u16::MAX)
}

/// One check, from its waiting for a place to its report.
async fn run(prober: Arc<Prober>, check: Check, Checking { clock, metrics, .. }: Checking) {
    let Ok(_place) = prober.places.acquire().await else { return };
    let (began, candidate) = (clock.monotonic(), Arc::clone(check.candidate()));
    let Some(checks) = candidate.checks() else { return };
    let asking = Box::pin(prober.ask(&candidate, checks));
    let asked = catch_panic(tokio::time::timeout(checks.timeout, asking)).await;
    let (failure, left) = match asked {
        Ok(Ok(Ok(Asked { status, left }))) => {
            let is_good = status.is_none_or(|status| checks.expects(status));
            (status.filter(|_| !is_good).map(|status| format!("answered {status}")), left)
        }
        Ok(Ok(Err(why))) => (Some(why), None),
        Ok(Err(_)) => (Some(format!("no answer within {:?}", checks.timeout)), None),
        Err(Panicked) => {
            // A defect of ours says nothing about the server.
            metrics.requests.panics.inc();
            return;
        }
    };
    let at = clock.monotonic();
    check.end(Report { at, took: at.since(began), failure });
    if let Some(session) = left {
        let _ = tokio::time::timeout(checks.timeout, drain(session)).await;
    }
}

/// What a check came to.
struct Asked {
    /// The status of the answer; none where a connect was enough.
    status: Option<u16>,
    /// The rest of the answer.
    left: Option<HttpSession>,
}

struct Prober {
    /// Made for the first check: it loads whom this system trusts, a megabyte that a gateway without checks need not hold.
    connector: OnceLock<Connector>,
    places: Semaphore,
}

impl Prober {
    /// Asks once; the error says what was wrong, to people.
    async fn ask(&self, candidate: &Candidate, checks: &Checks) -> Result<Asked, String> {
        let connector = self.connector.get_or_init(|| Connector::new(None));
        let mut peer = upstream_request::place(candidate).map_err(|error| shown("cannot connect", &error))?;
        if checks.path.is_none()
            && let Some(options) = peer.get_mut_peer_options()
        {
            // Connected is enough: no protocol is spoken.
            options.alpn = ALPN::H1;
        }
        let connected = connector.get_http_session(&peer).await;
        let (mut session, _) = connected.map_err(|error| shown("cannot connect", &error))?;
        let Some(path) = &checks.path else { return Ok(Asked { status: None, left: None }) };
        let request = request(candidate, checks, path).ok_or("the request cannot be made")?;
        let status = exchange(&mut session, request).await.map_err(|error| shown("no answer", &error))?;
        Ok(Asked { status: Some(status), left: Some(session) })
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
        // RFC 9113 section 8.3.1: the authority stands in a field of its own.
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

/// Sends the request and reads the head of the answer, whose status this is.
async fn exchange(session: &mut HttpSession, request: RequestHeader) -> pingora::Result<u16> {
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    for _ in 0..=INTERIM {
        session.read_response_header().await?;
        match session.response_header().map(|response| response.status.as_u16()) {
            Some(status) if status >= 200 => return Ok(status),
            _ => {}
        }
    }
    Err(Error::explain(ErrorType::InvalidHTTPHeader, "no final answer"))
}

/// Takes the rest, so that the app need not see its answer broken off.
async fn drain(mut session: HttpSession) {
    let mut read = 0;
    while read < BODY
        && let Ok(Some(chunk)) = session.read_response_body().await
    {
        read += Bytes::len(&chunk).max(1);
    }
    session.shutdown().await;
}

/// An error of the transport, for the log.
fn shown(what: &str, error: &Error) -> String {
    let text = format!("{what}: {}: {}", error.etype().as_str(), handshake::cause(error));
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
