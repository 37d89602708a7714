//! Clients of a gateway during changes: 200 requests per second, half on kept connections and half on fresh ones. Each
//! request must get 200; a connection closed under a request loses it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::http::{self, Client};

const PER_SECOND: u32 = 200;
/// Ten requests per second each, so that a kept connection is idle most of the time.
const CLIENTS: u32 = 20;

/// Continuous requests.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    people: JoinSet<Vec<String>>,
    begun: Instant,
}

/// Results.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) sent: u32,
    pub(crate) lost: Vec<String>,
    pub(crate) took: Duration,
}

impl Load {
    /// Starts the clients; `access` must stay valid.
    pub(crate) fn start(address: SocketAddr, path: &str, access: &str) -> Self {
        let (stop, sent, begun) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)), Instant::now());
        let message = http::message("GET", path, &[("Authorization", &format!("Bearer {access}"))], b"");
        let mut people = JoinSet::new();
        for at in 0..CLIENTS {
            let person =
                RepeatingClient { address, message: message.clone(), keeps: at % 2 == 0, kept: None };
            let every = Duration::from_secs(1) * CLIENTS / PER_SECOND;
            people.spawn(person.work(
                begun + every * at / CLIENTS,
                every,
                Arc::clone(&stop),
                Arc::clone(&sent),
            ));
        }
        Self { stop, sent, people, begun }
    }

    /// Number of requests sent so far.
    pub(crate) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops the clients.
    pub(crate) async fn stop(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        let lost = self.people.join_all().await.concat();
        Done { sent: self.sent.load(Ordering::Relaxed), lost, took: self.begun.elapsed() }
    }
}

/// A client that repeats one request.
struct RepeatingClient {
    address: SocketAddr,
    message: Vec<u8>,
    keeps: bool,
    kept: Option<Client>,
}

impl RepeatingClient {
    async fn work(
        mut self,
        begin: Instant,
        every: Duration,
        stop: Arc<AtomicBool>,
        sent: Arc<AtomicU32>,
    ) -> Vec<String> {
        let mut ticks = tokio::time::interval_at(begin, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut lost = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            let number = sent.fetch_add(1, Ordering::Relaxed);
            if let Err(how) = self.ask().await {
                lost.push(format!("request {number}, {}: {how}", if self.keeps { "kept" } else { "fresh" }));
            }
        }
        lost
    }

    async fn ask(&mut self) -> Result<(), String> {
        let mut client = match self.kept.take() {
            Some(kept) => kept,
            None => {
                Client::try_connect(self.address).await.map_err(|error| format!("not connected: {error}"))?
            }
        };
        if !client.try_send(&self.message).await {
            return Err("closed before it was sent".into());
        }
        let response = client.response("GET").await.ok_or("closed before it was answered")?;
        if response.status != 200 {
            return Err(format!("{} {}", response.status, response.text()));
        }
        let closes = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if self.keeps && !closes {
            self.kept = Some(client);
        }
        Ok(())
    }
}
