//! A client with a session that nobody ends: it calls, over HTTP/1.1 or kept HTTP/2 connections, and refreshes plainly, in
//! parallel, twice, and with lost responses.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::people::STEADY;
use super::{Desk, Session};

/// Time after which a client without a response gives its refresh token up: less than the grace.
const GIVE_UP: Duration = Duration::from_secs(45);

/// Number of clients that speak HTTP/1.1; the others keep connections.
const HTTP1: u64 = 2;

pub(super) async fn work(mut desk: Desk, number: u64) -> Vec<Session> {
    if number >= HTTP1 {
        desk.kept = Some(Arc::default());
    }
    let user = STEADY[usize::try_from(number).expect("small") % STEADY.len()];
    let mut session: Option<Session> = None;
    while desk.next().await {
        let gateway = desk.gateway();
        let Some(current) = &mut session else {
            session = desk.log_in(gateway, user).await;
            continue;
        };
        if let Some(pending) = current.pending {
            if pending.elapsed() > GIVE_UP {
                session = None;
                continue;
            }
            // As clients do that were told to try again: now and then.
            if desk.choices.chance(15) {
                let outcome = desk.refresh(gateway, current).await;
                desk.back_off(&outcome).await;
                if outcome.status == 401 {
                    session = None;
                    continue;
                }
            }
        }
        let current = session.as_mut().expect("there is one");
        let may_refresh = current.pending.is_none() && !current.is_unsettled();
        match desk.choices.below(100) {
            0..72 => {
                let outcome = desk.call(gateway, current).await;
                desk.back_off(&outcome).await;
                if outcome.status == 401 && !current.is_unsettled() {
                    let renewed = desk.refresh(gateway, current).await;
                    if renewed.status == 401 {
                        session = None;
                    }
                }
            }
            72..84 => desk.call_public(gateway).await,
            84..89 if may_refresh => {
                let outcome = desk.refresh(gateway, current).await;
                desk.back_off(&outcome).await;
            }
            89..92 if may_refresh => in_parallel(&mut desk, current).await,
            92..95 if may_refresh => {
                desk.refresh_and_hang_up(gateway, current).await;
                let other = desk.gateway();
                desk.refresh(other, current).await;
            }
            95..98 if may_refresh => {
                // A client that lost what it was given asks again.
                let before = current.refresh.clone();
                desk.refresh(gateway, current).await;
                let other = desk.gateway();
                if current.refresh != before {
                    let outcome = desk.present(other, current, &before).await;
                    if outcome.status != 200 {
                        current.unanswered = Some(Instant::now());
                    }
                }
            }
            _ => {
                let outcome = desk.call(gateway, current).await;
                desk.back_off(&outcome).await;
            }
        }
    }
    // A refresh without a response is repeated by the survey.
    session.into_iter().collect()
}

/// Refreshes at two gateways at the same time.
async fn in_parallel(desk: &mut Desk, session: &mut Session) {
    let (one, other) = (desk.gateway(), desk.gateway());
    let (mut first, mut second) = (session.clone(), session.clone());
    tokio::join!(desk.refresh(one, &mut first), desk.refresh(other, &mut second));
    let unanswered = first.unanswered.max(second.unanswered);
    *session = Session { unanswered, ..if first.pending.is_none() { first } else { second } };
}
