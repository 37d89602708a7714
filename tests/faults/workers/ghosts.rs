//! A client that goes on with the tokens of ended sessions, at every gateway, without waiting for responses.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Desk, Session};
use crate::fleet::GATEWAYS;

/// Maximum number of requests under way: a stalled gateway keeps them.
const IN_FLIGHT: usize = 60;

pub(super) async fn work(mut desk: Desk) -> Vec<Session> {
    let mut under_way = JoinSet::new();
    let shared = Arc::new(desk.copy());
    let mut turn: usize = 0;
    while !desk.is_stopped() {
        // Two of three visits are to recent graves; the third comes without a rest.
        turn += 1;
        if !turn.is_multiple_of(3) {
            desk.rest().await;
        }
        while under_way.try_join_next().is_some() {}
        let (number, gateway, refreshes) =
            (desk.choices.below(1000), desk.choices.below(GATEWAYS), desk.choices.chance(4));
        let Some(session) = desk.people.grave(number, !turn.is_multiple_of(3)) else { continue };
        // Not while the gateway is being replaced: nobody listens there.
        if under_way.len() >= IN_FLIGHT || !desk.fleet.replicas[gateway].gateway.listens() {
            continue;
        }
        let desk = Arc::clone(&shared);
        under_way.spawn(async move {
            if refreshes {
                desk.present(gateway, &session, &session.refresh).await;
            } else {
                desk.call(gateway, &session).await;
            }
        });
    }
    under_way.join_all().await;
    Vec::new()
}
