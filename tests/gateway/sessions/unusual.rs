//! Unusual patterns of sessions: observed, or ending the session.

use doorward::vault::{AuditQuery, SessionPage, UserKey};
use serde_json::json;

use crate::browser::{Browser, later};
use crate::support::gateway::{SOON, Tokens};
use crate::support::{PASSWORD, Response, Setup, TestGateway, assert_eventually, http};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const HOME: &str = "203.0.113.7";
const ABROAD: &str = "198.51.100.9";

/// A gateway behind a proxy that states the clients' addresses, with these lines in `[unusual]`.
async fn gateway(unusual: &str) -> TestGateway {
    let setup = Setup {
        server: "trusted_proxies = [\"127.0.0.1\"]".into(),
        login: format!("attempts_per_address = 1000\n[unusual]\n{unusual}"),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    gateway.user("eve", &[]).await;
    gateway
}

async fn post(
    gateway: &TestGateway,
    path: &str,
    from: &str,
    agent: &str,
    body: &serde_json::Value,
) -> Response {
    let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", from), ("User-Agent", agent)];
    http::request(gateway.address(), "POST", path, &headers, body.to_string().as_bytes()).await
}

async fn sign_in(gateway: &TestGateway, from: &str, name: &str, password: &str) -> Response {
    post(gateway, "/auth/login", from, FIREFOX, &json!({ "username": name, "password": password })).await
}

async fn refresh(gateway: &TestGateway, from: &str, agent: &str, token: &str) -> Response {
    post(gateway, "/auth/refresh", from, agent, &json!({ "refresh_token": token })).await
}

/// Number of live sessions of ada.
async fn sessions(gateway: &TestGateway) -> usize {
    let key = UserKey::Login("ada".parse().expect("a login name"));
    let ada = gateway.vault.users.find(&key).await.expect("an answer").expect("ada");
    gateway.vault.sessions.list(Some(ada.id), SessionPage::first(9)).await.expect("a page").len()
}

async fn seen(gateway: &TestGateway, pattern: &str) -> f64 {
    gateway.metric(&format!("doorward_unusual_patterns_total{{pattern=\"{pattern}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_from_elsewhere_is_observed_once_and_goes_on() {
    let gateway = gateway("").await;
    let mut tokens = Tokens::of(&sign_in(&gateway, HOME, "ada", PASSWORD).await);
    for (from, agent) in [
        (HOME, FIREFOX),
        ("203.0.200.1", FIREFOX),
        (ABROAD, FIREFOX),
        (ABROAD, "curl/8.5.0"),
        (ABROAD, FIREFOX),
    ] {
        tokens = Tokens::of(&refresh(&gateway, from, agent, &tokens.refresh).await);
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    }
    assert_eq!(seen(&gateway, "other_network").await, 1.0);
    assert_eq!(seen(&gateway, "other_browser").await, 1.0);
    let recorded = async || {
        let rows = gateway.vault.trail.page(&AuditQuery::first(20)).await.expect("a page");
        let rows = rows.into_iter().filter(|row| row.event == "unusual_pattern" && row.session.is_some());
        let mut causes: Vec<_> = rows.map(|row| (row.cause, row.address)).collect();
        causes.sort();
        let of = |cause: &str| (Some(cause.to_owned()), Some(ABROAD.to_owned()));
        causes == [of("other_browser"), of("other_network")]
    };
    assert_eventually("both are in the audit trail", SOON, recorded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_from_another_network_or_browser_ends_the_session_where_configured() {
    let gateway = gateway("other_network = \"end-session\"\nother_browser = \"end-session\"").await;
    for (from, agent, pattern) in [(ABROAD, FIREFOX, "other_network"), (HOME, "curl/8.5.0", "other_browser")]
    {
        let first = Tokens::of(&sign_in(&gateway, HOME, "ada", PASSWORD).await);
        let other = Tokens::of(&sign_in(&gateway, HOME, "ada", PASSWORD).await);
        let tokens = Tokens::of(&refresh(&gateway, HOME, FIREFOX, &first.refresh).await);
        let refused = refresh(&gateway, from, agent, &tokens.refresh).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "refresh_invalid"), "{pattern}");
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 401, "{pattern}: at once");
        assert_eq!(refresh(&gateway, HOME, FIREFOX, &tokens.refresh).await.status, 401, "{pattern}");
        assert_eq!(gateway.call("GET", "/", &other.access).await.status, 200, "{pattern}: another session");
        assert_eq!(seen(&gateway, pattern).await, 1.0);
    }
    let ended = gateway.metric("doorward_sessions_ended_total{reason=\"unusual\"}").await;
    assert_eq!(ended, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn copied_cookies_end_the_session_at_the_next_renewal() {
    let gateway = gateway("other_browser = \"end-session\"").await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let mut thief = here.clone();
    // The access cookie expires; its owner goes on without a notice.
    later(&gateway, std::time::Duration::from_secs(1000)).await;
    assert_eq!(here.fetch("/").await.status, 200);
    let cookies: Vec<String> = thief.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers = [("Cookie", cookies.join("; ")), ("User-Agent", "curl/8.5.0".to_owned())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let refused = http::request(gateway.address(), "GET", "/", &headers, b"").await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_revoked"));
    assert_eq!(here.fetch("/").await.status, 401, "nobody knows which of them is the owner");
    assert_eq!(thief.fetch("/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshes_in_a_loop_are_observed_or_end_the_session() {
    for reaction in ["observe", "end-session"] {
        let gateway = gateway(&format!("frequent_refresh = \"{reaction}\"")).await;
        let mut tokens = Tokens::of(&sign_in(&gateway, HOME, "ada", PASSWORD).await);
        let mut refused = None;
        for number in 0..40 {
            let response = refresh(&gateway, HOME, FIREFOX, &tokens.refresh).await;
            if response.status != 200 {
                refused = Some((number, response.code()));
                break;
            }
            tokens = Tokens::of(&response);
        }
        assert_eq!(seen(&gateway, "frequent_refresh").await, 1.0, "{reaction}");
        match reaction {
            "observe" => assert_eq!(refused, None),
            _ => assert_eq!(refused, Some((30, "refresh_invalid".to_owned()))),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn right_password_from_an_address_that_failed_at_many_accounts_looks_wrong() {
    let gateway = gateway("many_accounts = \"end-session\"").await;
    let mut known = Browser::signed_in(&gateway, "ada").await;
    known.cookies.retain(|name, _| !name.ends_with("access") && !name.ends_with("refresh"));
    for number in 0..100 {
        // The browser comes without a proxy: its address is that of the test.
        let name = format!("user{number}");
        assert_eq!(sign_in(&gateway, "127.0.0.1", &name, "spring is here again").await.status, 401);
    }
    let wrong = sign_in(&gateway, "127.0.0.1", "ada", "not the password").await;
    let right = sign_in(&gateway, "127.0.0.1", "ada", PASSWORD).await;
    assert_eq!((right.status, right.code()), (wrong.status, wrong.code()));
    assert_eq!(sessions(&gateway).await, 1, "that of the browser");
    // Ten at once at one account from one address, the right password like a wrong one.
    let mut codes = Vec::new();
    for _ in 0..12 {
        codes.push(sign_in(&gateway, "127.0.0.1", "ada", PASSWORD).await.status);
    }
    assert_eq!(codes.iter().filter(|status| **status == 401).count(), 8, "{codes:?}");
    assert_eq!(codes.last(), Some(&429), "{codes:?}");
    assert_eq!(sessions(&gateway).await, 1, "that of the browser");
    assert_eq!(sign_in(&gateway, HOME, "eve", PASSWORD).await.status, 200, "nobody else");
    assert_eq!(sign_in(&gateway, HOME, "ada", PASSWORD).await.status, 200, "from elsewhere");
    assert_eq!(known.sign_in("ada", PASSWORD, "/auth/login", &[]).await.status, 303, "in a known browser");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_from_a_new_part_of_the_world_is_noticed() {
    let gateway = gateway("new_network = \"end-session\"").await;
    assert_eq!(sign_in(&gateway, HOME, "ada", PASSWORD).await.status, 200, "the first one is not unusual");
    assert_eq!(sign_in(&gateway, "203.0.200.1", "ada", PASSWORD).await.status, 200);
    assert_eq!(seen(&gateway, "new_network").await, 0.0);
    assert_eq!(sign_in(&gateway, ABROAD, "ada", PASSWORD).await.code(), "credentials_wrong");
    assert_eq!(seen(&gateway, "new_network").await, 1.0);
    assert_eq!(
        sign_in(&gateway, ABROAD, "ada", PASSWORD).await.code(),
        "credentials_wrong",
        "a session that was ended makes no place known"
    );
    let home = Tokens::of(&sign_in(&gateway, HOME, "ada", PASSWORD).await);
    // Places are known after the sessions have ended.
    assert_eq!(gateway.post("/auth/logout-all", Some(&home.access), &json!(null)).await.status, 200);
    assert_eq!(sign_in(&gateway, ABROAD, "ada", PASSWORD).await.code(), "credentials_wrong");
}
