//! Models of three protocols for the checker `stateright`: every order of steps and faults within the stated bounds is explored
//! (docs/design.md, "Model").
//!
//! Each rule of the code is a switch, a guard. With all guards on, every promise holds in every state. With one off, the checker
//! finds a counter-example, so no guard is there without need. `--nocapture` prints counter-examples and numbers of states.

#![expect(clippy::print_stdout, reason = "a test's own output, which cargo captures")]

mod refresh;
mod registration;
mod revocation;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, HasDiscoveries, Model};

use refresh::{LateRepeat, Refreshes, Thief};
use registration::Registrations;
use revocation::{ALL, Fault, Guard, Revocations, STORE};

/// Checks that every promise holds in every state, and that the model reaches what it should.
fn assert_holds<M>(model: M)
where
    M: Model + Debug + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    let description = format!("{model:?}");
    let checker = model.checker().spawn_bfs().join();
    println!("{} states: {description}", checker.unique_state_count());
    checker.assert_properties();
}

/// Returns the promises that fail at the first counter-example, and prints it.
fn broken<M>(model: M) -> BTreeSet<&'static str>
where
    M: Model + Debug + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    let properties = model.properties();
    let description = format!("{model:?}");
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{} states: {description}", checker.unique_state_count());
    let is_promise =
        |name: &str| properties.iter().any(|p| p.name == name && p.expectation.discovery_is_failure());
    let found = checker.discoveries().into_iter().filter(|(name, _)| is_promise(name));
    let failed = found.map(|(name, path)| {
        println!("  {name}: {:?}", path.into_actions());
        name
    });
    failed.collect()
}

/// Returns the model with all guards on. `DOORWARD_MODEL_MORE_FAULTS=1` is the long form: 5.7 million states on one gateway, and
/// several times as many on two.
fn revocations(gateways: usize, faults: u8, outage_grace: u8, kinds: &'static [Fault]) -> Revocations {
    let more = std::env::var("DOORWARD_MODEL_MORE_FAULTS").ok().and_then(|more| more.parse().ok());
    Revocations { gateways, faults: faults + more.unwrap_or(0), outage_grace, kinds, off: None }
}

#[test]
fn revocation_holds_on_one_gateway_through_two_faults() {
    assert_holds(revocations(1, 2, 7, ALL));
}

#[test]
fn revocation_holds_on_two_gateways_through_one_fault() {
    assert_holds(revocations(2, 1, 4, ALL));
}

#[test]
fn lost_session_store_refuses_nobody() {
    assert_holds(revocations(2, 1, 4, STORE));
}

#[test]
fn every_revocation_guard_is_needed() {
    use Fault::{BreakConnection, CutVault, Flush, Pause};
    let list = "the list is at most a lease old";
    let away = "the session store confirms only while the vault is away";
    let tombstone = "a tombstone ends a session on every gateway";
    let guards: &[(Guard, &'static [Fault], &str)] = &[
        (Guard::RecheckList, &[], "a listed session is not forwarded"),
        (Guard::RecheckLease, &[CutVault], list),
        (Guard::LeaseFromSending, &[CutVault], list),
        (Guard::CursorIsSnapshot, &[CutVault], list),
        (Guard::FillOnlyAbsent, &[Flush, CutVault], tombstone),
        (Guard::TombstoneFirst, &[CutVault], tombstone),
        (Guard::AbsentIsUndecided, &[Flush], "a live session is not refused as revoked"),
        (Guard::PauseRule, &[Pause], away),
        (Guard::PauseIsComputed, &[Pause], away),
        (Guard::ReadAfterPause, &[Pause, BreakConnection], away),
        (Guard::SecondFailure, &[Pause, BreakConnection], away),
        (Guard::RecheckAfterReply, &[Pause, CutVault], "the session store confirms no longer than the grace"),
        (Guard::ReplyAfterPause, &[Pause, CutVault], tombstone),
        (Guard::ClockRunsOn, &[Pause], list),
        (Guard::SleepAddsUp, &[Pause], away),
    ];
    for &(guard, kinds, promise) in guards {
        let outage_grace = if guard == Guard::ReplyAfterPause { 7 } else { 4 };
        let broken = broken(Revocations { gateways: 1, faults: 2, outage_grace, kinds, off: Some(guard) });
        assert!(broken.contains(promise), "without {guard:?}: {broken:?}");
    }
}

#[test]
fn request_and_revocation_never_miss_each_other() {
    assert_holds(Registrations { off: None });
    use registration::Guard::{CheckAfterWait, MarkFirst, RegisterFirst, SlotReadsList};
    for guard in [RegisterFirst, CheckAfterWait, MarkFirst, SlotReadsList] {
        assert_ne!(broken(Registrations { off: Some(guard) }), BTreeSet::new(), "without {guard:?}");
    }
}

#[test]
fn owner_who_lost_a_response_keeps_the_session() {
    for rule in [LateRepeat::SameSuccessor, LateRepeat::NewSuccessor] {
        assert_holds(Refreshes::with(rule, Thief::None));
    }
    let before = Refreshes::with(LateRepeat::Ends, Thief::None);
    assert_eq!(broken(before), BTreeSet::from(["an owner without a thief keeps the session"]));
}

#[test]
fn thief_who_uses_what_it_gets_is_noticed() {
    for rule in [LateRepeat::SameSuccessor, LateRepeat::NewSuccessor] {
        assert_holds(Refreshes::with(rule, Thief::Eager));
    }
}

/// A thief that rotates first and waits with the use until the owner has repeated. With the same successor for both it would go
/// on beside the owner, however late the owner is.
#[test]
fn thief_who_waits_with_the_use_is_noticed() {
    let model = Refreshes::with(LateRepeat::SameSuccessor, Thief::Patient);
    assert_eq!(broken(model), BTreeSet::from(["owner and thief do not both go on apart"]));
    assert_holds(Refreshes::with(LateRepeat::NewSuccessor, Thief::Patient));
}

#[test]
fn every_refresh_guard_is_needed() {
    let all = Refreshes::with(LateRepeat::NewSuccessor, Thief::Eager);
    let keeps = "an owner without a thief keeps the session";
    let guards = [
        (
            Refreshes { checks_use: false, ..all.clone() },
            "after the grace a copy is worth nothing once its successor was used",
        ),
        (Refreshes { grants_repeats: false, ..all.clone() }, keeps),
        (Refreshes { is_prompt: false, ..all.clone() }, keeps),
        (Refreshes { keeps_kid: false, ..all }, "a token has one successor"),
    ];
    for (model, promise) in guards {
        assert_eq!(broken(model), BTreeSet::from([promise]));
    }
}
