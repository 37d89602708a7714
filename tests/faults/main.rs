//! Fault suite: three gateway processes on real stores, clients that never stop, faults one after the other, and a
//! checker of the whole history. `make test` runs a few faults of each topology. With `FAULTS_FOR=60m` each topology
//! meets all of its faults, in random order, again and again (`make test-faults`).

#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../support/stores/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod instances;
#[path = "../support/stores/link.rs"]
mod link;
#[path = "../support/measured.rs"]
mod measured;
#[path = "../support/program/process.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod process;
#[path = "../support/stores/redis_faults.rs"]
mod redis_faults;
#[path = "../support/stores/redis.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod servers;
#[path = "../support/watchdog.rs"]
mod watchdog;

mod app;
mod bounds;
mod check;
mod client;
mod fleet;
mod gateway;
#[cfg(feature = "broken-guards")]
mod guards;
mod history;
mod kept;
mod minimise;
mod nemesis;
mod page;
mod random;
mod report;
mod run;
mod stores;
mod timeline;
mod wait;
mod workers;

use std::time::Duration;

use bounds::Bounds;
use nemesis::{Fault, suits};
use random::Seed;
use run::Run;
use stores::{postgres, redis};
use tokio::time::Instant;

use crate::fleet::Topology;
use crate::measured::measured;
use crate::workers::Worker;

/// Variable with the time of the long form, such as `60m`.
const LONG: &str = "FAULTS_FOR";

/// Variable that leaves only the faults with this text in their name, to look at one again; several texts, with semicolons,
/// are met in their order.
const ONLY: &str = "DOORWARD_FAULTS_ONLY";

/// Variable that leaves these kinds of clients out, with semicolons.
const WITHOUT: &str = "DOORWARD_FAULTS_WITHOUT";

/// Each run needs the whole machine.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Runs `short`, or all faults for the time that the environment asks for.
async fn check(topology: Topology, short: &[Fault]) {
    let _alone = MACHINE.lock().await;
    let seed = Seed::chosen();
    if let Ok(text) = std::env::var(ONLY) {
        let of = |text: &str| {
            let text = text.trim().to_owned();
            Fault::ALL.iter().copied().filter(move |fault| fault.name().contains(&text))
        };
        let some: Vec<Fault> = text.split(';').flat_map(of).filter(|fault| suits(*fault, topology)).collect();
        let absent = std::env::var(WITHOUT).unwrap_or_default();
        let is_absent = |worker: &Worker| absent.split(';').any(|name| name.trim() == worker.name());
        let (bounds, mut crew) = (Bounds::default(), Worker::ALL.to_vec());
        crew.retain(|worker| !is_absent(worker));
        let report = Run { crew, ..Run::new(topology, seed, &bounds) }.of(&some).await;
        measured(format_args!("{}\n{}", topology.name(), report.table()));
        return report.assert_good();
    }
    let Ok(span) = std::env::var(LONG) else {
        let report = Run::new(topology, seed, &Bounds::of_a_busy_machine()).of(short).await;
        measured(format_args!("{}\n{}", topology.name(), report.table()));
        return report.assert_good();
    };
    let span = humantime::parse_duration(&span).unwrap_or_else(|error| panic!("{LONG}: {error}"));
    long(topology, seed, span).await;
}

async fn long(topology: Topology, seed: Seed, span: Duration) {
    let until = Instant::now() + span;
    let mut faults: Vec<Fault> = Fault::ALL.iter().copied().filter(|fault| suits(*fault, topology)).collect();
    let (mut seed, mut rounds) = (seed, 0);
    while rounds == 0 || Instant::now() < until {
        seed.choices(1000).shuffle(&mut faults);
        // A round has its own fleet, so that its seed alone repeats it.
        let some = &faults[..faults.len().min(ROUND)];
        let bounds = Bounds::default();
        let run = Run::new(topology, seed, &bounds);
        let report = run.of(some).await;
        measured(format_args!("{}\n{}", topology.name(), report.table()));
        if !report.is_good() {
            keep(topology, seed);
            minimise::minimise(&run, some, &report).await;
        }
        report.assert_good();
        (seed, rounds) = (Seed(seed.0 + 1), rounds + 1);
    }
}

/// Moves what a failed run has left to a folder of its own: smaller runs would write over it.
fn keep(topology: Topology, seed: Seed) {
    let folder = fleet::folder(topology);
    let kept = folder.with_file_name(format!("{}-failed-{}", topology.name(), seed.0));
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::rename(&folder, &kept).expect("renamed");
    measured(format_args!("{}: the failed run is kept in {}", topology.name(), kept.display()));
}

/// Faults of a round: few enough for a history that is checked in seconds.
const ROUND: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn promises_hold_with_one_redis() {
    let topology = Topology { redis: redis::Kind::Single, postgres: postgres::Kind::Single };
    let faults = [
        Fault::RedisKilled,
        Fault::RedisFull,
        Fault::PostgresStopped,
        Fault::PostgresSilent,
        Fault::AllGatewaysPaused,
    ];
    check(topology, &faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_hold_with_sentinels_and_a_standby() {
    let topology = Topology { redis: redis::Kind::Sentinel, postgres: postgres::Kind::Pair };
    let faults = [Fault::SentinelSwitch, Fault::CommitsSlow, Fault::GatewayKilled, Fault::GatewayCutOff];
    check(topology, &faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_hold_with_a_cluster_and_a_pooler() {
    let topology = Topology { redis: redis::Kind::Cluster, postgres: postgres::Kind::Pooled };
    let faults =
        [Fault::ClusterSwitch, Fault::ClusterMigration, Fault::BackendsTerminated, Fault::PairOfLinksCut];
    check(topology, &faults).await;
}
