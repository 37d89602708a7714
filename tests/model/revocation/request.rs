//! The check of one request (src/auth/session/authenticate.rs), from wait to wait.

use super::rules::{Guard, Revocations};
use super::state::{
    CONFIRMATIONS, Caller, ConfirmedBy, Entry, Gateway, Outcome, Request, Row, Stage, State, Store,
};

const REVOKED: Stage = Stage::Done(Outcome::Revoked);
const UNDECIDED: Stage = Stage::Done(Outcome::Undecided);

impl Revocations {
    /// `Auth::authenticate` up to its first wait. `uses_cache`: confirmed within `revalidate_after`.
    pub(crate) fn authenticate(&self, state: &mut State, index: usize, uses_cache: bool) {
        let gateway = &state.gateways[index];
        let mut request = Request { gateway: index, stage: Stage::Admitted, is_old: false, attempts: 0 };
        request.stage = if gateway.is_listed {
            REVOKED
        } else if uses_cache {
            self.admit(&mut request, gateway, &state.store, ConfirmedBy::Vault)
        } else {
            self.confirm(gateway, &state.store)
        };
        state.request = Some(request);
    }

    /// The request goes on after its wait.
    pub(crate) fn proceed(&self, state: &mut State) {
        let Some(mut request) = state.request else { return };
        let mut gateway = state.gateways[request.gateway];
        let stage = match request.stage {
            Stage::Waking(Caller::Confirm) => self.confirm(&gateway, &state.store),
            Stage::Admitted | Stage::Waking(Caller::RecheckLease) => {
                self.recheck_lease(&gateway, &state.store)
            }
            Stage::StoreReplied { caller: Caller::Confirm, lease_held, reply } => {
                self.read_record(&mut request, &mut gateway, state, lease_held, reply)
            }
            Stage::StoreReplied { caller: Caller::RecheckLease, reply, .. } => {
                self.recheck_record(&mut request, &gateway, &state.store, reply)
            }
            Stage::VaultReplied { is_live, stays_good } => {
                if is_live == Some(true) {
                    gateway.is_confirmed = true;
                    if gateway.reaches_store {
                        state.store.fill(self.has(Guard::FillOnlyAbsent));
                    }
                }
                match is_live {
                    Some(false) => REVOKED,
                    None if !stays_good => UNDECIDED,
                    _ => self.admit(&mut request, &gateway, &state.store, ConfirmedBy::Vault),
                }
            }
            Stage::Done(_) => return,
        };
        state.gateways[request.gateway] = gateway;
        state.request = Some(Request { stage, is_old: false, ..request });
    }

    /// `Auth::confirm` up to its wait for the session store.
    fn confirm(&self, gateway: &Gateway, store: &Store) -> Stage {
        self.ask(gateway, store, Caller::Confirm)
    }

    /// `Auth::lease_when_awake`, `Auth::store_may_confirm` and `SessionStore::check`.
    fn ask(&self, gateway: &Gateway, store: &Store, caller: Caller) -> Stage {
        let lease_held = gateway.holds_lease();
        if !lease_held && gateway.is_waking {
            return Stage::Waking(caller);
        }
        if !lease_held && !self.store_may_confirm(gateway) {
            return UNDECIDED;
        }
        Stage::StoreReplied { caller, lease_held, reply: gateway.reaches_store.then_some(store.entry) }
    }

    /// `Auth::confirm` after the reply of the session store.
    fn read_record(
        &self,
        request: &mut Request,
        gateway: &mut Gateway,
        state: &State,
        lease_held: bool,
        reply: Option<Entry>,
    ) -> Stage {
        let stays_good = lease_held && gateway.is_confirmed;
        match reply {
            Some(Entry::Live) => {
                gateway.is_confirmed = true;
                self.admit(request, gateway, &state.store, ConfirmedBy::SessionStore)
            }
            Some(Entry::Tombstone) if !lease_held => REVOKED,
            Some(Entry::Absent) if !self.has(Guard::AbsentIsUndecided) => REVOKED,
            _ if !lease_held => UNDECIDED,
            None if stays_good => self.admit(request, gateway, &state.store, ConfirmedBy::Vault),
            _ => Stage::VaultReplied {
                is_live: gateway.reaches_vault.then_some(state.row != Row::Committed),
                stays_good: stays_good && reply != Some(Entry::Tombstone),
            },
        }
    }

    /// `Auth::confirm_until_now` after a confirmation.
    fn admit(&self, request: &mut Request, gateway: &Gateway, store: &Store, by: ConfirmedBy) -> Stage {
        if gateway.is_listed && self.has(Guard::RecheckList) {
            return REVOKED;
        }
        let by_store = by == ConfirmedBy::SessionStore && self.record_counts(request, gateway);
        if gateway.holds_lease() || by_store {
            return Stage::Admitted;
        }
        self.once_more(request, || self.confirm(gateway, store))
    }

    /// Returns whether a record that the session store had when it was asked still counts.
    fn record_counts(&self, request: &Request, gateway: &Gateway) -> bool {
        let is_old = request.is_old && self.has(Guard::ReplyAfterPause);
        !is_old && self.store_may_confirm(gateway)
    }

    fn once_more(&self, request: &mut Request, confirm: impl FnOnce() -> Stage) -> Stage {
        request.attempts += 1;
        if request.attempts < CONFIRMATIONS { confirm() } else { UNDECIDED }
    }

    /// `Auth::recheck_lease` up to its wait: the connection to the app is made.
    fn recheck_lease(&self, gateway: &Gateway, store: &Store) -> Stage {
        if gateway.is_listed && self.has(Guard::RecheckList) {
            REVOKED
        } else if gateway.holds_lease() || !self.has(Guard::RecheckLease) {
            self.forward(gateway, ConfirmedBy::Vault)
        } else {
            self.ask(gateway, store, Caller::RecheckLease)
        }
    }

    /// `Auth::recheck_lease` after the reply of the session store.
    fn recheck_record(
        &self,
        request: &mut Request,
        gateway: &Gateway,
        store: &Store,
        reply: Option<Entry>,
    ) -> Stage {
        match reply {
            Some(Entry::Live)
                if self.record_counts(request, gateway) || !self.has(Guard::RecheckAfterReply) =>
            {
                self.forward(gateway, ConfirmedBy::SessionStore)
            }
            Some(Entry::Live) => self.once_more(request, || self.recheck_lease(gateway, store)),
            Some(Entry::Tombstone) => REVOKED,
            Some(Entry::Absent) | None => UNDECIDED,
        }
    }

    /// `Context::recheck` (src/gateway/request/context.rs), then the request is sent.
    fn forward(&self, gateway: &Gateway, by: ConfirmedBy) -> Stage {
        let is_refused = gateway.is_listed && self.has(Guard::RecheckList);
        if is_refused { REVOKED } else { Stage::Done(Outcome::Forwarded(by)) }
    }
}
