//! Vault outages: an undecided session is neither accepted nor refused as invalid.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::support::gateway::{SOON, Tokens};
use crate::support::{Faults, Op, PASSWORD, Response, Setup, TestGateway, assert_eventually};

/// Leases long enough that only a clock jump ends them.
async fn gateway() -> (TestGateway, Arc<Faults>) {
    let faults = Faults::new();
    let setup = Setup {
        vault: r#"lease = "60s""#.to_owned(),
        sessions: r#"stream_lease = "1h""#.to_owned(),
        stores: faults.wrap(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    (gateway, faults)
}

fn assert_undecided(response: &Response) {
    assert_eq!((response.status, response.code().as_str()), (503, "store_unavailable"));
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("www-authenticate"), None);
    assert!(response.all("set-cookie").is_empty());
}

async fn log_in(gateway: &TestGateway) -> Response {
    gateway.post("/auth/login", None, &json!({ "username": "ada", "password": PASSWORD })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_in_traffic_without_vault_continues_until_lease_ends() {
    let (gateway, faults) = gateway().await;
    let (known, unknown) = (gateway.login("ada").await, gateway.login_elsewhere("ada").await);
    assert_eq!(gateway.call("GET", "/", &known.access).await.status, 200);
    faults.fail(&Op::VAULT);
    assert_eq!(gateway.call("GET", "/", &known.access).await.status, 200);
    assert_undecided(&gateway.call("GET", "/", &unknown.access).await);
    assert_undecided(&log_in(&gateway).await);
    assert_undecided(&gateway.refresh(&known.refresh).await);
    assert_undecided(&gateway.post("/auth/logout", Some(&known.access), &json!(null)).await);
    assert_eq!(gateway.probe("/readyz").await.status, 200, "the lease is held");
    let forwarded = gateway.app.seen().len();

    gateway.clock.advance(Duration::from_secs(60));
    for tokens in [&known, &unknown] {
        assert_undecided(&gateway.call("GET", "/", &tokens.access).await);
        assert_undecided(&gateway.call("GET", "/optional", &tokens.access).await);
        assert_undecided(&gateway.call("GET", "/auth/me", &tokens.access).await);
    }
    assert_eq!(gateway.app.seen().len(), forwarded, "never forwarded");
    assert_eq!(gateway.call("GET", "/", "no.good.token").await.status, 401, "that much is certain");
    assert_eq!(gateway.get("/public", &[]).await.status, 200);
    assert_eq!(gateway.get("/optional", &[]).await.status, 200);
    let ready = gateway.probe("/readyz").await;
    assert_eq!((ready.status, ready.text().starts_with("vault: ")), (503, true), "{}", ready.text());
    assert_eq!(gateway.probe("/livez").await.status, 200);

    faults.heal();
    let back = Duration::from_secs(5);
    assert_eventually("as before", back, async || {
        gateway.call("GET", "/", &known.access).await.status == 200
    })
    .await;
    assert_eq!(gateway.call("GET", "/", &unknown.access).await.status, 200);
    assert_eq!(gateway.probe("/readyz").await.status, 200);
    Tokens::of(&gateway.refresh(&known.refresh).await);
    assert_eq!(log_in(&gateway).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_during_vault_outage_applies_once_vault_returns() {
    let (gateway, faults) = gateway().await;
    let tokens = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    faults.fail(&Op::VAULT);
    // Another process that can reach the vault.
    gateway.command(&["session", "revoke", "--user", "ada"]).await;
    gateway.clock.advance(Duration::from_secs(60));
    assert_undecided(&gateway.call("GET", "/", &tokens.access).await);
    let forwarded = gateway.app.heads();
    faults.heal();
    assert_eventually("it is decided", SOON, async || {
        gateway.call("GET", "/", &tokens.access).await.status == 401
    })
    .await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.code(), "token_revoked");
    assert_eq!(gateway.app.heads(), forwarded, "never forwarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_key_is_invalid_only_while_keys_are_current() {
    let (gateway, faults) = gateway().await;
    let (other, _) = self::gateway().await;
    let foreign = other.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &foreign.access).await.code(), "token_invalid");
    faults.fail(&[Op::LoadKeys, Op::ReadLog]);
    gateway.clock.advance(Duration::from_secs(60));
    assert_undecided(&gateway.call("GET", "/", &foreign.access).await);
    assert_eq!(gateway.app.heads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_key_load_after_rotation_concerns_no_known_token() {
    let (gateway, faults) = gateway().await;
    let tokens = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    faults.fail(&[Op::LoadKeys]);
    gateway.command(&["key", "rotate"]).await;
    let tried = faults.calls(Op::LoadKeys);
    assert_eventually("they are asked for", SOON, async || faults.calls(Op::LoadKeys) > tried).await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200, "the lease is held");
    // A pause: the request waits for the log, which can be read.
    gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200, "the lease is held again");
    faults.heal();
    assert_eventually("as before", SOON, async || {
        gateway.call("GET", "/", &tokens.access).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_read_extends_lease_from_its_sending_time() {
    let (gateway, faults) = gateway().await;
    let tokens = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    // The vault has responded but the response is delayed; it does not contain revocations made meanwhile.
    let gate = faults.hold_after(Op::ReadLog);
    gate.until_reached().await;
    faults.fail(&[Op::ReadLog]);
    gateway.command(&["session", "revoke", "--user", "ada"]).await;
    gateway.clock.advance(Duration::from_secs(60));
    let (read, forwarded) = (faults.calls(Op::ReadLog), gateway.app.heads());
    gate.open();
    assert_eventually("it has arrived", SOON, async || faults.calls(Op::ReadLog) > read).await;
    assert_undecided(&gateway.call("GET", "/", &tokens.access).await);
    assert_eq!(gateway.app.heads(), forwarded, "never forwarded");
    assert_eq!(gateway.probe("/readyz").await.status, 503);
}
