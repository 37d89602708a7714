//! Requests at a fixed rate, with their response times.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::shared::http::{self, Client};

/// Response timeout; later responses count as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// A fixed rate of requests, independent of the responses.
#[derive(Clone)]
pub(crate) struct Pace {
    pub(crate) gateways: Vec<SocketAddr>,
    pub(crate) tokens: Arc<Vec<String>>,
    pub(crate) a_second: f64,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
}

/// Result of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Scheduled time since the start of the run.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    /// 0: no response.
    pub(crate) status: u16,
}

/// Sends requests at a fixed rate. The time of a delayed request counts from its scheduled time, so that a stall is not
/// hidden by the requests it delays (coordinated omission).
pub(crate) async fn paced(pace: &Pace) -> Vec<Outcome> {
    let began = Instant::now() + Duration::from_millis(50);
    let mut clients = JoinSet::new();
    for connection in 0..pace.connections {
        let pace = pace.clone();
        clients.spawn(async move {
            let gateway = pace.gateways[connection % pace.gateways.len()];
            let mut client = Client::try_connect(gateway).await.ok();
            let (mut outcomes, mut number) = (Vec::new(), connection);
            loop {
                let at = Duration::from_secs_f64(number as f64 / pace.a_second);
                if at.as_secs_f64() >= pace.seconds {
                    return outcomes;
                }
                let due = began + at;
                let mut start = due;
                if Instant::now() < due {
                    sleep_until(due).await;
                    // The lateness of the timer is not counted.
                    start = Instant::now();
                }
                let token = &pace.tokens[number % pace.tokens.len()];
                let status = match &mut client {
                    Some(client) => timeout(PATIENCE, ask(client, token)).await.ok().flatten(),
                    None => None,
                };
                outcomes.push(Outcome { at, took: start.elapsed(), status: status.unwrap_or(0) });
                if status.is_none() {
                    client = Client::try_connect(gateway).await.ok();
                }
                number += pace.connections;
            }
        });
    }
    let mut all: Vec<Outcome> = clients.join_all().await.into_iter().flatten().collect();
    all.sort_by_key(|outcome| outcome.at);
    all
}

/// Status of the response; `None` when the connection is closed instead.
pub(crate) async fn ask(client: &mut Client, token: &str) -> Option<u16> {
    let bearer = format!("Bearer {token}");
    if !client.try_send(&http::message("GET", "/", &[("Authorization", &bearer)], b"")).await {
        return None;
    }
    client.response("GET").await.map(|response| response.status)
}

/// Percentile of the response times, in milliseconds.
pub(crate) fn percentile(outcomes: &[Outcome], part: f64) -> f64 {
    let mut times: Vec<Duration> = outcomes.iter().map(|outcome| outcome.took).collect();
    times.sort_unstable();
    let at = (times.len().saturating_sub(1) as f64 * part).round() as usize;
    times.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1000.0)
}
