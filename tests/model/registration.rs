//! Registration and revocation in one process: a revocation and a request never miss each other (src/auth/session/live.rs).

use stateright::{Model, Property};

/// A rule of the code that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A request registers before it reads anything about the session (`Slot::register`).
    RegisterFirst,
    /// It checks the slot after its last wait (`Slot::is_revoked`).
    CheckAfterWait,
    /// A revocation marks the slot, then cuts (`Slot::revoke_and_cut`).
    MarkFirst,
    /// A new slot is marked if the list has the session (`LiveSessions::slot`).
    SlotReadsList,
}

/// The model. `off` is the guard that is switched off.
#[derive(Clone, Debug)]
pub(crate) struct Registrations {
    pub(crate) off: Option<Guard>,
}

/// Progress of the request.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Request {
    Received,
    HasSlot,
    /// It waits for the stores. They confirm the session: what they say may be older than the revocation.
    Reading,
    Forwarded,
    Refused,
}

/// Progress of the revocation, which is committed in the vault.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd)]
pub(crate) enum Revocation {
    None,
    Committed,
    /// In the list, with the slot of that moment.
    Listed {
        has_slot: bool,
    },
    /// The first of marking and cutting is done.
    Half,
    Done,
}

/// State of everything.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) struct State {
    request: Request,
    revocation: Revocation,
    /// The slot in the table; `true`: it is marked.
    slot: Option<bool>,
    is_registered: bool,
    is_cut: bool,
    /// Ghost: it was forwarded after the response to the revocation.
    is_late: bool,
}

/// One step: each is atomic, by a lock or an atomic variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Request,
    Revocation,
    /// The last handle of a slot that no request uses is dropped.
    DropSlot,
}

impl Model for Registrations {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let start = |slot| State {
            request: Request::Received,
            revocation: Revocation::None,
            slot,
            is_registered: false,
            is_cut: false,
            is_late: false,
        };
        vec![start(None), start(Some(false))]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let is_sent = state.request == Request::Forwarded && state.is_registered;
        if !is_sent && state.request != Request::Refused {
            actions.push(Action::Request);
        }
        if state.revocation != Revocation::Done {
            actions.push(Action::Revocation);
        }
        let is_held = matches!(state.revocation, Revocation::Listed { has_slot: true } | Revocation::Half);
        if state.request == Request::Received && state.slot.is_some() && !is_held {
            actions.push(Action::DropSlot);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        match action {
            Action::Request => self.step_request(&mut next),
            Action::Revocation => self.step_revocation(&mut next),
            Action::DropSlot => next.slot = None,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no request is forwarded after a revocation", |_, state: &State| !state.is_late),
            Property::always("no request outlives a revocation", |_, state: &State| {
                let is_running = state.request == Request::Forwarded && !state.is_cut;
                state.revocation != Revocation::Done || !is_running
            }),
            Property::always("a live session is not refused", |_, state: &State| {
                state.request != Request::Refused || state.revocation != Revocation::None
            }),
            Property::sometimes("a request is cut", |_, state: &State| {
                state.request == Request::Forwarded && state.is_cut
            }),
        ]
    }
}

impl Registrations {
    fn has(&self, guard: Guard) -> bool {
        self.off != Some(guard)
    }

    fn step_request(&self, state: &mut State) {
        let is_listed = state.revocation >= Revocation::Listed { has_slot: false };
        let is_marked = state.slot == Some(true);
        state.request = match state.request {
            Request::Received => {
                let new = is_listed && self.has(Guard::SlotReadsList);
                state.slot = state.slot.or(Some(new));
                Request::HasSlot
            }
            Request::HasSlot => {
                state.is_registered = self.has(Guard::RegisterFirst);
                if is_marked { Request::Refused } else { Request::Reading }
            }
            Request::Reading if is_marked && self.has(Guard::CheckAfterWait) => Request::Refused,
            Request::Reading => {
                state.is_late = state.revocation == Revocation::Done;
                Request::Forwarded
            }
            Request::Forwarded => {
                // Too late for a cut, unless it registered first.
                state.is_registered = true;
                Request::Forwarded
            }
            Request::Refused => Request::Refused,
        };
    }

    fn step_revocation(&self, state: &mut State) {
        let marks_first = self.has(Guard::MarkFirst);
        state.revocation = match state.revocation {
            Revocation::None => Revocation::Committed,
            Revocation::Committed => Revocation::Listed { has_slot: state.slot.is_some() },
            Revocation::Listed { has_slot: true } => {
                state.mark_or_cut(marks_first);
                Revocation::Half
            }
            Revocation::Half => {
                state.mark_or_cut(!marks_first);
                Revocation::Done
            }
            Revocation::Listed { has_slot: false } | Revocation::Done => Revocation::Done,
        };
    }
}

impl State {
    fn mark_or_cut(&mut self, marks: bool) {
        if marks {
            self.slot = Some(true);
        } else {
            self.is_cut |= self.is_registered;
        }
    }
}
