//! The audit trail: each kind of act leaves a row with who, from where, with which outcome and why.

use doorward::vault::{AuditEvent, AuditQuery, UserChange};
use serde_json::json;

use crate::support::gateway::{SOON, Tokens};
use crate::support::{PASSWORD, Setup, TestGateway, assert_eventually};

async fn events(gateway: &TestGateway) -> Vec<AuditEvent> {
    gateway.vault.trail.page(&AuditQuery::first(1000)).await.expect("events")
}

/// Waits for an event with this cause, and returns it.
async fn with_cause(gateway: &TestGateway, cause: &str) -> AuditEvent {
    let find = async || events(gateway).await.into_iter().find(|event| event.cause.as_deref() == Some(cause));
    assert_eventually(cause, SOON, async || find().await.is_some()).await;
    find().await.expect("it")
}

async fn try_login(gateway: &TestGateway, name: &str, password: &str) -> u16 {
    gateway.post("/auth/login", None, &json!({ "username": name, "password": password })).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_sign_in_leaves_a_row_with_its_reason() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let eve = gateway.user("eve", &[]).await;
    gateway.vault.users.change(eve, &UserChange::Disabled(true)).await.expect("disabled");
    for _ in 0..2 {
        assert_eq!(try_login(&gateway, "ada", "not the password").await, 401);
    }
    assert_eq!(try_login(&gateway, "eve", PASSWORD).await, 401);
    assert_eq!(try_login(&gateway, "nobody", PASSWORD).await, 401);
    // A password in the wrong field.
    let typed = "my secret passphrase typed in the wrong field";
    assert_eq!(try_login(&gateway, typed, "ada").await, 401);

    let wrong = with_cause(&gateway, "password_wrong").await;
    assert_eq!((wrong.event.as_str(), wrong.outcome.as_str()), ("authentication_failed", "failure"));
    assert_eq!((wrong.user, wrong.name.as_deref(), wrong.session), (Some(ada), None, None));
    assert_eq!((wrong.actor.as_deref(), wrong.address.as_deref()), (Some("client"), Some("127.0.0.1")));
    assert!(wrong.request_id.as_ref().is_some_and(|id| id.len() == 32), "{wrong:?}");
    assert_eq!(with_cause(&gateway, "user_disabled").await.user, Some(eve));
    assert_eventually("both of them", SOON, async || {
        let unknown = events(&gateway).await;
        let unknown = unknown.iter().filter(|event| event.cause.as_deref() == Some("user_unknown"));
        let names: Vec<_> =
            unknown.map(|event| (event.user, event.name.clone().unwrap_or_default())).collect();
        names.len() == 2 && names.iter().all(|(user, name)| user.is_none() && name.len() == 6)
    })
    .await;
    let wrong =
        events(&gateway).await.into_iter().filter(|event| event.cause.as_deref() == Some("password_wrong"));
    assert_eq!(wrong.map(|event| event.times).sum::<u64>(), 2);
    let exported = gateway.command(&["vault", "audit", "--json", "--all"]).await;
    assert!(!exported.contains("secret") && !exported.contains("nobody"), "{exported}");
    assert!(gateway.metric(r#"doorward_audit_events_total{result="recorded"}"#).await >= 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn act_of_a_user_leaves_a_row_with_its_request() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let new = "another password of some length";
    let change = json!({ "current_password": PASSWORD, "new_password": new });
    let changed = gateway.post("/auth/password", Some(&tokens.access), &change).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(gateway.post("/auth/logout", Some(&tokens.access), &json!(null)).await.status, 200);
    let seen = events(&gateway).await;
    for (event, cause) in [("login", Some("pwd")), ("password_changed", None), ("logout", Some("logout"))] {
        let row =
            seen.iter().find(|row| row.event == event).unwrap_or_else(|| panic!("no {event}: {seen:?}"));
        assert_eq!(
            (row.user, row.cause.as_deref(), row.outcome.as_str()),
            (Some(ada), cause, "success"),
            "{row:?}"
        );
        assert_eq!(
            (row.actor.as_deref(), row.address.as_deref()),
            (Some("user"), Some("127.0.0.1")),
            "{row:?}"
        );
        assert!(row.request_id.as_ref().is_some_and(|id| id.len() == 32), "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reuse_of_a_refresh_token_leaves_a_row_of_an_unproven_client() {
    let gateway =
        TestGateway::with(Setup { tokens: "refresh_grace = \"0s\"".into(), ..Setup::default() }).await;
    let ada = gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    Tokens::of(&gateway.refresh(&tokens.refresh).await);
    assert_eq!(gateway.refresh(&tokens.refresh).await.code(), "refresh_reused");
    let row = with_cause(&gateway, "previous_generation").await;
    assert_eq!(
        (row.event.as_str(), row.user, row.actor.as_deref()),
        ("refresh_reused", Some(ada), Some("client"))
    );
    assert_eq!(row.address.as_deref(), Some("127.0.0.1"));
    assert_eq!(row.session.map(|id| id.to_string()), Some(tokens.session));
}

#[tokio::test(flavor = "multi_thread")]
async fn start_and_changed_configuration_leave_rows_without_values() {
    let mut gateway = TestGateway::start().await;
    gateway.follow();
    let started = async || events(&gateway).await.into_iter().find(|row| row.event == "gateway_started");
    assert_eventually("the start", SOON, async || started().await.is_some()).await;
    let row = started().await.expect("it");
    assert!(row.cause.as_ref().is_some_and(|cause| cause.starts_with("configuration ")), "{row:?}");
    assert_eq!(row.actor.as_deref(), Some("gateway"));
    gateway.reconfigure(|text| format!("{text}\n[brand]\nname = \"Hidden\"\n")).await;
    let changed =
        async || events(&gateway).await.into_iter().find(|row| row.event == "configuration_changed");
    assert_eventually("the change", SOON, async || changed().await.is_some()).await;
    let cause = changed().await.and_then(|row| row.cause).expect("a cause");
    assert!(cause.ends_with(": brand.name"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_link_one_chain_and_a_cut_tail_is_found() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let other = gateway.elsewhere().await;
    for _ in 0..3 {
        gateway.login("ada").await;
        other.login("ada").await;
    }
    drop(other);
    gateway.login("ada").await;
    let all_linked = async || {
        let chain = gateway.vault.trail.chain().await.expect("a chain");
        chain.not_linked == 0 && chain.head.point.position >= 8
    };
    assert_eventually("all rows are linked", SOON, all_linked).await;
    let printed = gateway.command(&["vault", "audit", "--verify"]).await;
    assert!(printed.starts_with("the audit trail is whole: "), "{printed}");
    let head = gateway.command(&["vault", "audit", "--head"]).await;
    assert!(printed.ends_with(&format!("head {head}")), "{printed} {head}");
    assert_eq!(gateway.metric("doorward_audit_broken").await, 0.0);
    let kept = gateway.command(&["vault", "audit", "--verify", "--since", head.trim()]).await;
    assert!(kept.starts_with("the audit trail is whole: "), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn command_leaves_a_row_of_its_operator() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    for words in [
        &["user", "roles", "ada", "ops"][..],
        &["session", "revoke", &tokens.session],
        &["key", "rotate"],
        &["user", "disable", "ada"],
        &["user", "enable", "ada"],
        &["user", "delete", "ada", "--yes"],
    ] {
        gateway.command(words).await;
    }
    let seen = events(&gateway).await;
    let of_operator =
        |row: &&AuditEvent| row.actor.as_ref().is_some_and(|actor| actor.starts_with("operator:"));
    let acts: Vec<&str> = seen.iter().filter(of_operator).map(|row| row.event.as_str()).rev().collect();
    assert_eq!(
        acts,
        [
            "roles_changed",
            "session_revoked_by_admin",
            "key_added",
            "key_added",
            "user_disabled",
            "user_enabled",
            "user_deleted"
        ]
    );
    let of_ada = gateway.command(&["vault", "audit", "--all", "--user", &ada.to_string()]).await;
    assert_eq!(of_ada.lines().count(), 7, "{of_ada}");
}
