use std::time::Duration;

use super::Browser;
use super::jar::{PAGE, later};
use crate::support::{Setup, TestGateway};

#[tokio::test(flavor = "multi_thread")]
async fn only_page_views_redirect_to_login() {
    let gateway = TestGateway::start().await;
    let html = PAGE[0];
    for (method, headers, status) in [
        ("GET", &PAGE[..], 303),
        ("HEAD", &PAGE[..], 303),
        ("GET", &[html], 303),
        // An app with its own Basic authentication: browsers send it with every page view.
        ("GET", &[html, PAGE[1], PAGE[2], ("Authorization", "Basic YTpi")], 303),
        ("GET", &[html, ("Authorization", "Basic YTpi")], 401),
        ("GET", &[], 401),
        ("GET", &[("Accept", "application/json")], 401),
        ("GET", &[html, ("X-Requested-With", "XMLHttpRequest")], 401),
        ("GET", &[html, ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")], 401),
        ("GET", &[html, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")], 401),
        ("GET", &[html, ("Connection", "Upgrade"), ("Upgrade", "websocket")], 401),
        ("POST", &[("Content-Type", "application/grpc")], 401),
        ("POST", &[html, ("Content-Type", "application/json")], 401),
        ("PUT", &[html], 401),
    ] {
        let response = Browser::new(&gateway).ask(method, "/x", headers, b"").await;
        assert_eq!(response.status, status, "{method} {headers:?}");
        assert!(response.all("vary").iter().any(|vary| vary.contains("Sec-Fetch-Mode")), "{headers:?}");
        assert_eq!(response.header("cache-control"), Some("no-store"));
        if status == 401 {
            // Scripts that accept HTML, and frames, get pages without a redirect (tests in `navigation`).
            if !headers.iter().any(|(name, value)| *name == "Sec-Fetch-Dest" && *value != "document") {
                assert_eq!(response.code(), "token_missing");
            }
            assert_eq!(response.header("location"), None);
        }
    }
    assert!(gateway.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn form_post_after_session_end_gets_an_explanation() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let form: [(String, String); 1] = [("text".into(), "a long letter".into())];
    assert_eq!(browser.post("/save", &form).await.status, 200);
    later(&gateway, Duration::from_secs(13 * 3600)).await;
    let response = browser.post("/save", &form).await;
    assert_eq!((response.status, response.header("content-type")), (401, Some("text/html; charset=utf-8")));
    assert!(response.header("www-authenticate").is_some());
    assert!(response.text().contains("/auth/login"), "{}", response.text());
    assert_eq!(gateway.app.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_refusals_are_pages_and_app_errors_pass_unchanged() {
    let nowhere = r#"
[upstreams.gone]
servers = ["http://127.0.0.1:1"]
[[routes]]
name = "gone"
path = "/gone"
access = "public"
upstream = "gone"
[[routes]]
name = "reading"
path = "/reading"
methods = ["GET"]
access = "public"
upstream = "app"
[[routes]]
name = "admin"
path = "/admin"
access = { roles = ["admin"] }
upstream = "app"
"#;
    let gateway = TestGateway::with(Setup { routes: nowhere.into(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let form: [(String, String); 0] = [];
    for (path, status, code) in [
        ("/nothing", 404, "route_unknown"),
        ("/gone", 502, "upstream_unavailable"),
        ("/admin", 403, "role_missing"),
        ("/auth/nothing", 404, "route_unknown"),
    ] {
        let page = browser.go(path).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (status, Some("text/html; charset=utf-8")),
            "{path}"
        );
        assert!(page.header("content-security-policy").is_some());
        let is_told_who = page.text().contains("<strong>ada</strong> · <a href=\"/auth/logout\">");
        assert_eq!(is_told_who, code == "role_missing", "{path}: {}", page.text());
        let problem = browser.fetch(path).await;
        assert_eq!((problem.status, problem.code().as_str()), (status, code));
    }
    let page = browser.post("/reading", &form).await;
    assert_eq!((page.status, page.header("allow")), (405, Some("GET")));
    assert_eq!(browser.go("/reading").await.header("content-type"), Some("text/plain"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_asset_named_by_a_page_loads() {
    let gateway = TestGateway::start().await;
    let mut browser = Browser::new(&gateway);
    let page = browser.go("/auth/login").await.text();
    let mut files = 0;
    for tag in ["href=\"/auth/assets/", "src=\"/auth/assets/"] {
        for rest in page.split(tag).skip(1) {
            let path = format!("/auth/assets/{}", rest.split('"').next().expect("a path"));
            let file = browser.fetch(&path).await;
            assert_eq!(file.status, 200, "{path}");
            assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
            files += 1;
        }
    }
    assert!(files >= 2, "{page}");
    assert_eq!(browser.fetch("/auth/assets/other.css").await.code(), "route_unknown");
}
