//! One run: workers, faults one after the other, a survey at the end, and the check of the history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::app;
use crate::bounds::Bounds;
use crate::check::Case;
use crate::client::Request;
use crate::fleet::{Fleet, GATEWAYS, Topology};
use crate::history::{Entry, Micros, Note, Op};
use crate::measured::measured;
use crate::nemesis::{Fault, Held, Plan};
use crate::random::{Seed, VARIABLE};
use crate::report::{self, Report, Times};
use crate::wait::{PATIENCE, until};
use crate::workers::{Session, Worker, Workers};

/// Time between two faults, in which everything works.
const BETWEEN: Duration = Duration::from_millis(700);
/// Promise: normal operation within 5 s of a repair.
const PROMISED_RECOVERY: Duration = Duration::from_secs(5);

/// Parts of a run beside its faults.
#[derive(Clone)]
pub(crate) struct Run<'a> {
    pub(crate) topology: Topology,
    pub(crate) seed: Seed,
    pub(crate) bounds: &'a Bounds,
    /// Guard that the gateways do without.
    pub(crate) guard: Option<&'static str>,
    pub(crate) crew: Vec<Worker>,
}

impl<'a> Run<'a> {
    /// With all guards and all kinds of clients.
    pub(crate) fn new(topology: Topology, seed: Seed, bounds: &'a Bounds) -> Self {
        Self { topology, seed, bounds, guard: None, crew: Worker::ALL.to_vec() }
    }

    /// Runs these faults on a new fleet and checks what happened.
    pub(crate) async fn of(&self, faults: &[Fault]) -> Report {
        run(self, faults).await
    }
}

async fn run(run: &Run<'_>, faults: &[Fault]) -> Report {
    let Run { topology, seed, bounds, guard, ref crew } = *run;
    let name = topology.name();
    measured(format_args!("{name}: {} faults, {VARIABLE}={}", faults.len(), seed.0));
    let fleet = Arc::new(Fleet::start(topology, seed, guard).await);
    let _ = std::fs::remove_file(fleet.folder.join(report::violations(seed)));
    let recorder = Arc::clone(&fleet.recorder);
    let watching = tokio::spawn(async move {
        tokio::join!(recorder.watch_machine(), recorder.watch_pressure());
    });
    let workers = Workers::start(&fleet, seed, crew).await;
    let mut times = Vec::new();
    tokio::time::sleep(BETWEEN).await;
    for &fault in faults {
        let repeats = times.iter().filter(|times: &&Times| times.fault == fault).count();
        let plan = Plan::new(fault, &mut seed.choices(plan_number(fault, repeats)));
        times.push(one(&fleet, &plan).await);
        fleet.assert_running().await;
        tokio::time::sleep(BETWEEN).await;
    }
    let sessions = workers.end().await;
    survey(&fleet, sessions).await;
    watching.abort();
    let history = fleet.recorder.finished().without_lost_changes();
    let file = fleet.folder.join(format!("history-{}.jsonl", seed.0));
    history.save(&file);
    let violations = Case::new(&history, GATEWAYS, bounds).violations();
    let report = Report { topology, seed, history, violations, times, is_strict: bounds.is_strict };
    report.write(&fleet.folder);
    if report.is_good() {
        // The last good one is kept under a name of its own.
        std::fs::rename(file, fleet.folder.join("history.jsonl")).expect("renamed");
    }
    report
}

/// Number of the choices of a fault: they stay when others are left out.
fn plan_number(fault: Fault, repeats: usize) -> u64 {
    let number = Fault::ALL.iter().position(|known| *known == fault).unwrap_or_default();
    2000 + 100 * repeats as u64 + number as u64
}

/// One fault from its begin until everything works again.
async fn one(fleet: &Arc<Fleet>, plan: &Plan) -> Times {
    let (recorder, mut held) = (&fleet.recorder, Held::default());
    let name = plan.name();
    let requests = recorder.requests();
    recorder.note(Note::Fault { name: name.clone(), begins: true });
    let noted = recorder.now();
    plan.begin(fleet, &mut held).await;
    let began = recorder.now();
    tokio::time::sleep(plan.length()).await;
    let ending = recorder.now();
    plan.end(fleet, &mut held).await;
    // A failover goes on by itself: the old primary becomes a replica ten seconds later.
    fleet.redis.until_whole().await;
    let repaired = recorder.now();
    for replica in &fleet.replicas {
        let works = until(PATIENCE, async || works(fleet, replica.gateway.number).await).await;
        let number = replica.gateway.number;
        assert!(
            works,
            "gateway {number} does not work {PATIENCE:?} after `{name}`: {}",
            fleet.folder.display()
        );
    }
    let recovered = recorder.now();
    plan.recovered(fleet);
    recorder.note(Note::Fault { name: name.clone(), begins: false });
    let (recovery, requests) = (recovered - repaired, recorder.requests() - requests);
    let late =
        if u128::from(recovery) > PROMISED_RECOVERY.as_micros() { ", later than promised" } else { "" };
    measured(format_args!(
        "{}: {name}: {requests} requests, works {} ms after the repair{late}",
        fleet.topology.name(),
        recovery / 1000
    ));
    Times { name, fault: plan.fault, noted, began, ending, repaired, recovered }
}

/// Returns true if the gateway uses both stores and signs people in.
async fn works(fleet: &Fleet, gateway: usize) -> bool {
    if !fleet.replicas[gateway].gateway.uses_both_stores().await {
        return false;
    }
    let body = json!({ "username": "ada", "password": crate::workers::password(0) });
    Request::post("/auth/login", None, body).send(fleet.address(gateway)).await.status == 200
}

/// The last look: sessions that must live are used at every gateway, and the vault is read.
async fn survey(fleet: &Arc<Fleet>, sessions: Vec<Session>) {
    let desk = Workers::surveyor(fleet);
    for mut session in sessions {
        desk.refresh(0, &mut session).await;
        for gateway in 0..GATEWAYS {
            desk.call(gateway, &session).await;
        }
    }
    let known = fleet.recorder.finished();
    let postgres = Arc::clone(fleet);
    let rows = tokio::task::spawn_blocking(move || {
        let sessions = "SELECT replace(id::text, '-', '') || '|' || (ended_at IS NULL) FROM sessions";
        (
            postgres.postgres.execute(sessions),
            postgres.postgres.execute("SELECT login || '|' || roles FROM users"),
        )
    });
    let (sessions, users) = rows.await.expect("the vault is read");
    let live: BTreeMap<&str, bool> = sessions
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(id, live)| (id, live == "true"))
        .collect();
    for login in
        known.entries.iter().filter(|entry| matches!(entry.op, Op::Login { .. }) && entry.status == 200)
    {
        let bytes = URL_SAFE_NO_PAD.decode(&login.session).expect("an id");
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let live = live.get(id.as_str()).copied().unwrap_or(false);
        record(fleet, &login.user, &login.session, Op::Vault { live });
    }
    for (user, roles) in users.lines().filter_map(|line| line.split_once('|')) {
        let roles = app::version(roles.split([',', ' ']));
        record(fleet, user, "", Op::VaultUser { roles });
    }
}

fn record(fleet: &Fleet, user: &str, session: &str, op: Op) {
    let now: Micros = fleet.recorder.now();
    fleet.recorder.record(Entry {
        start: now,
        end: now,
        gateway: None,
        user: user.to_owned(),
        session: session.to_owned(),
        op,
        status: 200,
        code: String::new(),
        retry_after: false,
        seen: None,
    });
}
