//! User journeys, step by step.

use std::time::Duration;

use serde_json::json;

use crate::support::gateway::{SOON, Tokens};
use crate::support::{PASSWORD, Setup, TestGateway, assert_eventually};

#[tokio::test(flavor = "multi_thread")]
async fn signed_in_user_reaches_the_app_with_identity() {
    let gateway = TestGateway::start().await;
    let id = gateway.user("ada", &["user", "admin"]).await;
    let tokens = gateway.login("Ada").await;
    let response = gateway.call("GET", "/hello?x=1", &tokens.access).await;
    assert_eq!(response.status, 200);
    let seen = gateway.app.last();
    assert_eq!(seen.line(), "GET /hello?x=1 HTTP/1.1");
    assert_eq!(seen.header("x-auth-user").as_deref(), Some("ada"));
    assert_eq!(seen.header("x-auth-user-id"), Some(id.to_string()));
    assert_eq!(seen.header("x-auth-roles").as_deref(), Some("admin,user"));
    assert_eq!(seen.header("x-auth-session"), Some(tokens.session));
    assert_eq!(seen.header("authorization"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_rotates_repeats_in_grace_and_detects_reuse() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let first = gateway.login("ada").await;
    let second = Tokens::of(&gateway.refresh(&first.refresh).await);
    let again = Tokens::of(&gateway.refresh(&first.refresh).await);
    assert_eq!(second.refresh, again.refresh, "byte for byte");
    assert_ne!(second.refresh, first.refresh);
    for token in [&first.access, &second.access, &again.access] {
        assert_eq!(gateway.call("GET", "/", token).await.status, 200);
    }
    let touches = r#"doorward_vault_statement_seconds_count{statement="touch"}"#;
    assert_eventually("the use is written", SOON, async || gateway.metric(touches).await >= 1.0).await;
    gateway.clock.advance(Duration::from_secs(61));
    let reused = gateway.refresh(&first.refresh).await;
    assert_eq!((reused.status, reused.code().as_str()), (401, "refresh_reused"));
    for token in [&first.access, &second.access, &again.access] {
        let refused = gateway.call("GET", "/", token).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "token_revoked"));
    }
    assert_eq!(gateway.refresh(&second.refresh).await.code(), "refresh_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_ends_one_session_and_logout_everywhere_all() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (one, two, three) =
        (gateway.login("ada").await, gateway.login("ada").await, gateway.login("ada").await);
    let out = gateway.post("/auth/logout", Some(&one.access), &json!(null)).await;
    assert_eq!(out.json(), json!({ "ended": 1, "propagation": "complete" }));
    assert_eq!(gateway.call("GET", "/", &one.access).await.code(), "token_revoked");
    assert_eq!(gateway.call("GET", "/", &two.access).await.status, 200);
    let out = gateway.post("/auth/logout-all", Some(&two.access), &json!(null)).await;
    // The session that had already ended is revoked again, and not counted again.
    assert_eq!(out.json()["ended"], 2);
    for tokens in [&one, &two, &three] {
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.code(), "token_revoked");
        assert_eq!(gateway.refresh(&tokens.refresh).await.code(), "refresh_invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_loses_no_session() {
    let first = TestGateway::start().await;
    first.user("ada", &["admin"]).await;
    let (kept, ended) = (first.login("ada").await, first.login("ada").await);
    assert_eq!(first.post("/auth/logout", Some(&ended.access), &json!(null)).await.status, 200);
    let clock = first.clock.clone();
    let folder = first.stop().await;
    let second = TestGateway::with(Setup { folder: Some(folder), clock, ..Setup::default() }).await;
    assert_eq!(second.call("GET", "/admin", &kept.access).await.status, 200);
    assert_eq!(second.app.last().header("x-auth-user").as_deref(), Some("ada"));
    assert_eq!(second.call("GET", "/", &ended.access).await.code(), "token_revoked");
    assert_eq!(second.refresh(&ended.refresh).await.code(), "refresh_invalid");
    Tokens::of(&second.refresh(&kept.refresh).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_another_process_are_followed() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["user"]).await;
    let tokens = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    let printed = gateway.command(&["session", "revoke", "--user", "ada"]).await;
    assert_eq!(printed, "sessions ended: 1\n");
    assert_eventually("the revocation is followed", SOON, async || {
        gateway.call("GET", "/", &tokens.access).await.status == 401
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_in_one_process_share_nothing() {
    let (one, other) = (TestGateway::start().await, TestGateway::start().await);
    one.user("ada", &[]).await;
    let tokens = one.login("ada").await;
    assert_eq!(one.call("GET", "/", &tokens.access).await.status, 200);
    assert_eq!(other.call("GET", "/", &tokens.access).await.code(), "token_invalid");
    assert_eq!(other.refresh(&tokens.refresh).await.code(), "refresh_invalid");
    let refused = other.post("/auth/login", None, &json!({ "username": "ada", "password": PASSWORD })).await;
    assert_eq!(refused.code(), "credentials_wrong");
}
