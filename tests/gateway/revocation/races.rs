//! Revocations that arrive while a request waits for a store, for the app or for its own body.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doorward::session::Lookup;
use doorward::vault::{EndReason, Scope};
use serde_json::json;
use tokio::time::Instant;

use crate::support::gateway::{SOON, Tokens};
use crate::support::http::{Client, message};
use crate::support::{Faults, Op, Setup, TestGateway, assert_eventually, measured};

/// Only the revocation ends these before the route's `timeout` of 60 s. The measured delay is printed here; `cargo
/// bench --bench revocation` enforces the promised delay, since a busy machine is slow, not wrong.
const BY_REVOCATION: Duration = Duration::from_secs(30);

/// A gateway with injectable store faults and two sessions of one user: one to be ended, one to end it.
async fn two_sessions(sessions: &str) -> (TestGateway, std::sync::Arc<Faults>, Tokens, Tokens) {
    let faults = Faults::new();
    let setup = Setup { sessions: sessions.to_owned(), stores: faults.wrap(), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let (one, other) = (gateway.login("ada").await, gateway.login("ada").await);
    (gateway, faults, one, other)
}

/// Like [`two_sessions`], but this gateway has never seen the first session.
async fn one_unseen() -> (TestGateway, std::sync::Arc<Faults>, Tokens, Tokens) {
    let (gateway, faults, _, other) = two_sessions("").await;
    let unseen = gateway.login_elsewhere("ada").await;
    (gateway, faults, unseen, other)
}

/// Ends a session as its user would from another device, and waits for the acknowledgement.
async fn end(gateway: &TestGateway, ended: &Tokens, from: &Tokens) {
    let response = gateway.call("DELETE", &format!("/auth/sessions/{}", ended.session), &from.access).await;
    assert_eq!(response.json(), json!({ "ended": 1, "propagation": "complete" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_during_session_store_query_stops_forwarding() {
    let (gateway, faults, tokens, other) = two_sessions(r#"revalidate_after = "0s""#).await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    // The store reports a live session, the session is revoked, then the store's response arrives.
    let gate = faults.hold_after(Op::Check);
    let mut client = Client::asking(gateway.address(), "/late", &tokens.access).await;
    gate.until_reached().await;
    end(&gateway, &tokens, &other).await;
    gate.open();
    let refused = client.response("GET").await.expect("an answer in words");
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_revoked"));
    assert_eq!(gateway.app.seen().len(), 1, "only the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_during_session_store_query_stops_gateway_endpoints() {
    let (gateway, faults, tokens, other) = two_sessions("").await;
    assert_eq!(gateway.call("GET", "/auth/me", &tokens.access).await.status, 200);
    let gate = faults.hold_after(Op::Check);
    let mut client = Client::asking(gateway.address(), "/auth/me", &tokens.access).await;
    gate.until_reached().await;
    end(&gateway, &tokens, &other).await;
    gate.open();
    let refused = client.response("GET").await.expect("an answer in words");
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn request_waiting_for_a_store_ends_on_revocation() {
    for op in [Op::Check, Op::FindSession] {
        let (gateway, faults, tokens, other) = one_unseen().await;
        assert_eq!(gateway.call("GET", "/", &other.access).await.status, 200);
        let gate = faults.hold_before(op);
        let mut client = Client::asking(gateway.address(), "/stuck", &tokens.access).await;
        gate.until_reached().await;
        let revoked = Instant::now();
        end(&gateway, &tokens, &other).await;
        // The store never responds, so no refusal can be sent and the connection is cut.
        assert!(client.response("GET").await.is_none(), "{op:?}: cut");
        assert!(revoked.elapsed() < BY_REVOCATION, "{op:?}: {:?}", revoked.elapsed());
        assert_eq!(gateway.app.heads(), 1, "{op:?}: only the other session's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_during_first_lookup_overrides_the_vault_response() {
    let (gateway, faults, tokens, other) = one_unseen().await;
    assert_eq!(gateway.call("GET", "/", &other.access).await.status, 200);
    // The vault reports a live session, the session is revoked, then the session store is filled from the vault's
    // response.
    let gate = faults.hold_after(Op::FindSession);
    let mut client = Client::asking(gateway.address(), "/late", &tokens.access).await;
    gate.until_reached().await;
    end(&gateway, &tokens, &other).await;
    let fills = faults.calls(Op::Fill);
    gate.open();
    let refused = client.response("GET").await.expect("an answer in words");
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_revoked"));
    assert_eq!(faults.calls(Op::Fill), fills + 1, "it was filled");
    let id = tokens.session.parse().expect("an id");
    assert_eq!(faults.real().sessions.check(id).await.expect("a store"), Lookup::Tombstone);
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.code(), "token_revoked");
    assert_eq!(gateway.app.heads(), 1, "only the other session's");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_session_is_refused_without_any_store() {
    let faults = Faults::new();
    let setup = Setup {
        vault: r#"lease = "60s""#.to_owned(),
        sessions: r#"stream_lease = "2m""#.to_owned(),
        stores: faults.wrap(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    // This replica has never seen the session and performs no lookup now.
    let (tokens, other) = (gateway.login_elsewhere("ada").await, gateway.login("ada").await);
    end(&gateway, &tokens, &other).await;
    faults.fail(&Op::VAULT);
    faults.fail(&Op::SESSION_STORE);
    let refused = gateway.call("GET", "/", &tokens.access).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_before_the_app_responds_replaces_its_response() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let mut client = Client::asking(gateway.address(), "/hold", &tokens.access).await;
    assert_eventually("the app is asked", SOON, async || gateway.app.seen().len() == 1).await;
    assert_eq!(gateway.post("/auth/logout", Some(&tokens.access), &json!(null)).await.status, 200);
    gateway.app.release(1);
    let refused = client.response("GET").await.expect("an answer in words");
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_cuts_a_pending_long_poll() {
    let (gateway, _, tokens, other) = two_sessions("").await;
    let mut poll = Client::asking(gateway.address(), "/hold", &tokens.access).await;
    let mut others = Client::asking(gateway.address(), "/hold", &other.access).await;
    assert_eventually("the app is asked", SOON, async || gateway.app.heads() == 2).await;
    let revoked = Instant::now();
    end(&gateway, &tokens, &other).await;
    assert!(poll.response("GET").await.is_none(), "cut");
    let took = revoked.elapsed();
    measured(format_args!("a long poll is cut after {took:?}"));
    assert!(took < BY_REVOCATION, "{took:?}");
    assert_eventually("it is counted", SOON, async || {
        gateway.metric(r#"doorward_requests_cut_total{cause="revoked"}"#).await == 1.0
    })
    .await;
    gateway.app.release(2);
    assert_eq!(others.response("GET").await.expect("an answer").status, 200, "another session's stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_stops_an_upload() {
    let (gateway, _, tokens, other) = two_sessions("").await;
    let mut client = Client::connect(gateway.address()).await;
    let bearer = format!("Bearer {}", tokens.access);
    let whole = message("POST", "/upload", &[("Authorization", &bearer)], &[b'x'; 100]);
    let (begun, rest) = whole.split_at(whole.len() - 50);
    client.send(begun).await;
    assert_eventually("the upload has begun", SOON, async || gateway.app.heads() == 1).await;
    end(&gateway, &tokens, &other).await;
    client.send(rest).await;
    let refused = client.response("POST").await.expect("an answer in words");
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_revoked"));
    assert!(gateway.app.seen().is_empty(), "the app never got the whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_cuts_a_stalled_upload() {
    let (gateway, _, tokens, other) = two_sessions("").await;
    let mut client = Client::connect(gateway.address()).await;
    let bearer = format!("Bearer {}", tokens.access);
    let whole = message("POST", "/upload", &[("Authorization", &bearer)], &[b'x'; 100]);
    client.send(&whole[..whole.len() - 50]).await;
    assert_eventually("the upload has begun", SOON, async || gateway.app.heads() == 1).await;
    let revoked = Instant::now();
    end(&gateway, &tokens, &other).await;
    client.until_closed().await;
    assert!(revoked.elapsed() < BY_REVOCATION, "{:?}", revoked.elapsed());
    assert!(gateway.app.seen().is_empty(), "the app never got the whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_amid_requests_is_answered_401_from_then_on() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    for round in 0..20 {
        let tokens = gateway.login("ada").await;
        let acknowledged = AtomicBool::new(false);
        let requests = async {
            loop {
                let after = acknowledged.load(Ordering::SeqCst);
                let response = gateway.call("GET", "/x", &tokens.access).await;
                match response.status {
                    200 => assert!(!after, "round {round}: accepted after the acknowledgement"),
                    _ => return assert_eq!(response.code(), "token_revoked"),
                }
            }
        };
        let revocation = async {
            assert_eventually("requests flow", SOON, async || gateway.app.seen().len() > 5 * round).await;
            assert_eq!(gateway.post("/auth/logout", Some(&tokens.access), &json!(null)).await.status, 200);
            acknowledged.store(true, Ordering::SeqCst);
        };
        tokio::join!(requests, revocation);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_by_another_process_reaches_a_waiting_request() {
    let (gateway, faults, tokens, other) = one_unseen().await;
    assert_eq!(gateway.call("GET", "/", &other.access).await.status, 200);
    let gate = faults.hold_after(Op::FindSession);
    let mut client = Client::asking(gateway.address(), "/late", &tokens.access).await;
    gate.until_reached().await;
    let id = tokens.session.parse().expect("an id");
    gateway.vault.sessions.revoke(Scope::Session(id, None), EndReason::Admin).await.expect("a vault");
    // Two more reads of the log: the second started after the commit.
    let reads = faults.calls(Op::ReadLog);
    assert_eventually("the log is read", SOON, async || faults.calls(Op::ReadLog) >= reads + 2).await;
    gate.open();
    let response = client.response("GET").await;
    assert!(response.is_none_or(|refused| refused.code() == "token_revoked"));
    assert_eq!(gateway.app.heads(), 1, "only the other session's");
}

#[tokio::test(flavor = "multi_thread")]
async fn vault_response_is_valid_only_during_the_lease() {
    for path in ["/late", "/auth/me"] {
        let (gateway, faults, tokens, other) = one_unseen().await;
        assert_eq!(gateway.call("GET", "/", &other.access).await.status, 200);
        // The store reports a live session with a long delay, while the log is not read.
        let gate = faults.hold_after(Op::FindSession);
        let mut client = Client::asking(gateway.address(), path, &tokens.access).await;
        gate.until_reached().await;
        faults.fail(&[Op::ReadLog]);
        let id = tokens.session.parse().expect("an id");
        gateway.vault.sessions.revoke(Scope::Session(id, None), EndReason::Admin).await.expect("a vault");
        assert_eventually("the lease is over", SOON, async || {
            gateway.metric("doorward_lease_held").await == 0.0
        })
        .await;
        gate.open();
        let refused = client.response("GET").await.expect("an answer in words");
        assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"), "{path}");
        assert_eq!(gateway.app.heads(), 1, "only the other session's");
    }
}
