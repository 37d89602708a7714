//! A client that signs in, works and has its session ended, in every way there is.

use serde_json::{Value, json};

use super::people::CHURN;
use super::{BACKOFF, Desk, Session};
use crate::client::Request;
use crate::history::Scope;

pub(super) async fn work(mut desk: Desk, number: u64) -> Vec<Session> {
    let mut turn = usize::try_from(number).expect("small");
    while desk.next().await {
        let user = CHURN[turn % CHURN.len()];
        turn += 1;
        let gateway = desk.gateway();
        let Some(mut session) = desk.log_in(gateway, user).await else {
            // Whatever the reason.
            desk.rest_for(BACKOFF).await;
            continue;
        };
        // So that every gateway has confirmed it: a gateway that does not know a session cannot wrongly accept it.
        for _ in 0..4 + desk.choices.below(8) {
            let gateway = desk.gateway();
            let outcome = desk.call(gateway, &session).await;
            desk.back_off(&outcome).await;
            desk.rest().await;
        }
        if desk.choices.chance(30) {
            let gateway = desk.gateway();
            desk.refresh(gateway, &mut session).await;
        }
        // A refresh at the same time: what it writes must not bring the session back.
        let mut other = session.clone();
        let (refreshing, gateway) = (desk.choices.chance(40), desk.gateway());
        let beside = desk.copy();
        let refresh = async {
            if refreshing {
                beside.refresh(gateway, &mut other).await;
            }
        };
        let (is_ended, ()) = tokio::join!(end(&mut desk, &session), refresh);
        if is_ended {
            desk.people.bury(session);
        }
    }
    Vec::new()
}

/// Ends the session in any way. Returns true when it is acknowledged.
async fn end(desk: &mut Desk, session: &Session) -> bool {
    let gateway = desk.gateway();
    let this = Scope::Session(session.id.clone());
    match desk.choices.below(10) {
        0..3 => {
            let request = Request::post("/auth/logout", Some(&session.access), Value::Null);
            desk.end(gateway, session, request, this).await
        }
        // The token may have been rotated without a response: then this is no longer its owner's.
        3 if session.pending.is_none() => {
            let request = Request::post("/auth/logout", None, json!({ "refresh_token": session.refresh }));
            desk.end(gateway, session, request, this).await
        }
        4..6 => {
            // From another device.
            let Some(other) = desk.log_in(gateway, session.user).await else { return false };
            let path = format!("/auth/sessions/{}", session.id);
            let request =
                Request { method: "DELETE", path: &path, bearer: Some(&other.access), body: Value::Null };
            let gateway = desk.gateway();
            let ended = desk.end(gateway, &other, request, this).await;
            let request = Request::post("/auth/logout-all", Some(&other.access), Value::Null);
            if desk.end(gateway, &other, request, Scope::User).await {
                desk.people.bury(other);
            }
            ended
        }
        6 => {
            let request = Request::post("/auth/logout-all", Some(&session.access), Value::Null);
            desk.end(gateway, session, request, Scope::User).await
        }
        _ => desk.revoke(session).await,
    }
}
