use std::time::Duration;

use doorward::vault::SessionPage;

use super::Browser;
use super::jar::{ORIGIN, PAGE, hidden, later, with};
use crate::support::{Client, PASSWORD, Response, TestGateway, http};

/// Headers of a form submission, and whether they indicate a gateway page.
const SENT_FROM: [(&[(&str, &str)], bool); 10] = [
    (&[("Origin", ORIGIN), ("Sec-Fetch-Site", "same-origin")], true),
    (&[("Origin", ORIGIN)], true),
    (&[("Sec-Fetch-Site", "same-origin")], true),
    (&[], false),
    (&[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")], false),
    (&[("Origin", "http://sibling.gateway.test"), ("Sec-Fetch-Site", "same-site")], false),
    (&[("Origin", "null")], false),
    (&[("Origin", ORIGIN), ("Sec-Fetch-Site", "cross-site")], false),
    (&[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "same-origin")], false),
    (&[("Sec-Fetch-Site", "none")], false),
];

#[tokio::test(flavor = "multi_thread")]
async fn cross_origin_page_cannot_open_websocket_with_cookies() {
    // T53
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let browser = Browser::signed_in(&gateway, "ada").await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let cookie = browser.cookie();
    let refresh_alone = format!("__Host-doorward-refresh={}", browser.refresh());
    for (credential, origin, status) in [
        (("Cookie", cookie.as_str()), Some("https://evil.example"), 403),
        (("Cookie", cookie.as_str()), Some("null"), 403),
        (("Cookie", cookie.as_str()), Some("http://gateway.test:8080"), 403),
        (("Cookie", refresh_alone.as_str()), Some("https://evil.example"), 403),
        (("Cookie", cookie.as_str()), Some(ORIGIN), 101),
        (("Cookie", cookie.as_str()), None, 101),
        (("Authorization", bearer.as_str()), Some("https://evil.example"), 101),
    ] {
        let mut headers = vec![
            credential,
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        for path in ["/ws", "/optional/ws"] {
            let mut client = Client::connect(gateway.address()).await;
            client.send(&http::message("GET", path, &headers, b"")).await;
            let response = client.head().await.expect("an answer");
            // The app accepts WebSockets only at `/ws`.
            let expected = if status == 101 && path != "/ws" { 200 } else { status };
            assert_eq!(response.status, expected, "{path} {credential:?} {origin:?}");
        }
    }
}

/// Every form of a signed-in user.
const FORMS: [&str; 7] = [
    "/auth/refresh",
    "/auth/sessions/end",
    "/auth/sessions/end-others",
    "/auth/sessions/end-programs",
    "/auth/password",
    "/auth/logout-all",
    "/auth/logout",
];

async fn post(
    browser: &mut Browser,
    path: &str,
    fields: &[(String, String)],
    from: &[(&str, &str)],
) -> Response {
    let headers: Vec<_> = PAGE.into_iter().chain(from.iter().copied()).collect();
    browser.post_with(path, fields, &headers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_form_needs_the_token_of_this_browser() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    for (from, good) in SENT_FROM {
        let mut browser = Browser::new(&gateway);
        let fields = hidden(&browser.go("/auth/login").await);
        let fields = with(&with(&fields, "username", "ada"), "password", PASSWORD);
        let response = post(&mut browser, "/auth/login", &fields, from).await;
        assert_eq!(response.status, if good { 303 } else { 403 }, "{from:?}");
        assert_eq!(browser.cookies.contains_key("__Host-doorward-access"), good, "{from:?}");
    }
    let ours = SENT_FROM[0].0;
    let mut browser = Browser::new(&gateway);
    let fields = hidden(&browser.go("/auth/login").await);
    let fields = with(&with(&fields, "username", "ada"), "password", PASSWORD);
    // A token of another browser, no token, and a token of another form.
    let mut attacker = Browser::new(&gateway);
    let foreign = hidden(&attacker.go("/auth/login").await);
    let foreign = foreign.into_iter().find(|(name, _)| name == "csrf").expect("a token").1;
    for token in ["", "x", &foreign, &foreign[1..]] {
        let response = post(&mut browser, "/auth/login", &with(&fields, "csrf", token), ours).await;
        assert_eq!(response.status, 403, "{token}");
        assert!(!response.text().contains(PASSWORD));
    }
    // A browser without cookies gets a message before it has a session, so there is no redirect loop.
    let mut without = Browser::new(&gateway);
    let refused = post(&mut without, "/auth/login", &fields, ours).await;
    assert!(
        refused.status == 403 && refused.text().contains("did not send our cookie back"),
        "{}",
        refused.text()
    );
    assert!(!without.cookies.contains_key("__Host-doorward-access"));
    later(&gateway, Duration::from_secs(12 * 3600 + 1)).await;
    assert_eq!(post(&mut browser, "/auth/login", &fields, ours).await.status, 403, "open for too long");
    assert_eq!(gateway.metric(r#"doorward_logins_total{outcome="ok"}"#).await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_forms_need_the_token_of_that_session() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    gateway.user("eve", &[]).await;
    let mut ada = Browser::signed_in(&gateway, "ada").await;
    let mut other = Browser::signed_in(&gateway, "ada").await;
    let mut eve = Browser::signed_in(&gateway, "eve").await;
    let token_of =
        |page: &Response| hidden(page).into_iter().find(|(name, _)| name == "csrf").expect("a token").1;
    let own = token_of(&ada.go("/auth/password").await);
    let foreign = [token_of(&other.go("/auth/password").await), token_of(&eve.go("/auth/password").await)];
    let rows = gateway.vault.sessions.list(None, SessionPage::first(1000)).await.expect("rows");
    let victim = rows.iter().find(|row| row.grant.login.as_str() == "ada").expect("one").grant.session_id;
    let fields = |token: &str| {
        let all = [
            ("csrf", token),
            ("session_id", &victim.to_string()),
            ("current_password", PASSWORD),
            ("new_password", "another long password of hers"),
        ];
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    };
    for path in FORMS {
        for (from, good) in SENT_FROM {
            if !good {
                let response = post(&mut ada, path, &fields(&own), from).await;
                assert_eq!(response.status, 403, "{path} {from:?}");
                assert!(response.all("set-cookie").is_empty());
            }
        }
        for token in ["", "x", &foreign[0], &foreign[1]] {
            let response = post(&mut ada, path, &fields(token), SENT_FROM[0].0).await;
            assert_eq!(response.status, 403, "{path} {token}");
            assert!(response.all("set-cookie").is_empty());
        }
        // GET changes nothing, whatever the query contains.
        ada.go(&format!("{path}?{}", super::jar::encode(&fields(&own)))).await;
    }
    assert_eq!(
        gateway.vault.sessions.list(None, SessionPage::first(1000)).await.expect("rows").len(),
        3,
        "nothing has ended"
    );
    for browser in [&mut ada, &mut other, &mut eve] {
        assert_eq!(browser.fetch("/").await.status, 200);
    }
    gateway.login("ada").await;
    // With a valid token each form works.
    for path in FORMS {
        let token = token_of(&ada.go("/auth/password").await);
        let response = post(&mut ada, path, &fields(&token), SENT_FROM[0].0).await;
        assert!(matches!(response.status, 200 | 303), "{path} {}", response.text());
        if path.starts_with("/auth/logout") {
            ada = Browser::new(&gateway);
            let again = ada.sign_in("ada", "another long password of hers", "/auth/login", &[]).await;
            assert_eq!(again.status, 303);
        }
    }
    let token = token_of(&ada.go("/auth/password").await);
    later(&gateway, Duration::from_secs(12 * 3600 - 60)).await;
    let mut kept = ada.clone();
    assert_eq!(kept.fetch("/").await.status, 200);
    later(&gateway, Duration::from_secs(61)).await;
    let response = post(&mut kept, "/auth/logout", &fields(&token), SENT_FROM[0].0).await;
    assert_eq!(response.status, 403, "open for too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn csrf_token_is_readable_by_the_app_origin_only() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let me = browser.fetch("/auth/me").await;
    assert_eq!(me.header("access-control-allow-credentials"), None);
    let fields = [("csrf".to_owned(), me.member("csrf"))];
    let script = [
        ("Accept", "*/*"),
        ("Sec-Fetch-Mode", "cors"),
        ("Sec-Fetch-Dest", "empty"),
        ("Origin", ORIGIN),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    let without = browser.post_with("/auth/refresh", &[], &script).await;
    assert_eq!((without.status, without.code().as_str()), (403, "form_invalid"));
    let (access, refresh) = (browser.access().to_owned(), browser.refresh().to_owned());
    let refreshed = browser.post_with("/auth/refresh", &fields, &script).await;
    assert_eq!((refreshed.status, refreshed.json()), (200, serde_json::json!({ "refreshed": true })));
    assert_ne!(browser.access(), access);
    assert_ne!(browser.refresh(), refresh);
    // The token belongs to the session: it survives a rotation and also signs out.
    assert_eq!(browser.post_with("/auth/logout", &fields, &script).await.status, 200);
    assert_eq!(browser.fetch("/").await.code(), "token_missing");
    // Without cookies there are no form tokens.
    let api = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/auth/me", &api.access).await.json().get("csrf"), None);
}
