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

/// The exact shape; RFC 6749 section 5.1: nobody may keep it.
fn assert_tokens(answer: &Response) -> Tokens {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.all("content-type"), ["application/json"]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.header("set-cookie"), None, "JSON login sets no cookie");
    let body = answer.json();
    let mut names: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["access_token", "expires_in", "refresh_token", "session_id", "token_type"]);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
    let tokens = Tokens::of(answer);
    assert_eq!((tokens.refresh.len(), tokens.session.len()), (51, 22));
    tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_and_renewing_answer_with_tokens_nobody_may_keep() {
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
async fn an_unknown_user_a_wrong_password_and_a_disabled_user_look_the_same() {
    // T55: status, every header and the body; only the request's id is another.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let eve = gateway.user("eve", &[]).await;
    gateway.vault.users.change(eve, &UserChange::Disabled(true)).await.expect("a change");
    let mut looks = Vec::new();
    for (name, password) in [
        ("ada", "not the right password"),
        ("nobody", PASSWORD),
        ("no name at all, \u{e9}", PASSWORD),
        ("eve", PASSWORD),
        ("eve", "not the right password"),
    ] {
        let answer = login(&gateway, name, password).await;
        assert_refused(&answer, 401, "credentials_wrong");
        let headers: Vec<_> =
            answer.headers.iter().filter(|(name, _)| name.to_lowercase() != "date").collect();
        let id = answer.header("x-request-id").expect("an id");
        looks.push((name, format!("{headers:?}").replace(id, ""), answer.text().replace(id, "")));
    }
    for (name, headers, body) in &looks[1..] {
        assert_eq!((headers, body), (&looks[0].1, &looks[0].2), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down_per_account_and_a_right_password_is_let_in_after_the_wait() {
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
    // A right password costs nothing: it can be given as often as one likes.
    for _ in 0..3 {
        assert_eq!(login(&gateway, "bob", PASSWORD).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_account_looks_the_same_whether_it_exists_or_not() {
    // T55: a limit that only real accounts have would tell them apart.
    let gateway =
        TestGateway::with(Setup { login: "attempts_per_account = 1".into(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    for name in ["ada", "nobody", "no name at all"] {
        assert_refused(&login(&gateway, name, "wrong").await, 401, "credentials_wrong");
        assert_refused(&login(&gateway, name, "wrong").await, 429, "rate_limited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_slowed_down_whatever_it_claims_to_be_unless_a_trusted_proxy_says_it() {
    // T04, T56: X-Forwarded-For of a stranger changes nothing.
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
            // Two at once, and one more for each second this took.
            let most = 2 + usize::try_from(began.elapsed().as_secs()).expect("short");
            assert!((2..=most).contains(&tried) && tried < 6, "{statuses:?} in {:?}", began.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_ends_its_own_session_once() {
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
async fn a_refresh_token_ends_its_session_without_a_bearer() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (mine, other) = (gateway.login("ada").await, gateway.login("ada").await);
    let out = gateway.post("/auth/logout", None, &json!({ "refresh_token": mine.refresh })).await;
    assert_eq!((out.status, out.json()), (200, json!({ "ended": 1, "propagation": "complete" })));
    assert_refused(&gateway.call("GET", "/", &mine.access).await, 401, "token_revoked");
    assert_refused(&gateway.refresh(&mine.refresh).await, 401, "refresh_invalid");
    // The token in the body says which session, not the bearer beside it.
    let third = gateway.login("ada").await;
    let out =
        gateway.post("/auth/logout", Some(&other.access), &json!({ "refresh_token": third.refresh })).await;
    assert_eq!(out.status, 200);
    assert_eq!(gateway.call("GET", "/", &other.access).await.status, 200);
    assert_refused(&gateway.call("GET", "/", &third.access).await, 401, "token_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_signed_out_by_what_is_not_a_refresh_token() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    for token in ["x", &"A".repeat(51), &tokens.access, &tokens.session, &tokens.refresh[..50]] {
        let out = gateway.post("/auth/logout", None, &json!({ "refresh_token": token })).await;
        assert_refused(&out, 401, "refresh_invalid");
    }
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
}
