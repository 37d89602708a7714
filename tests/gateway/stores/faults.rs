//! Isolated faults: one component fails and everything else continues.

use std::time::Duration;

use doorward::session::Lookup;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::gateway::{SOON, Tokens};
use crate::support::http::{self, Client, message};
use crate::support::{Faults, Op, PASSWORD, Setup, TestGateway, assert_eventually};

async fn faulty(setup: Setup) -> (TestGateway, std::sync::Arc<Faults>) {
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..setup }).await;
    gateway.user("ada", &[]).await;
    (gateway, faults)
}

#[tokio::test(flavor = "multi_thread")]
async fn store_panic_fails_only_its_request() {
    // In the request itself, in a single flight, and in a detached use case.
    let (gateway, faults) = faulty(Setup::default()).await;
    let (tokens, unseen) = (gateway.login("ada").await, gateway.login_elsewhere("ada").await);
    let mut panics = 0.0;
    for op in [Op::Check, Op::FindSession, Op::Rotate, Op::Revoke] {
        faults.panic(op);
        let failed = match op {
            Op::Rotate => gateway.refresh(&tokens.refresh).await,
            Op::Revoke => gateway.post("/auth/logout", Some(&tokens.access), &json!(null)).await,
            _ => gateway.call("GET", "/", &unseen.access).await,
        };
        assert_eq!((failed.status, failed.code().as_str()), (500, "internal"), "{op:?}");
        panics += 1.0;
        assert_eq!(gateway.metric("doorward_panics_total").await, panics, "{op:?}");
    }
    assert_eq!(gateway.app.heads(), 0);
    assert_eq!(gateway.call("GET", "/", &unseen.access).await.status, 200);
    let renewed = Tokens::of(&gateway.refresh(&tokens.refresh).await);
    assert_eq!(gateway.post("/auth/logout", Some(&renewed.access), &json!(null)).await.status, 200);
    // The request log is completed shortly after the response is written.
    assert_eventually("nothing is in flight", SOON, async || {
        gateway.metric("doorward_requests_in_flight").await == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn panic_while_reading_the_log_does_not_stop_following() {
    let (gateway, faults) = faulty(Setup::default()).await;
    let tokens = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    faults.panic(Op::ReadLog);
    let reads = faults.calls(Op::ReadLog);
    assert_eventually("it panics, and is read again", SOON, async || faults.calls(Op::ReadLog) >= reads + 3)
        .await;
    gateway.command(&["session", "revoke", "--user", "ada"]).await;
    assert_eventually("the revocation is followed", SOON, async || {
        let response = gateway.call("GET", "/", &tokens.access).await;
        response.status == 401 && response.code() == "token_revoked"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_session_store_unconfirmed_sessions_query_the_vault() {
    let setup = Setup {
        vault: r#"lease = "60s""#.to_owned(),
        sessions: "revalidate_after = \"0s\"\nstream_lease = \"2m\"".to_owned(),
        ..Setup::default()
    };
    let (gateway, faults) = faulty(setup).await;
    let (known, unknown) = (gateway.login("ada").await, gateway.login_elsewhere("ada").await);
    assert_eq!(gateway.call("GET", "/", &known.access).await.status, 200);
    faults.fail(&Op::SESSION_STORE);
    let lookups = faults.calls(Op::FindSession);
    for _ in 0..5 {
        assert_eq!(gateway.call("GET", "/", &known.access).await.status, 200);
    }
    assert_eq!(faults.calls(Op::FindSession), lookups, "confirmed once, and the set is current");
    assert_eq!(gateway.call("GET", "/", &unknown.access).await.status, 200);
    assert_eq!(faults.calls(Op::FindSession), lookups + 1, "asked of the vault");
    let answered = Tokens::of(&gateway.refresh(&known.refresh).await);
    assert_eq!(gateway.call("GET", "/", &answered.access).await.status, 200);
    assert_eq!(gateway.call("GET", "/", &gateway.login("ada").await.access).await.status, 200);
    faults.fail(&Op::VAULT);
    assert_eq!(gateway.call("GET", "/", &known.access).await.status, 200, "as long as the lease holds");
    gateway.clock.advance(Duration::from_secs(60));
    let refused = gateway.call("GET", "/", &known.access).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_without_session_store_writes_tombstone_later() {
    let (gateway, faults) = faulty(Setup::default()).await;
    let tokens = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    faults.fail(&[Op::Tombstone]);
    let response = gateway.post("/auth/logout", Some(&tokens.access), &json!(null)).await;
    assert_eq!((response.status, response.json()), (200, json!({ "ended": 1, "propagation": "vault" })));
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.code(), "token_revoked");
    let id = tokens.session.parse().expect("an id");
    let tried = faults.calls(Op::Tombstone);
    assert_eventually("it is tried again", SOON, async || faults.calls(Op::Tombstone) > tried).await;
    let real = &faults.real().sessions;
    assert!(matches!(real.check(id).await.expect("a store"), Lookup::Live(_)), "still owed");
    faults.heal();
    assert_eventually("it is paid", SOON, async || {
        real.check(id).await.expect("a store") == Lookup::Tombstone
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_ends_session_even_if_client_disconnects() {
    let (gateway, faults) = faulty(Setup::default()).await;
    let tokens = gateway.login("ada").await;
    let twin = Tokens::of(&gateway.refresh(&tokens.refresh).await);
    assert_eq!(gateway.call("GET", "/", &twin.access).await.status, 200);
    let gate = faults.hold_before(Op::Revoke);
    let mut client = Client::connect(gateway.address()).await;
    let bearer = format!("Bearer {}", tokens.access);
    client.send(&message("POST", "/auth/logout", &[("Authorization", &bearer)], b"")).await;
    gate.until_reached().await;
    client.hang_up();
    assert_eq!(gateway.call("GET", "/", &twin.access).await.status, 200, "not yet");
    gate.open();
    assert_eventually("the other token is refused", SOON, async || {
        gateway.call("GET", "/", &twin.access).await.status == 401
    })
    .await;
    assert_eq!(gateway.call("GET", "/", &twin.access).await.code(), "token_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_ends_session_even_if_its_request_is_cut() {
    let (mut gateway, faults) =
        faulty(Setup { server: r#"drain_timeout = "0s""#.to_owned(), ..Setup::default() }).await;
    let tokens = gateway.login("ada").await;
    let gate = faults.hold_before(Op::Revoke);
    let mut client = Client::connect(gateway.address()).await;
    let bearer = format!("Bearer {}", tokens.access);
    client.send(&message("POST", "/auth/logout", &[("Authorization", &bearer)], b"")).await;
    gate.until_reached().await;
    gateway.drain().await;
    assert!(client.response("POST").await.is_none(), "cut");
    gate.open();
    let id = tokens.session.parse().expect("an id");
    assert_eventually("it is ended", SOON, async || {
        let row = gateway.vault.sessions.find(id).await.expect("a vault").expect("a session");
        !row.live
    })
    .await;
    let real = &faults.real().sessions;
    assert_eventually("the tombstone is there", SOON, async || {
        real.check(id).await.expect("a store") == Lookup::Tombstone
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_hash_queue_refuses_only_logins() {
    let (gateway, _) = faulty(Setup {
        login: "hash_threads = 1\nhash_queue = 1\nattempts_per_account = 100".to_owned(),
        ..Setup::default()
    })
    .await;
    let tokens = gateway.login("ada").await;
    let mut logins = JoinSet::new();
    for _ in 0..40 {
        let (address, body) =
            (gateway.address(), json!({ "username": "ada", "password": PASSWORD }).to_string());
        logins.spawn(async move {
            let headers = [("Content-Type", "application/json")];
            http::request(address, "POST", "/auth/login", &headers, body.as_bytes()).await
        });
    }
    for _ in 0..10 {
        assert_eq!(gateway.get("/public", &[]).await.status, 200);
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    }
    let (let_in, refused): (Vec<_>, Vec<_>) =
        logins.join_all().await.into_iter().partition(|response| response.status == 200);
    assert!(!let_in.is_empty() && !refused.is_empty(), "{} in, {} refused", let_in.len(), refused.len());
    for response in &refused {
        assert_eq!((response.status, response.code().as_str()), (503, "overloaded"));
        assert_eq!(response.header("retry-after"), Some("1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn undecided_logins_do_not_count_as_wrong_passwords() {
    let (gateway, faults) =
        faulty(Setup { login: "attempts_per_account = 2".to_owned(), ..Setup::default() }).await;
    let body = json!({ "username": "ada", "password": PASSWORD });
    faults.fail(&[Op::FindUser]);
    for _ in 0..5 {
        let refused = gateway.post("/auth/login", None, &body).await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"));
    }
    faults.heal();
    assert_eq!(gateway.post("/auth/login", None, &body).await.status, 200);
}
