//! Login, refresh, logout.

use std::time::Duration;

use doorward::vault::UserChange;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::refusals::assert_refused;
use crate::support::gateway::Tokens;
use crate::support::{PASSWORD, Response, Setup, TestGateway, http};

async fn login(gateway: &TestGateway, name: &str, password: &str) -> Response {
    gateway.post("/auth/login", None, &json!({ "username": name, "password": password })).await
}

/// The exact shape; RFC 6749 section 5.1: the response must not be cached.
fn assert_tokens(response: &Response) -> Tokens {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.all("content-type"), ["application/json"]);
    assert_eq!(response.all("cache-control"), ["no-store"]);
    assert_eq!(response.header("set-cookie"), None, "JSON login sets no cookie");
    let body = response.json();
    let mut names: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["access_token", "expires_in", "refresh_token", "session_id", "token_type"]);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
    let tokens = Tokens::of(response);
    assert_eq!((tokens.refresh.len(), tokens.session.len()), (51, 22));
    tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn login_and_refresh_responses_are_not_cacheable() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["user"]).await;
    let first = assert_tokens(&login(&gateway, "ada", PASSWORD).await);
    let second = assert_tokens(&gateway.refresh(&first.refresh).await);
    assert_eq!(first.session, second.session);
    assert_ne!(first.refresh, second.refresh);
    let other = assert_tokens(&login(&gateway, "ada", PASSWORD).await);
    assert_ne!(first.session, other.session, "each login is a session of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_failures_look_the_same_for_any_cause() {
    // T55: status, all headers and the body are equal; only the request id differs.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let eve = gateway.user("eve", &[]).await;
    gateway.vault.users.change(eve, &UserChange::Disabled(true)).await.expect("a change");
    let mut compared = Vec::new();
    for (name, password) in [
        ("ada", "not the right password"),
        ("nobody", PASSWORD),
        ("no name at all, \u{e9}", PASSWORD),
        ("eve", PASSWORD),
        ("eve", "not the right password"),
    ] {
        let response = login(&gateway, name, password).await;
        assert_refused(&response, 401, "credentials_wrong");
        let headers: Vec<_> =
            response.headers.iter().filter(|(name, _)| name.to_lowercase() != "date").collect();
        let id = response.header("x-request-id").expect("an id");
        compared.push((name, format!("{headers:?}").replace(id, ""), response.text().replace(id, "")));
    }
    for (name, headers, body) in &compared[1..] {
        assert_eq!((headers, body), (&compared[0].1, &compared[0].2), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn account_throttle_delays_guesses_then_accepts_right_password() {
    // T56.
    let gateway =
        TestGateway::with(Setup { login: "attempts_per_account = 2".into(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    gateway.user("bob", &[]).await;
    for name in ["ada", "ADA"] {
        assert_refused(&login(&gateway, name, "wrong").await, 401, "credentials_wrong");
    }
    let limited = login(&gateway, "ada", PASSWORD).await;
    assert_refused(&limited, 429, "rate_limited");
    let wait: u64 = limited.header("retry-after").expect("how long").parse().expect("seconds");
    assert!((1..=6).contains(&wait), "{wait}");
    assert_eq!(login(&gateway, "bob", PASSWORD).await.status, 200, "another account is not concerned");
    gateway.clock.advance(Duration::from_secs(wait));
    assert_tokens(&login(&gateway, "ada", PASSWORD).await);
    // A correct password costs no attempt and can be used any number of times.
    for _ in 0..3 {
        assert_eq!(login(&gateway, "bob", PASSWORD).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_does_not_reveal_account_existence() {
    // T55: a limit only for existing accounts would reveal them.
    let gateway =
        TestGateway::with(Setup { login: "attempts_per_account = 1".into(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    for name in ["ada", "nobody", "no name at all"] {
        assert_refused(&login(&gateway, name, "wrong").await, 401, "credentials_wrong");
        assert_refused(&login(&gateway, name, "wrong").await, 429, "rate_limited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn address_throttle_ignores_forwarded_headers_from_untrusted_clients() {
    // T04, T56: X-Forwarded-For of an untrusted client changes nothing.
    for trusted in [false, true] {
        let gateway = TestGateway::with(Setup {
            server: if trusted { r#"trusted_proxies = ["127.0.0.1/32"]"#.into() } else { String::new() },
            login: "attempts_per_address = 2".into(),
            ..Setup::default()
        })
        .await;
        let began = Instant::now();
        let mut attempts = JoinSet::new();
        for at in 1..=6 {
            let address = gateway.address();
            attempts.spawn(async move {
                let from = format!("198.51.100.{at}");
                let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", from.as_str())];
                let body = json!({ "username": format!("user{at}"), "password": "wrong" }).to_string();
                http::request(address, "POST", "/auth/login", &headers, body.as_bytes()).await.status
            });
        }
        let statuses = attempts.join_all().await;
        let tried = statuses.iter().filter(|status| **status == 401).count();
        assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
        if trusted {
            assert_eq!(tried, 6, "each from an address of its own");
        } else {
            // Two attempts at once, and one more for each six seconds.
            let most = 2 + usize::try_from(began.elapsed().as_secs() / 6).expect("short");
            assert!((2..=most).contains(&tried) && tried < 6, "{statuses:?} in {:?}", began.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bearer_logs_out_its_own_session_once() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (mine, other) = (gateway.login("ada").await, gateway.login("ada").await);
    let out = gateway.post("/auth/logout", Some(&mine.access), &json!({})).await;
    assert_eq!((out.status, out.json()), (200, json!({ "ended": 1, "propagation": "complete" })));
    assert_eq!(out.all("cache-control"), ["no-store"]);
    assert_refused(
        &gateway.post("/auth/logout", Some(&mine.access), &json!(null)).await,
        401,
        "token_revoked",
    );
    assert_refused(&gateway.refresh(&mine.refresh).await, 401, "refresh_invalid");
    assert_eq!(gateway.call("GET", "/", &other.access).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_alone_logs_out_its_session() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (mine, other) = (gateway.login("ada").await, gateway.login("ada").await);
    let out = gateway.post("/auth/logout", None, &json!({ "refresh_token": mine.refresh })).await;
    assert_eq!((out.status, out.json()), (200, json!({ "ended": 1, "propagation": "complete" })));
    assert_refused(&gateway.call("GET", "/", &mine.access).await, 401, "token_revoked");
    assert_refused(&gateway.refresh(&mine.refresh).await, 401, "refresh_invalid");
    // The session is chosen by the token in the body, not by the bearer beside it.
    let third = gateway.login("ada").await;
    let out =
        gateway.post("/auth/logout", Some(&other.access), &json!({ "refresh_token": third.refresh })).await;
    assert_eq!(out.status, 200);
    assert_eq!(gateway.call("GET", "/", &other.access).await.status, 200);
    assert_refused(&gateway.call("GET", "/", &third.access).await, 401, "token_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_rejects_values_other_than_refresh_tokens() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    for token in ["x", &"A".repeat(51), &tokens.access, &tokens.session, &tokens.refresh[..50]] {
        let out = gateway.post("/auth/logout", None, &json!({ "refresh_token": token })).await;
        assert_refused(&out, 401, "refresh_invalid");
    }
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
}
