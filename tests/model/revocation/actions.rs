//! Steps that are possible in a state.

use stateright::{Model, Property};

use super::properties;
use super::rules::{Fault, Guard, Revocations};
use super::state::{Entry, Gateway, Request, Revocation, Revoker, Row, Stage, State, Store};

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    Send {
        gateway: usize,
        uses_cache: bool,
    },
    Proceed,
    Finish,
    ReadLog(usize),
    SendRead(usize),
    FinishRead(usize),
    FailRead(usize),
    Observe(usize),
    WriteTombstone(usize),
    WriteRow(Revoker),
    Commit,
    Apply,
    /// A fault; those of the session store concern all gateways.
    Fail(Fault, usize),
    RepairVault(usize),
    RepairStore(usize),
    Wake(usize),
    AcceptWrites,
}

impl Model for Revocations {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            row: Row::Absent,
            revocation: Revocation::None,
            store: Store { entry: Entry::Live, is_writable: true, lost_tombstone: false },
            gateways: vec![Gateway::started(Some(0)); self.gateways],
            request: None,
            faults: self.faults,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if let Some(Request { stage: Stage::Done(_), .. }) = state.request {
            // The properties look at the state at which a request ended.
            actions.push(Action::Finish);
            return;
        }
        if let Some(request) = state.request {
            let gateway = &state.gateways[request.gateway];
            let waits = matches!(request.stage, Stage::Waking(_)) && gateway.is_waking;
            if !gateway.is_paused && !waits {
                actions.push(Action::Proceed);
            }
        }
        for (index, gateway) in state.gateways.iter().enumerate() {
            self.gateway_actions(index, gateway, state, actions);
        }
        self.revocation_actions(state, actions);
        let is_possible = |kind: &Fault| match kind {
            Fault::Flush => state.store.entry != Entry::Absent,
            Fault::FailOver => state.store.entry == Entry::Tombstone,
            Fault::RefuseWrites => state.store.is_writable,
            _ => false,
        };
        self.fail(state, 0, is_possible, actions);
        if !state.store.is_writable {
            actions.push(Action::AcceptWrites);
        }
        if self.may_tick(state) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.step(&mut next, action);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Revocations {
    /// Time passes only when everything has happened that takes less than a tick: a reachable vault is read, a reply is
    /// processed, and the session store answers or its timeout (100 ms) is over.
    fn may_tick(&self, state: &State) -> bool {
        let is_current = |gateway: &Gateway| {
            gateway.is_paused
                || !gateway.reaches_vault
                || (gateway.unproven == Some(0) && gateway.read.is_none())
        };
        let is_waiting = state.request.is_none_or(|request| {
            let gateway = &state.gateways[request.gateway];
            match request.stage {
                Stage::StoreReplied { .. } => gateway.is_paused,
                Stage::Waking(_) => gateway.is_paused || gateway.is_waking,
                _ => true,
            }
        });
        is_waiting && state.gateways.iter().all(is_current)
    }

    fn gateway_actions(&self, index: usize, gateway: &Gateway, state: &State, actions: &mut Vec<Action>) {
        let is_possible = |kind: &Fault| match kind {
            Fault::CutVault => gateway.reaches_vault,
            Fault::CutStore => gateway.reaches_store,
            Fault::Pause | Fault::Kill => !gateway.is_paused,
            Fault::BreakConnection => gateway.is_paused && gateway.slept > 0,
            Fault::Flush | Fault::FailOver | Fault::RefuseWrites => false,
        };
        self.fail(state, index, is_possible, actions);
        if !gateway.reaches_vault {
            actions.push(Action::RepairVault(index));
        }
        if !gateway.reaches_store {
            actions.push(Action::RepairStore(index));
        }
        if gateway.is_paused {
            actions.push(Action::Wake(index));
            return;
        }
        if state.request.is_none() {
            actions.push(Action::Send { gateway: index, uses_cache: false });
            if gateway.is_confirmed && gateway.holds_lease() {
                actions.push(Action::Send { gateway: index, uses_cache: true });
            }
        }
        match gateway.read {
            None => {
                let has_news = state.row == Row::Committed && !gateway.is_listed;
                if gateway.unproven != Some(0) || has_news {
                    if gateway.reaches_vault && !gateway.has_broken_connection {
                        actions.push(Action::ReadLog(index));
                    }
                    // A read in flight differs only if a fault comes before its return.
                    if state.faults > 0 || !gateway.reaches_vault || gateway.has_broken_connection {
                        actions.push(Action::SendRead(index));
                    }
                }
            }
            Some(read) if read.is_broken || !gateway.reaches_vault => actions.push(Action::FailRead(index)),
            Some(_) => actions.push(Action::FinishRead(index)),
        }
        if gateway.slept > 0 && !self.has(Guard::PauseIsComputed) {
            actions.push(Action::Observe(index));
        }
        if gateway.has_pending_tombstone && gateway.reaches_store && state.store.is_writable {
            actions.push(Action::WriteTombstone(index));
        }
    }

    fn revocation_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let can_work = |by: &Revoker| match *by {
            Revoker::Gateway(index) => {
                let gateway = &state.gateways[index];
                !gateway.is_paused && gateway.reaches_vault
            }
            Revoker::Other | Revoker::CommandLine => true,
        };
        match state.revocation {
            Revocation::None => {
                // The first gateway stands for any: the gateways start alike.
                let all = [Revoker::Gateway(0), Revoker::Other, Revoker::CommandLine];
                actions.extend(all.into_iter().filter(can_work).map(Action::WriteRow));
            }
            Revocation::Written(by) if can_work(&by) => actions.push(Action::Commit),
            Revocation::Committed(index) if !state.gateways[index].is_paused => actions.push(Action::Apply),
            _ => {}
        }
    }

    /// Adds the faults that are still allowed and possible now.
    fn fail(
        &self,
        state: &State,
        index: usize,
        is_possible: impl Fn(&Fault) -> bool,
        actions: &mut Vec<Action>,
    ) {
        if state.faults > 0 {
            let kinds = self.kinds.iter().copied().filter(is_possible);
            actions.extend(kinds.map(|kind| Action::Fail(kind, index)));
        }
    }
}
