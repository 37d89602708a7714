//! Metrics: each event changes exactly its own series, by the right amount.

use std::collections::BTreeMap;
use std::time::Duration;

use doorward::vault::{EndReason, Scope};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::gateway::{SOON, Tokens};
use crate::support::http;
use crate::support::{Client, PASSWORD, Setup, Socket, TestGateway, assert_eventually};

/// Every series and its value.
async fn scrape(gateway: &TestGateway) -> BTreeMap<String, f64> {
    let text = gateway.probe("/metrics").await.text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

/// Like [`scrape`], once every request is counted: a response may arrive before its request is recorded.
async fn settled(gateway: &TestGateway) -> BTreeMap<String, f64> {
    assert_eventually("all are counted", SOON, async || {
        gateway.metric("doorward_requests_in_flight").await == 0.0
    })
    .await;
    scrape(gateway).await
}

/// Changes caused by `work` in series whose name starts with one of `names`.
async fn moved(gateway: &TestGateway, names: &[&str], work: impl AsyncFnOnce()) -> Vec<String> {
    let before = settled(gateway).await;
    work().await;
    let after = settled(gateway).await;
    let of = |series: &&String| names.iter().any(|name| series.starts_with(name));
    after
        .keys()
        .filter(of)
        .filter_map(|series| {
            let by = after[series] - before.get(series).copied().unwrap_or(0.0);
            (by != 0.0).then(|| format!("{series} {by:+}"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_counted_by_route_even_when_refused() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let names = [
        "doorward_requests_total",
        "doorward_authentication_failures_total",
        "doorward_security_events_total",
    ];
    let work = async || {
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
        assert_eq!(gateway.get("/", &[]).await.status, 401);
        assert_eq!(gateway.call("GET", "/admin", &tokens.access).await.status, 403);
        assert_eq!(gateway.get("/public/..%2fadmin", &[]).await.status, 400);
        assert_eq!(gateway.call("GET", "/auth/me", &tokens.access).await.status, 200);
        let spoofed = gateway.get("/public", &[("X_Auth_User", "root")]).await;
        assert_eq!(spoofed.status, 200);
        let cookies = "__Host-doorward-access=a; __Host-doorward-access=b";
        assert_eq!(gateway.get("/", &[("Cookie", cookies)]).await.status, 401);
    };
    assert_eq!(
        moved(&gateway, &names, work).await,
        [
            r#"doorward_authentication_failures_total{reason="role_missing"} +1"#,
            r#"doorward_authentication_failures_total{reason="token_missing"} +2"#,
            r#"doorward_requests_total{class="2xx",outcome="answered",route="own"} +1"#,
            r#"doorward_requests_total{class="2xx",outcome="forwarded",route="app"} +1"#,
            r#"doorward_requests_total{class="2xx",outcome="forwarded",route="public"} +1"#,
            r#"doorward_requests_total{class="4xx",outcome="role_missing",route="admin"} +1"#,
            r#"doorward_requests_total{class="4xx",outcome="target_ambiguous",route="-"} +1"#,
            r#"doorward_requests_total{class="4xx",outcome="token_missing",route="app"} +2"#,
            r#"doorward_security_events_total{pattern="ambiguous_target"} +1"#,
            r#"doorward_security_events_total{pattern="identity_header_sent"} +1"#,
            r#"doorward_security_events_total{pattern="planted_cookie"} +1"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn decision_upstream_and_response_times_are_measured() {
    let gateway = TestGateway::start().await;
    let names = [
        "doorward_request_seconds_count",
        "doorward_decision_seconds_count",
        "doorward_upstream_seconds_count",
    ];
    let work = async || {
        assert_eq!(gateway.get("/public", &[]).await.status, 200);
        assert_eq!(gateway.get("/", &[]).await.status, 401);
        assert_eq!(gateway.get("/.well-known/jwks.json", &[]).await.status, 200);
    };
    assert_eq!(
        moved(&gateway, &names, work).await,
        [
            "doorward_decision_seconds_count +2",
            r#"doorward_request_seconds_count{route="app"} +1"#,
            r#"doorward_request_seconds_count{route="own"} +1"#,
            r#"doorward_request_seconds_count{route="public"} +1"#,
            r#"doorward_upstream_seconds_count{upstream="app"} +1"#,
        ]
    );
    let slow = scrape(&gateway).await[r#"doorward_decision_seconds_sum"#];
    assert!(slow > 0.0 && slow < 1.0, "{slow}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_refreshes_are_counted_by_outcome() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let names = [
        "doorward_logins_total",
        "doorward_refreshes_total",
        "doorward_refresh_reuses_total",
        "doorward_refresh_age_seconds_count",
        "doorward_access_tokens_issued_total",
        "doorward_sessions_ended_total",
        "doorward_hash_seconds_count",
        "doorward_security_events_total",
    ];
    let work = async || {
        let wrong = json!({ "username": "ada", "password": "not the password at all" });
        assert_eq!(gateway.post("/auth/login", None, &wrong).await.status, 401);
        // Two generations behind, and no slow request any more: token theft.
        let first = gateway.login("ada").await;
        let second = Tokens::of(&gateway.refresh(&first.refresh).await);
        Tokens::of(&gateway.refresh(&first.refresh).await);
        Tokens::of(&gateway.refresh(&second.refresh).await);
        gateway.clock.advance(Duration::from_mins(2));
        let ready = async || gateway.probe("/readyz").await.status == 200;
        assert_eventually("the lease is held again", SOON, ready).await;
        assert_eq!(gateway.refresh(&first.refresh).await.code(), "refresh_reused");
        let mut forged = first.refresh.clone();
        forged.replace_range(40..44, "AAAA");
        assert_eq!(gateway.refresh(&forged).await.code(), "refresh_invalid");
    };
    assert_eq!(
        moved(&gateway, &names, work).await,
        [
            r#"doorward_access_tokens_issued_total{grant="login"} +1"#,
            r#"doorward_access_tokens_issued_total{grant="refresh"} +3"#,
            "doorward_hash_seconds_count +2",
            r#"doorward_logins_total{outcome="credentials_wrong"} +1"#,
            r#"doorward_logins_total{outcome="ok"} +1"#,
            "doorward_refresh_age_seconds_count +2",
            r#"doorward_refresh_reuses_total{cause="older"} +1"#,
            r#"doorward_refreshes_total{outcome="refresh_invalid"} +1"#,
            r#"doorward_refreshes_total{outcome="refresh_reused"} +1"#,
            r#"doorward_refreshes_total{outcome="repeated"} +1"#,
            r#"doorward_refreshes_total{outcome="rotated"} +2"#,
            r#"doorward_security_events_total{pattern="forged_token"} +1"#,
            r#"doorward_security_events_total{pattern="refresh_reuse"} +1"#,
            r#"doorward_sessions_ended_total{reason="reuse"} +1"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reuse_after_grace_and_older_reuse_have_different_causes() {
    let setup = Setup { tokens: "refresh_grace = \"0s\"".to_owned(), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let work = async || {
        let first = gateway.login("ada").await;
        Tokens::of(&gateway.refresh(&first.refresh).await);
        assert_eq!(gateway.refresh(&first.refresh).await.code(), "refresh_reused");
    };
    assert_eq!(
        moved(&gateway, &["doorward_refresh_reuses_total"], work).await,
        [r#"doorward_refresh_reuses_total{cause="after_grace"} +1"#]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn password_guessing_is_counted_by_account_and_by_address() {
    let login = "attempts_per_account = 2\nattempts_per_address = 5".to_owned();
    let gateway = TestGateway::with(Setup { login, ..Setup::default() }).await;
    // All of them at once: one more attempt is free after six seconds.
    let address = gateway.address();
    let guess = async |names: Vec<String>| {
        let mut guesses = JoinSet::new();
        for name in names {
            guesses.spawn(async move {
                let body = json!({ "username": name, "password": PASSWORD }).to_string();
                let json = [("Content-Type", "application/json")];
                http::request(address, "POST", "/auth/login", &json, body.as_bytes()).await;
            });
        }
        guesses.join_all().await;
    };
    let work = async || {
        guess(vec!["ada".to_owned(); 8]).await;
        guess((0..24).map(|n| format!("user{n}")).collect()).await;
    };
    let events = moved(&gateway, &["doorward_security_events_total"], work).await;
    let patterns: Vec<&str> = events.iter().filter_map(|event| event.split(' ').next()).collect();
    assert_eq!(
        patterns,
        [
            r#"doorward_security_events_total{pattern="password_guessing_account"}"#,
            r#"doorward_security_events_total{pattern="password_guessing_address"}"#,
        ],
        "{events:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn store_calls_are_counted_by_operation_and_result() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let names = [
        "doorward_session_store_operations_total",
        "doorward_session_store_seconds_count",
        "doorward_session_confirmations_total",
        "doorward_vault_statement_seconds_count{statement=\"find",
        "doorward_vault_statement_seconds_count{statement=\"open",
        "doorward_local_cache_hits_total",
        "doorward_local_cache_misses_total",
        "doorward_token_verifications_total",
        "doorward_local_cache_entries",
    ];
    let work = async || {
        let tokens = gateway.login("ada").await;
        for _ in 0..3 {
            assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
        }
        // This endpoint always queries.
        assert_eq!(gateway.call("GET", "/auth/me", &tokens.access).await.status, 200);
        assert_eq!(gateway.call("GET", "/", "garbage").await.status, 401);
    };
    assert_eq!(
        moved(&gateway, &names, work).await,
        [
            "doorward_local_cache_entries +1",
            "doorward_local_cache_hits_total +4",
            "doorward_local_cache_misses_total +1",
            r#"doorward_session_confirmations_total{source="local"} +3"#,
            r#"doorward_session_confirmations_total{source="session_store"} +1"#,
            r#"doorward_session_store_operations_total{operation="check",result="live"} +1"#,
            r#"doorward_session_store_operations_total{operation="extend",result="ok"} +1"#,
            r#"doorward_session_store_operations_total{operation="fill",result="ok"} +1"#,
            r#"doorward_session_store_seconds_count{operation="check"} +1"#,
            r#"doorward_session_store_seconds_count{operation="extend"} +1"#,
            r#"doorward_session_store_seconds_count{operation="fill"} +1"#,
            r#"doorward_token_verifications_total{result="refused"} +1"#,
            r#"doorward_vault_statement_seconds_count{statement="find_factors"} +1"#,
            r#"doorward_vault_statement_seconds_count{statement="find_user"} +1"#,
            r#"doorward_vault_statement_seconds_count{statement="open_session"} +1"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_is_timed_at_origin_and_at_followers() {
    let gateway = TestGateway::start().await;
    let user = gateway.user("ada", &[]).await;
    let here = gateway.login("ada").await;
    let names = ["doorward_revocation_delay_seconds_count", "doorward_revocation_set_sessions"];
    let work = async || {
        assert_eq!(gateway.post("/auth/logout", Some(&here.access), &json!(null)).await.status, 200);
        gateway.login("ada").await;
        // Another process on the vault.
        gateway.vault.sessions.revoke(Scope::User(user), EndReason::Admin).await.expect("revoked");
        assert_eventually("it is heard of", SOON, async || {
            gateway.metric("doorward_revocation_set_sessions").await == 2.0
        })
        .await;
    };
    assert_eq!(
        moved(&gateway, &names, work).await,
        ["doorward_revocation_delay_seconds_count +2", "doorward_revocation_set_sessions +2",]
    );
    let delay = scrape(&gateway).await["doorward_revocation_delay_seconds_sum"];
    assert!(delay < 2.0, "{delay} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_are_gauged_by_kind() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let live = async |kind: &str| gateway.metric(&format!("doorward_live_streams{{kind=\"{kind}\"}}")).await;
    let mut socket = Socket::open(gateway.address(), "/ws", &tokens.access).await;
    socket.echo("hello").await;
    let mut events = Client::asking(gateway.address(), "/events", &tokens.access).await;
    events.head().await.expect("an answer");
    assert_eq!(
        (live("websocket").await, live("event_stream").await, live("response").await),
        (1.0, 1.0, 0.0)
    );
    assert_eq!(gateway.post("/auth/logout", Some(&tokens.access), &json!(null)).await.status, 200);
    assert_eventually("both are closed", SOON, async || {
        live("websocket").await == 0.0 && live("event_stream").await == 0.0
    })
    .await;
    let streamed = scrape(&gateway).await.contains_key(r#"doorward_request_seconds_count{route="app"}"#);
    assert!(!streamed, "a stream's length is nobody's waiting time");
}
