//! Clients and operators that use the gateways at random while faults come and go. Each operation is recorded.

mod actions;
mod admin;
mod churn;
mod ghosts;
mod people;
mod steady;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::client::Outcome;
use crate::fleet::{Fleet, GATEWAYS};
use crate::kept::Kept;
use crate::random::{Choices, Seed};

pub(crate) use actions::Session;
pub(crate) use people::{People, password, users};

/// Pause between two operations of one worker: constant load, bearable for two cores.
const PAUSE: Duration = Duration::from_millis(40);
/// Pause of a client that was told to try again. `Retry-After` says a second; a test has less time.
const BACKOFF: Duration = Duration::from_millis(250);

/// One worker's view of the run.
pub(crate) struct Desk {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) people: Arc<People>,
    pub(crate) choices: Choices,
    /// Connections for calls; without them each call has a connection of its own.
    pub(crate) kept: Option<Arc<Kept>>,
    stop: Arc<AtomicBool>,
}

impl Desk {
    /// A gateway in the load balancer's list; any, while there is none.
    pub(crate) fn gateway(&mut self) -> usize {
        let balanced = self.fleet.balanced();
        if balanced.is_empty() { self.choices.below(GATEWAYS) } else { *self.choices.of(&balanced) }
    }

    /// Returns true while the load balancer has a gateway.
    fn is_served(&self) -> bool {
        !self.fleet.balanced().is_empty()
    }

    /// Another desk, for requests side by side.
    fn copy(&self) -> Self {
        Self {
            fleet: Arc::clone(&self.fleet),
            people: Arc::clone(&self.people),
            choices: self.choices.clone(),
            kept: self.kept.clone(),
            stop: Arc::clone(&self.stop),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits between two operations.
    async fn rest(&self) {
        tokio::time::sleep(PAUSE).await;
    }

    /// Waits between two operations, and until the load balancer has a gateway. Returns false at the end of the run.
    async fn next(&self) -> bool {
        self.rest().await;
        while !self.is_stopped() && !self.is_served() {
            self.rest().await;
        }
        !self.is_stopped()
    }

    /// Waits as clients do that got no decision.
    async fn back_off(&self, outcome: &Outcome) {
        if matches!(outcome.status, 0 | 503) {
            self.rest_for(BACKOFF).await;
        }
    }

    /// Waits for a longer time; returns early at the end of the run.
    async fn rest_for(&self, span: Duration) {
        let until = tokio::time::Instant::now() + span;
        while !self.is_stopped() && tokio::time::Instant::now() < until {
            self.rest().await;
        }
    }
}

/// A kind of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    Steady,
    Churn,
    Ghosts,
    Admin,
    Streams,
}

impl Worker {
    pub(crate) const ALL: &'static [Self] =
        &[Self::Steady, Self::Churn, Self::Ghosts, Self::Admin, Self::Streams];

    /// Name, as in the environment.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Churn => "churn",
            Self::Ghosts => "ghosts",
            Self::Admin => "admin",
            Self::Streams => "streams",
        }
    }

    /// Number of such clients, and the number of the first one's choices.
    const fn count(self) -> (u64, u64) {
        match self {
            Self::Steady => (4, 0),
            Self::Churn => (2, 100),
            Self::Ghosts => (1, 200),
            Self::Admin => (1, 300),
            Self::Streams => (1, 301),
        }
    }
}

/// All workers of a run.
pub(crate) struct Workers {
    stop: Arc<AtomicBool>,
    pub(crate) people: Arc<People>,
    running: JoinSet<Vec<Session>>,
}

impl Workers {
    pub(crate) async fn start(fleet: &Arc<Fleet>, seed: Seed, crew: &[Worker]) -> Self {
        let people = Arc::new(People::add(fleet).await);
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = Self { stop, people, running: JoinSet::new() };
        for worker in crew {
            let (count, first) = worker.count();
            for number in 0..count {
                let desk = workers.desk(fleet, seed, first + number);
                match worker {
                    Worker::Steady => workers.running.spawn(steady::work(desk, number)),
                    Worker::Churn => workers.running.spawn(churn::work(desk, number)),
                    Worker::Ghosts => workers.running.spawn(ghosts::work(desk)),
                    Worker::Admin => workers.running.spawn(admin::work(desk)),
                    Worker::Streams => workers.running.spawn(streams::work(desk)),
                };
            }
        }
        workers
    }

    /// A desk for the last look.
    pub(crate) fn surveyor(fleet: &Arc<Fleet>) -> Desk {
        Desk {
            fleet: Arc::clone(fleet),
            people: Arc::default(),
            choices: Seed(0).choices(0),
            kept: None,
            stop: Arc::default(),
        }
    }

    fn desk(&self, fleet: &Arc<Fleet>, seed: Seed, number: u64) -> Desk {
        Desk {
            fleet: Arc::clone(fleet),
            people: Arc::clone(&self.people),
            choices: seed.choices(number + 1),
            kept: None,
            stop: Arc::clone(&self.stop),
        }
    }

    /// Stops all and returns the sessions that must still live.
    pub(crate) async fn end(self) -> Vec<Session> {
        self.stop.store(true, Ordering::Release);
        self.running.join_all().await.concat()
    }
}
