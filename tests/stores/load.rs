//! Continuous requests during failures; each response is recorded with its times.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::Client;
use crate::support::gateway::Tokens;

/// Pause between two requests of one client at one gateway: constant load, bearable for two cores.
const PAUSE: Duration = Duration::from_millis(10);

/// One request and its response.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Index of the session.
    pub(crate) session: usize,
    pub(crate) sent: Instant,
    /// 0: closed without a response.
    pub(crate) status: u16,
}

/// Concurrent clients, one for each session and gateway.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    people: JoinSet<Vec<Seen>>,
}

impl Load {
    pub(crate) fn start(gateways: &[SocketAddr], sessions: &[Tokens]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut people = JoinSet::new();
        for (session, tokens) in sessions.iter().enumerate() {
            for address in gateways.iter().copied() {
                let (stop, bearer) = (Arc::clone(&stop), tokens.access.clone());
                people.spawn(async move {
                    let mut seen = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let sent = Instant::now();
                        let status = ask(address, &bearer).await;
                        seen.push(Seen { session, sent, status });
                        tokio::time::sleep(PAUSE).await;
                    }
                    seen
                });
            }
        }
        Self { stop, people }
    }

    /// Stops and returns all records.
    pub(crate) async fn end(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.people.join_all().await.concat()
    }
}

/// Status of one request on a new connection; 0 when it is closed instead.
pub(crate) async fn ask(gateway: SocketAddr, bearer: &str) -> u16 {
    let mut client = Client::asking(gateway, "/", bearer).await;
    client.response("GET").await.map_or(0, |response| response.status)
}

/// Asserts that every request of `sessions` was served.
pub(crate) fn assert_served(seen: &[Seen], sessions: std::ops::Range<usize>) {
    for session in sessions {
        let of: Vec<_> = seen.iter().filter(|seen| seen.session == session).collect();
        assert!(of.len() >= 20, "only {} requests of session {session}", of.len());
        let failed: Vec<_> = of.iter().filter(|seen| seen.status != 200).collect();
        assert!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), of.len(), failed[0]);
    }
}

/// Asserts that no request of `session` sent after `acknowledged` was accepted.
pub(crate) fn assert_refused_after(seen: &[Seen], session: usize, acknowledged: Instant) {
    let after: Vec<_> =
        seen.iter().filter(|seen| seen.session == session && seen.sent > acknowledged).collect();
    assert!(after.len() >= 5, "only {} requests after the revocation of {session}", after.len());
    let accepted: Vec<_> = after.iter().filter(|seen| seen.status == 200).collect();
    assert!(
        accepted.is_empty(),
        "{} accepted, the last {:?} after the acknowledgement: {:?}",
        accepted.len(),
        accepted[accepted.len() - 1].sent - acknowledged,
        accepted[0]
    );
}
