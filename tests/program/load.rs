//! People at work on a gateway while it is being changed: 200 requests a second, half of them on connections that are kept
//! and half on fresh ones. Each must be answered with 200; a connection that is closed under a request has lost it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::http::{self, Client};

const PER_SECOND: u32 = 200;
/// Ten requests a second each: slow enough that a kept connection is idle for most of the time.
const PEOPLE: u32 = 20;

/// Requests that do not stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    people: JoinSet<Vec<String>>,
    begun: Instant,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) sent: u32,
    pub(crate) lost: Vec<String>,
    pub(crate) took: Duration,
}

impl Load {
    /// Begins; `access` is good all the time.
    pub(crate) fn start(address: SocketAddr, path: &str, access: &str) -> Self {
        let (stop, sent, begun) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)), Instant::now());
        let message = http::message("GET", path, &[("Authorization", &format!("Bearer {access}"))], b"");
        let mut people = JoinSet::new();
        for at in 0..PEOPLE {
            let person = Person { address, message: message.clone(), keeps: at % 2 == 0, kept: None };
            let every = Duration::from_secs(1) * PEOPLE / PER_SECOND;
            people.spawn(person.work(
                begun + every * at / PEOPLE,
                every,
                Arc::clone(&stop),
                Arc::clone(&sent),
            ));
        }
        Self { stop, sent, people, begun }
    }

    /// How many have been sent so far.
    pub(crate) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        let lost = self.people.join_all().await.concat();
        Done { sent: self.sent.load(Ordering::Relaxed), lost, took: self.begun.elapsed() }
    }
}

/// One who asks the same again and again.
struct Person {
    address: SocketAddr,
    message: Vec<u8>,
    keeps: bool,
    kept: Option<Client>,
}

impl Person {
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
        let answer = client.response("GET").await.ok_or("closed before it was answered")?;
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, answer.text()));
        }
        let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if self.keeps && !closes {
            self.kept = Some(client);
        }
        Ok(())
    }
}
