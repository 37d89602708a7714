//! Effects of the steps that are neither a request's nor a gateway's own (src/auth/session/revoke.rs).

use super::actions::Action;
use super::rules::{Fault, Guard, Revocations};
use super::state::{Entry, Gateway, Revocation, Revoker, Row, Stage, State};

impl Revocations {
    pub(super) fn step(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick => self.tick(state),
            Action::Send { gateway, uses_cache } => {
                self.authenticate(state, gateway, uses_cache);
            }
            Action::Proceed => self.proceed(state),
            Action::Finish => state.request = None,
            Action::ReadLog(index) => {
                let row = state.row;
                self.send_read(&mut state.gateways[index], row);
                self.finish_read(&mut state.gateways[index]);
            }
            Action::SendRead(index) => {
                let row = state.row;
                self.send_read(&mut state.gateways[index], row);
            }
            Action::FinishRead(index) => self.finish_read(&mut state.gateways[index]),
            Action::FailRead(index) => self.fail_read(&mut state.gateways[index]),
            Action::Observe(index) => self.notice(state, index),
            Action::WriteTombstone(index) => {
                state.gateways[index].has_pending_tombstone = !state.store.revoke();
            }
            Action::WriteRow(by) => {
                state.row = if state.row == Row::Absent { Row::Open } else { state.row };
                state.revocation = Revocation::Written(by);
            }
            Action::Commit => {
                let Revocation::Written(by) = state.revocation else { return };
                state.row = Row::Committed;
                let writes_first = self.has(Guard::TombstoneFirst);
                state.revocation = match by {
                    Revoker::Gateway(index) => Revocation::Committed(index),
                    Revoker::Other => {
                        let is_complete = !writes_first || state.store.revoke();
                        Revocation::Acknowledged { since: 0, is_complete }
                    }
                    Revoker::CommandLine => Revocation::Acknowledged { since: 0, is_complete: false },
                };
            }
            Action::Apply => self.apply_revocation(state),
            Action::Fail(kind, index) => {
                state.faults -= 1;
                Self::suffer(state, kind, index);
            }
            Action::RepairVault(index) => state.gateways[index].reaches_vault = true,
            Action::RepairStore(index) => state.gateways[index].reaches_store = true,
            Action::Wake(index) => {
                Self::wake(&mut state.gateways[index]);
                if self.has(Guard::PauseIsComputed) {
                    self.notice(state, index);
                }
            }
            Action::AcceptWrites => state.store.is_writable = true,
        }
    }

    fn tick(&self, state: &mut State) {
        if let Revocation::Acknowledged { since, .. } = &mut state.revocation {
            *since = (*since + 1).min(self.outage_grace);
        }
        for gateway in &mut state.gateways {
            self.pass_tick(gateway);
        }
    }

    /// `Pauses::observe`; a reply from before the pause is old.
    fn notice(&self, state: &mut State, index: usize) {
        if self.observe(&mut state.gateways[index])
            && let Some(request) = &mut state.request
            && request.gateway == index
        {
            request.is_old = matches!(request.stage, Stage::StoreReplied { .. });
        }
    }

    /// `Auth::apply_revocation`: the list, then the tombstone, then the response.
    fn apply_revocation(&self, state: &mut State) {
        let Revocation::Committed(index) = state.revocation else { return };
        let gateway = &mut state.gateways[index];
        gateway.is_listed = true;
        let is_written = self.has(Guard::TombstoneFirst) && gateway.reaches_store && state.store.revoke();
        gateway.has_pending_tombstone |= !is_written;
        let is_complete = is_written || !self.has(Guard::TombstoneFirst);
        state.revocation = Revocation::Acknowledged { since: 0, is_complete };
    }

    fn suffer(state: &mut State, kind: Fault, index: usize) {
        let gateway = &mut state.gateways[index];
        match kind {
            Fault::CutVault => (gateway.reaches_vault, gateway.was_cut_off) = (false, true),
            Fault::CutStore => gateway.reaches_store = false,
            Fault::Pause => gateway.is_paused = true,
            // A read in flight has taken it out; after a failure the next read makes a new one.
            Fault::BreakConnection => match &mut gateway.read {
                Some(read) => read.is_broken = true,
                None => gateway.has_broken_connection = true,
            },
            Fault::Kill => Self::kill(state, index),
            Fault::Flush => state.store.lose(Entry::Absent),
            Fault::FailOver => state.store.lose(Entry::Live),
            Fault::RefuseWrites => state.store.is_writable = false,
        }
    }

    /// kill -9, and a new process. What it had begun in the vault is rolled back, or committed without a response.
    fn kill(state: &mut State, index: usize) {
        let old = state.gateways[index];
        let (reaches_vault, reaches_store) = (old.reaches_vault, old.reaches_store);
        state.gateways[index] = Gateway {
            reaches_vault,
            reaches_store,
            was_cut_off: old.was_cut_off && !reaches_vault,
            ..Gateway::started(None)
        };
        state.request = state.request.filter(|request| request.gateway != index);
        match state.revocation {
            Revocation::Written(Revoker::Gateway(by)) if by == index => {
                state.row = if state.row == Row::Open { Row::Absent } else { state.row };
                state.revocation = Revocation::None;
            }
            Revocation::Committed(by) if by == index => state.revocation = Revocation::None,
            _ => {}
        }
    }
}
