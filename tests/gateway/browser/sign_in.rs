use std::time::Duration;

use doorward::vault::SessionPage;
use serde_json::json;

use super::Browser;
use super::jar::{hidden, later, with};
use crate::support::{PASSWORD, Setup, TestGateway};

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_sets_host_cookies_and_returns() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::new(&gateway);
    let away = browser.go("/reports?year=2026&q=a%2Fb").await;
    assert_eq!((away.status, away.header("cache-control")), (303, Some("no-store")));
    let login = away.header("location").expect("a place").to_owned();
    assert!(login.starts_with("/auth/login?return_to="), "{login}");
    let back = browser.sign_in("ada", PASSWORD, &login, &[]).await;
    assert_eq!((back.status, back.header("location")), (303, Some("/reports?year=2026&q=a%2Fb")));
    assert_eq!(back.header("cache-control"), Some("no-store"));
    let set = back.all("set-cookie");
    assert_eq!(set.len(), 3, "{set:?}");
    // The third cookie identifies the browser later. It is limited to gateway endpoints and has the longest lifetime
    // browsers allow.
    assert!(set[2].starts_with("__Secure-doorward-device="), "{}", set[2]);
    assert!(set[2].ends_with("; Path=/auth; Secure; HttpOnly; SameSite=Lax; Max-Age=34560000"), "{}", set[2]);
    for (cookie, name) in set.iter().zip(["__Host-doorward-access=", "__Host-doorward-refresh="]) {
        assert!(cookie.starts_with(name), "{cookie}");
        // Without Max-Age it ends with the browser. Without Domain it belongs to this host alone.
        assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
        assert!(cookie.len() < 4096);
    }
    let seen = browser.go("/reports?year=2026&q=a%2Fb").await;
    assert_eq!(seen.status, 200);
    let forwarded = gateway.app.last();
    assert_eq!(forwarded.header("x-auth-user").as_deref(), Some("ada"));
    assert_eq!(forwarded.header("cookie"), None, "ours stay here");
    // A signed-in user gets no form again.
    let again = browser.go(&login).await;
    assert_eq!((again.status, again.header("location")), (303, Some("/reports?year=2026&q=a%2Fb")));
    let home = browser.go("/auth/login").await;
    assert_eq!((home.status, home.text().contains("ada")), (200, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_login_sets_no_cookies() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let response =
        gateway.post("/auth/login", None, &json!({ "username": "ada", "password": PASSWORD })).await;
    assert_eq!((response.status, response.all("set-cookie").len()), (200, 0));
    let mut browser = Browser::new(&gateway);
    browser.cookies.insert("__Host-doorward-refresh".into(), response.member("refresh_token"));
    assert_eq!(browser.fetch("/").await.code(), "token_missing");
    let of_browser = Browser::signed_in(&gateway, "ada").await;
    assert_eq!(gateway.refresh(of_browser.refresh()).await.code(), "refresh_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn form_errors_do_not_reveal_user_existence() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut texts = Vec::new();
    for name in ["ada", "eve"] {
        let mut browser = Browser::new(&gateway);
        let wrong = browser.sign_in(name, "not the right password", "/auth/login", &[]).await;
        assert_eq!(wrong.status, 401);
        assert_eq!(wrong.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(
            wrong.header("content-security-policy").is_some_and(|v| v.contains("frame-ancestors 'none'"))
        );
        assert_eq!(wrong.header("cache-control"), Some("no-store"));
        assert!(!browser.cookies.keys().any(|name| name.ends_with("access")));
        let text = wrong.text();
        assert!(!text.contains("not the right password"));
        // The form can be submitted again, and nothing on it differs but the user name and its token.
        let csrf = hidden(&wrong).into_iter().find(|(name, _)| name == "csrf").expect("a token").1;
        texts.push(text.replace(&csrf, "").replace(name, ""));
        let fields = with(&with(&hidden(&wrong), "username", "ada"), "password", PASSWORD);
        assert_eq!(browser.post("/auth/login", &fields).await.status, 303);
    }
    assert_eq!(texts[0], texts[1]);
    let mut browser = Browser::new(&gateway);
    assert_eq!(browser.sign_in("ada", "", "/auth/login", &[]).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn remembered_sessions_outlive_the_browser_and_others_expire_idle() {
    let setup =
        Setup { login: "[browser]\nidle_timeout = \"1h\"\nremember = \"7d\"".into(), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let mut forgotten = Browser::signed_in(&gateway, "ada").await;
    let mut kept = Browser::new(&gateway);
    let response = kept.sign_in("ada", PASSWORD, "/auth/login", &[("remember", "on")]).await;
    for cookie in &response.all("set-cookie")[..2] {
        assert!(cookie.ends_with("; SameSite=Lax; Max-Age=604800"), "{cookie}");
    }
    // Changing the cookie cannot turn a session into a remembered one.
    let mut cheat = forgotten.clone();
    let longer = format!("{}.r", forgotten.refresh());
    cheat.cookies.insert("__Host-doorward-refresh".into(), longer);
    cheat.cookies.remove("__Host-doorward-access");
    assert_eq!(cheat.fetch("/").await.code(), "token_missing");
    later(&gateway, Duration::from_secs(2 * 3600)).await;
    assert_eq!(forgotten.fetch("/").await.code(), "token_expired");
    assert_eq!(kept.fetch("/").await.status, 200);
    // The absolute lifetime is bounded.
    later(&gateway, Duration::from_secs(7 * 24 * 3600)).await;
    assert_eq!(kept.fetch("/").await.code(), "token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_in_constant_use_ends_at_absolute_timeout() {
    let setup = Setup {
        login: "[browser]\nidle_timeout = \"1h\"\nremember = \"30d\"".into(),
        sessions: "idle_timeout = \"2h\"\nabsolute_timeout = \"3h\"".into(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let mut forgotten = Browser::signed_in(&gateway, "ada").await;
    let mut kept = Browser::new(&gateway);
    let response = kept.sign_in("ada", PASSWORD, "/auth/login", &[("remember", "on")]).await;
    assert!(response.all("set-cookie")[0].ends_with("; Max-Age=10800"), "no longer than that");
    for _ in 0..5 {
        later(&gateway, Duration::from_secs(30 * 60)).await;
        assert_eq!((forgotten.fetch("/").await.status, kept.fetch("/").await.status), (200, 200));
    }
    later(&gateway, Duration::from_secs(31 * 60)).await;
    for browser in [&mut forgotten, &mut kept] {
        assert_eq!(browser.fetch("/").await.code(), "token_expired");
        assert_eq!(browser.go("/").await.status, 303);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_login_replaces_the_previous_session() {
    // T50: no session fixation: a sign-in never continues a session created by somebody else.
    let gateway = TestGateway::start().await;
    for name in ["ada", "eve"] {
        gateway.user(name, &[]).await;
    }
    let planted = Browser::signed_in(&gateway, "eve").await;
    let mut browser = planted.clone();
    // The browser looks signed out to the form: the access cookie is gone and the page was opened before.
    let mut form = Browser::new(&gateway);
    let fields = hidden(&form.go("/auth/login").await);
    browser.cookies.extend(form.cookies.clone());
    let fields = with(&with(&fields, "username", "ada"), "password", PASSWORD);
    assert_eq!(browser.post("/auth/login", &fields).await.status, 303);
    assert_ne!(browser.refresh(), planted.refresh());
    assert_eq!(browser.fetch("/").await.status, 200);
    assert_eq!(gateway.app.last().header("x-auth-user").as_deref(), Some("ada"));
    assert_eq!(planted.clone().fetch("/").await.code(), "token_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn token_too_long_for_cookie_leaves_no_session() {
    let gateway = TestGateway::start().await;
    let roles: Vec<String> = (0..60).map(|n| format!("{}-{n:02}", "r".repeat(60))).collect();
    let user = gateway.user("ada", &roles.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut browser = Browser::new(&gateway);
    let refused = browser.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
    assert_eq!((refused.status, browser.cookies.len()), (403, 1), "only that of the form");
    assert!(refused.text().contains("cookie_too_large"), "{}", refused.text());
    assert!(
        gateway
            .vault
            .sessions
            .list(Some(user), SessionPage::first(1000))
            .await
            .expect("an answer")
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_redirects_only_to_signed_return_urls() {
    // T49. A foreign URL never gets a signature; `policy::return_to` has the table of accepted URLs.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::new(&gateway);
    let good = browser.go("/reports").await.header("location").expect("a place").to_owned();
    let stamp =
        good.split_once("return_to=").expect("a stamp").1.split_once('.').expect("two parts").0.to_owned();
    let tried = [
        "/reports",
        "%2Freports",
        "//evil.example",
        "%2F%2Fevil.example",
        "/%5Cevil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "%09//evil.example",
        "/%09/evil.example",
        "/%0d%0aSet-Cookie:a=b",
        "@evil.example",
        "data:text/html,x",
        "/%E2%88%95evil.example",
        "/admin",
        "/reports%23x",
        "/reports?x",
    ];
    for place in tried {
        let unstamped = [format!("/auth/login?return_to={place}"), format!("/auth/login?return_to=.{place}")];
        let moved = (place != "/reports" && place != "%2Freports")
            .then(|| format!("/auth/login?return_to={stamp}.{place}"));
        for login in unstamped.into_iter().chain(moved) {
            let mut browser = Browser::new(&gateway);
            let response = browser.sign_in("ada", PASSWORD, &login, &[]).await;
            assert_eq!((response.status, response.header("location")), (303, Some("/")), "{login}");
            let again = browser.go(&login).await;
            assert_eq!((again.status, again.header("location")), (200, None), "{login}");
        }
    }
    // In the body instead of the query.
    let mut poster = Browser::new(&gateway);
    let more = [("return_to", "//evil.example")];
    let response = poster.sign_in("ada", PASSWORD, "/auth/login", &more).await;
    assert_eq!(response.header("location"), Some("/"));
    // A signed URL expires.
    later(&gateway, Duration::from_secs(12 * 3600 + 1)).await;
    let response = browser.sign_in("ada", PASSWORD, &good, &[]).await;
    assert_eq!(response.header("location"), Some("/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_one_domain_share_a_sign_in() {
    let setup = Setup {
        server: String::new(),
        login: "[browser]\ncookie_domain = \"gateway.test\"".into(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::new(&gateway);
    let response = browser.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
    for cookie in response.all("set-cookie") {
        assert!(cookie.starts_with("__Secure-doorward-"), "{cookie}");
        let rest =
            cookie.split_once("; Secure; HttpOnly; SameSite=Lax; Domain=gateway.test").expect("shared").1;
        assert!(rest.is_empty() || rest.starts_with("; Max-Age="), "{cookie}");
    }
    assert_eq!(browser.fetch("/").await.status, 200);
    assert_eq!(gateway.app.last().header("cookie"), None);
}
