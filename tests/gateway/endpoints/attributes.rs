//! E-mail address and name of the caller in `GET me`, and what a change of them does to tokens.

use serde_json::json;

use crate::browser::Browser;
use crate::refusals::assert_refused;
use crate::support::gateway::{SOON, Tokens};
use crate::support::{Faults, Op, Setup, TestGateway, assert_eventually};

#[tokio::test(flavor = "multi_thread")]
async fn me_returns_attributes_from_the_token() {
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    let ada = gateway.user("ada", &["admin"]).await;
    gateway.describe(ada, "Ada@Example.org", true, "Ada \"Countess\" Lovelace").await;
    let tokens = gateway.login("ada").await;
    let lookups = || (faults.calls(Op::FindUser), faults.calls(Op::FindSession));
    let before = lookups();
    for _ in 0..2 {
        let me = gateway.call("GET", "/auth/me", &tokens.access).await.json();
        assert_eq!(me["email"], "Ada@example.org");
        assert_eq!(me["email_verified"], true);
        assert_eq!(me["name"], "Ada \"Countess\" Lovelace");
        assert_eq!((&me["user"], &me["roles"]), (&json!("ada"), &json!(["admin"])));
    }
    assert_eq!(lookups(), before, "no lookup");
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_attributes_are_absent_members() {
    let gateway = TestGateway::start().await;
    let (_, bob) = (gateway.user("ada", &[]).await, gateway.user("bob", &[]).await);
    let members = async |name: &str| {
        let me = gateway.call("GET", "/auth/me", &gateway.login(name).await.access).await.json();
        me.as_object().expect("an object").keys().cloned().collect::<Vec<_>>()
    };
    let names = ["acr", "amr", "auth_time", "expires_at", "roles", "session_id", "user", "user_id"];
    assert_eq!(members("ada").await, names);
    gateway.describe(bob, "bob@example.org", false, "").await;
    let me = gateway.call("GET", "/auth/me", &gateway.login("bob").await.access).await.json();
    assert_eq!((&me["email"], &me["email_verified"]), (&json!("bob@example.org"), &json!(false)));
    assert!(me.get("name").is_none(), "{me}");
}

#[tokio::test(flavor = "multi_thread")]
async fn token_with_old_attributes_is_refused_until_refreshed() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    gateway.describe(ada, "ada@example.org", true, "Ada").await;
    let (mut browser, tokens) = (Browser::signed_in(&gateway, "ada").await, gateway.login("ada").await);
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    // The stored values again: no token is refused.
    gateway.describe(ada, "ada@example.org", true, "Ada").await;
    gateway.describe(ada, "ada@example.net", false, "Ada").await;
    let is_refused = async || gateway.call("GET", "/", &tokens.access).await.status == 401;
    assert_eventually("the old token is refused", SOON, is_refused).await;
    assert_refused(&gateway.call("GET", "/auth/me", &tokens.access).await, 401, "token_expired");
    let renewed = Tokens::of(&gateway.refresh(&tokens.refresh).await);
    let me = gateway.call("GET", "/auth/me", &renewed.access).await.json();
    assert_eq!((&me["email"], &me["email_verified"]), (&json!("ada@example.net"), &json!(false)));
    // A browser is renewed within the request.
    let me = browser.fetch("/auth/me").await.json();
    assert_eq!(me["email"], "ada@example.net");
    let version = gateway.vault.sessions.find(renewed.session.parse().expect("an id")).await;
    let version = version.expect("an answer").expect("the session").grant.rights;
    assert_eq!(version.0, 2, "one change for each new set of attributes");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_in_pages() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.insert(0, gateway.login("ada").await);
    }
    let access = &sessions[0].access;
    let page = async |query: &str| {
        let page = gateway.call("GET", &format!("/auth/sessions{query}"), access).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let rows = page["sessions"].as_array().expect("sessions").clone();
        let ids: Vec<String> =
            rows.iter().map(|row| row["session_id"].as_str().expect("text").to_owned()).collect();
        (ids, page.get("next").and_then(|next| next.as_str()).map(str::to_owned))
    };
    let ids: Vec<String> = sessions.iter().map(|tokens| tokens.session.clone()).collect();
    assert_eq!(page("").await, (ids.clone(), None));
    assert_eq!(page("?limit=5").await, (ids.clone(), None));
    let (first, next) = page("?limit=2").await;
    assert_eq!((&first[..], next.as_ref()), (&ids[..2], Some(&ids[1])));
    let (second, next) = page(&format!("?limit=2&after={}", ids[1])).await;
    assert_eq!((&second[..], next.as_ref()), (&ids[2..4], Some(&ids[3])));
    assert_eq!(page(&format!("?after={}&limit=2", ids[3])).await, (ids[4..].to_vec(), None));
    for bad in ["limit=0", "limit=1001", "limit=x", "limit=-1", "after=x", "limit=1&limit=2"] {
        let refused = gateway.call("GET", &format!("/auth/sessions?{bad}"), access).await;
        assert_refused(&refused, 400, "request_invalid");
    }
}
