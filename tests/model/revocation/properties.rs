//! The promises (docs/design.md, "What it promises"), each checked at the moment at which a request ends.

use stateright::Property;

use super::state::{ConfirmedBy, LEASE, Outcome, Revocation, Row, Stage, State};
use super::{Revocations, STORE};

pub(crate) fn all() -> Vec<Property<Revocations>> {
    vec![
        Property::always("a listed session is not forwarded", |_, state: &State| {
            ended(state).is_none_or(|(index, outcome)| {
                !matches!(outcome, Outcome::Forwarded(_)) || !state.gateways[index].is_listed
            })
        }),
        Property::always("the list is at most a lease old", |_, state| {
            forwarded_late(state).is_none_or(|(_, confirmed_by)| confirmed_by != ConfirmedBy::Vault)
        }),
        Property::always("the session store confirms only while the vault is away", |_, state| {
            forwarded_late(state).is_none_or(|(index, confirmed_by)| {
                confirmed_by != ConfirmedBy::SessionStore || state.gateways[index].was_cut_off
            })
        }),
        Property::always("the session store confirms no longer than the grace", |model, state| {
            forwarded_late(state).is_none()
                || since(state).is_some_and(|(ticks, _)| ticks < model.outage_grace)
        }),
        Property::always("a tombstone ends a session on every gateway", |_, state| {
            let was_complete = since(state).is_some_and(|(_, is_complete)| is_complete);
            forwarded_late(state).is_none() || !was_complete || state.store.lost_tombstone
        }),
        Property::always("a live session is not refused as revoked", |_, state| {
            ended(state).is_none_or(|(_, outcome)| outcome != Outcome::Revoked) || state.row == Row::Committed
        }),
        Property::always("the loss of the session store alone refuses nobody", |model, state| {
            model.kinds != STORE || ended(state).is_none_or(|(_, outcome)| outcome != Outcome::Undecided)
        }),
        Property::sometimes("the list confirms", |_, state| {
            matches!(ended(state), Some((_, Outcome::Forwarded(ConfirmedBy::Vault))))
        }),
        Property::sometimes("the session store confirms while the vault is away", |model, state| {
            model.kinds == STORE
                || matches!(ended(state), Some((index, Outcome::Forwarded(ConfirmedBy::SessionStore)))
                    if !state.gateways[index].reaches_vault)
        }),
        Property::sometimes("a gateway is undecided", |model, state| {
            model.kinds == STORE || matches!(ended(state), Some((_, Outcome::Undecided)))
        }),
    ]
}

/// Gateway and outcome of a request that has just ended.
fn ended(state: &State) -> Option<(usize, Outcome)> {
    let request = state.request?;
    let Stage::Done(outcome) = request.stage else { return None };
    Some((request.gateway, outcome))
}

/// Ticks since the response to the revocation, and whether it reported the tombstone as written.
fn since(state: &State) -> Option<(u8, bool)> {
    let Revocation::Acknowledged { since, is_complete } = state.revocation else { return None };
    Some((since, is_complete))
}

/// Gateway and evidence of a request that was forwarded a lease after the response to the revocation, or later.
fn forwarded_late(state: &State) -> Option<(usize, ConfirmedBy)> {
    let (index, Outcome::Forwarded(confirmed_by)) = ended(state)? else { return None };
    since(state).filter(|(ticks, _)| *ticks >= LEASE).map(|_| (index, confirmed_by))
}
