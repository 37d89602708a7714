//! Requests at a fixed rate, and how long each took.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::world::http::{self, Client};

/// No answer in this time counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many requests a second, whatever becomes of them.
#[derive(Clone)]
pub(crate) struct Pace {
    pub(crate) gateways: Vec<SocketAddr>,
    pub(crate) tokens: Arc<Vec<String>>,
    pub(crate) a_second: f64,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
}

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// Since the run began, when it was due.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    /// 0: no answer.
    pub(crate) status: u16,
}

/// Requests at a fixed rate. The time of one that had to wait for the one before on its connection counts from when it was
/// due, so that a stall is not hidden by the requests it keeps from being sent.
pub(crate) async fn paced(pace: &Pace) -> Vec<Heard> {
    let began = Instant::now() + Duration::from_millis(50);
    let mut clients = JoinSet::new();
    for connection in 0..pace.connections {
        let pace = pace.clone();
        clients.spawn(async move {
            let gateway = pace.gateways[connection % pace.gateways.len()];
            let mut client = Client::try_connect(gateway).await.ok();
            let (mut heard, mut number) = (Vec::new(), connection);
            loop {
                let at = Duration::from_secs_f64(number as f64 / pace.a_second);
                if at.as_secs_f64() >= pace.seconds {
                    return heard;
                }
                let due = began + at;
                let mut start = due;
                if Instant::now() < due {
                    sleep_until(due).await;
                    // What the timer is late by is not the gateway's.
                    start = Instant::now();
                }
                let token = &pace.tokens[number % pace.tokens.len()];
                let status = match &mut client {
                    Some(client) => timeout(PATIENCE, ask(client, token)).await.ok().flatten(),
                    None => None,
                };
                heard.push(Heard { at, took: start.elapsed(), status: status.unwrap_or(0) });
                if status.is_none() {
                    client = Client::try_connect(gateway).await.ok();
                }
                number += pace.connections;
            }
        });
    }
    let mut all: Vec<Heard> = clients.join_all().await.into_iter().flatten().collect();
    all.sort_by_key(|heard| heard.at);
    all
}

/// The status of the answer to one request; `None` when the connection is closed instead.
pub(crate) async fn ask(client: &mut Client, token: &str) -> Option<u16> {
    let bearer = format!("Bearer {token}");
    if !client.try_send(&http::message("GET", "/", &[("Authorization", &bearer)], b"")).await {
        return None;
    }
    client.response("GET").await.map(|answer| answer.status)
}

/// That part of the times, in milliseconds.
pub(crate) fn percentile(heard: &[Heard], part: f64) -> f64 {
    let mut times: Vec<Duration> = heard.iter().map(|heard| heard.took).collect();
    times.sort_unstable();
    let at = (times.len().saturating_sub(1) as f64 * part).round() as usize;
    times.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1000.0)
}
