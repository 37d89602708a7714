//! Proof of the checker: gateways that do without one guard are found out, each within ten minutes (`make test-guards`).

use std::time::Duration;

use tokio::time::Instant;

use crate::MACHINE;
use crate::bounds::Bounds;
use crate::check::Rule;
use crate::fleet::Topology;
use crate::history::Entry;
use crate::measured::measured;
use crate::nemesis::Fault;
use crate::random::Seed;
use crate::run::Run;
use crate::stores::{postgres, redis};

/// Time in which a missing guard must be noticed.
const WITHIN: Duration = Duration::from_secs(600);

/// Runs rounds of `faults` until one of `rules` is found broken.
async fn assert_found(guard: &'static str, faults: &[Fault], rules: &[Rule]) {
    let _alone = MACHINE.lock().await;
    let topology = Topology { redis: redis::Kind::Single, postgres: postgres::Kind::Single };
    let bounds = Bounds::default();
    let (begun, mut seed) = (Instant::now(), Seed::chosen());
    while begun.elapsed() < WITHIN {
        let run = Run { guard: Some(guard), ..Run::new(topology, seed, &bounds) };
        let report = run.of(faults).await;
        if let Some(found) = report.violations.iter().find(|found| rules.contains(&found.rule)) {
            let after = begun.elapsed().as_secs();
            measured(format_args!("| {guard} | {:?} | {after} s | {} |", found.rule, seed.0));
            return;
        }
        seed = Seed(seed.0 + 1);
    }
    panic!("`{guard}` is not missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_tombstone_is_found() {
    assert_found("tombstone", &[Fault::GatewayWithoutVault; 2], &[Rule::AcceptedRevoked]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_lease_is_found() {
    let faults = [Fault::GatewayCutOff, Fault::AllGatewaysPaused];
    assert_found("lease", &faults, &[Rule::AcceptedRevoked]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_replay_is_found() {
    assert_found("replay", &[Fault::Reload], &[Rule::RefusedRefresh]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_recheck_is_found() {
    assert_found("recheck", &[Fault::RedisSlow], &[Rule::StreamOutlivesRevocation]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_fill_nx_is_found() {
    assert_found("fill-nx", &[Fault::LateWrites; 6], &[Rule::AcceptedRevoked]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_epoch_is_found() {
    assert_found("epoch", &[Fault::Reload], &[Rule::AcceptedOldRoles]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_end_single_requests_and_nothing_else() {
    let _alone = MACHINE.lock().await;
    let topology = Topology { redis: redis::Kind::Single, postgres: postgres::Kind::Single };
    let bounds = Bounds::default();
    let run = Run { guard: Some("panic"), ..Run::new(topology, Seed::chosen(), &bounds) };
    let report = run.of(&[Fault::Reload, Fault::RedisKilled, Fault::PostgresStopped]).await;
    // The response to a request that panicked.
    let has_panicked = |entry: &Entry| entry.status == 500;
    let panics = report.history.entries.iter().filter(|entry| has_panicked(entry)).count();
    assert!(panics > 10, "{panics} panics");
    let others: Vec<_> = report.violations.iter().filter(|found| !has_panicked(&found.shown_by)).collect();
    assert!(others.is_empty(), "{others:#?}");
    measured(format_args!("{panics} requests that panicked got 500, and no other request noticed"));
}
