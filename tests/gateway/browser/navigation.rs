//! Service workers, frames and scripts that accept HTML (F10); return URLs (F15); effects of a sign-out.

use super::Browser;
use super::jar::{ORIGIN, PAGE, hidden};
use crate::support::gateway::ROUTES;
use crate::support::{PASSWORD, Response, Setup, TestGateway};

const HTML: (&str, &str) = PAGE[0];
const NAVIGATE: (&str, &str) = ("Sec-Fetch-Mode", "navigate");

fn assert_page(response: &Response, what: &str) {
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"), "{what}");
    assert_eq!(response.header("cache-control"), Some("no-store"), "{what}");
}

/// Returns true if any site may frame the response.
fn is_frameable(response: &Response) -> bool {
    let policy = response.header("content-security-policy").expect("a policy");
    response.header("x-frame-options").is_none() && !policy.contains("frame-ancestors")
}

#[tokio::test(flavor = "multi_thread")]
async fn service_worker_navigation_leads_to_sign_in() {
    let gateway = TestGateway::start().await;
    for headers in [
        &[HTML, NAVIGATE, ("Sec-Fetch-Dest", "empty"), ("Sec-Fetch-Site", "same-origin")][..],
        &[("Accept", "*/*"), NAVIGATE, ("Sec-Fetch-Dest", "empty")],
        &[NAVIGATE],
    ] {
        let response = gateway.get("/app?x=1", headers).await;
        assert_eq!(response.status, 303, "{headers:?}");
        assert!(response.header("location").is_some_and(|to| to.starts_with("/auth/login?return_to=")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_preferring_html_gets_the_sign_in_location() {
    let gateway = TestGateway::start().await;
    for mode in ["cors", "same-origin", "no-cors"] {
        let headers = [HTML, ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", "empty")];
        let response = gateway.get("/app?x=1", &headers).await;
        assert_eq!((response.status, response.header("location")), (401, None), "{mode}");
        assert_page(&response, mode);
        assert!(response.header("www-authenticate").is_some());
        assert!(response.text().contains("href=\"/auth/login?return_to="), "{}", response.text());
        assert!(!is_frameable(&response));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn framed_page_links_to_the_top_level_sign_in() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    for dest in ["iframe", "frame", "embed", "object"] {
        let frame = [HTML, NAVIGATE, ("Sec-Fetch-Dest", dest)];
        // In a same-origin frame: sign in, then return to the framing page.
        let own = [
            frame[0],
            frame[1],
            frame[2],
            ("Sec-Fetch-Site", "same-origin"),
            ("Referer", "http://gateway.test/outer?a=b"),
        ];
        let response = gateway.get("/inner", &own).await;
        assert_eq!(response.status, 401, "{dest}");
        assert_page(&response, dest);
        assert!(
            is_frameable(&response) && response.text().contains("target=\"_top\""),
            "{}",
            response.text()
        );
        let link =
            response.text().split("href=\"").find(|part| part.starts_with("/auth/login")).map(str::to_owned);
        let link = link.expect("a link").split('"').next().expect("its end").replace("&#38;", "&");
        let mut browser = Browser::new(&gateway);
        let back = browser.sign_in("ada", PASSWORD, &link, &[]).await;
        assert_eq!(back.header("location"), Some("/outer?a=b"), "{dest}");
        // In a cross-site frame no gateway cookie arrives: the page must open outside the frame.
        let foreign = [
            frame[0],
            frame[1],
            frame[2],
            ("Sec-Fetch-Site", "cross-site"),
            ("Referer", "https://evil.example/x"),
        ];
        let response = gateway.get("/inner?q=1", &foreign).await;
        assert_eq!(response.status, 401, "{dest}");
        assert!(is_frameable(&response), "{dest}");
        assert!(response.text().contains("href=\"/inner?q=1\" target=\"_blank\""), "{}", response.text());
        // The gateway's own pages behave the same.
        for path in ["/auth/account", "/auth/login", "/auth/logout", "/auth/sessions", "/auth/password"] {
            let response = browser.ask("GET", path, &own, b"").await;
            assert_eq!(response.status, 200, "{path}");
            assert!(
                is_frameable(&response) && !response.text().contains("<form"),
                "{path} {}",
                response.text()
            );
        }
        // Other refusals behave the same.
        let response = browser.ask("GET", "/admin", &own, b"").await;
        assert_eq!(response.status, 403, "{dest}");
        assert!(is_frameable(&response) && !response.text().contains("<form"), "{}", response.text());
    }
    // Top-level pages may not be framed.
    let login = gateway.get("/auth/login", &PAGE).await;
    assert!(!is_frameable(&login));
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_returns_to_long_and_unusual_urls() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let long = |length: usize| format!("/reports?q={}&r=%2F", "a%20".repeat(length / 4));
    for target in [long(1900), long(2100), long(6000), long(8100)] {
        let mut browser = Browser::new(&gateway);
        let login = browser.go(&target).await.header("location").expect("a place").to_owned();
        assert!(login.len() < 12 << 10, "{}", login.len());
        let back = browser.sign_in("ada", PASSWORD, &login, &[]).await;
        assert_eq!((back.status, back.header("location")), (303, Some(target.as_str())));
    }
    // A longer URL is not returned to, and the page says so.
    let mut browser = Browser::new(&gateway);
    let login = browser.go(&long(9000)).await.header("location").expect("a place").to_owned();
    let page = browser.go(&login).await;
    assert!(page.text().contains("too long to return to"), "{}", page.text());
    assert_eq!(browser.sign_in("ada", PASSWORD, &login, &[]).await.header("location"), Some("/"));
    let plain = browser.clone().go("/auth/login").await;
    assert!(!plain.text().contains("too long to return to"));
    // Its fragment belongs to no other page.
    assert!(page.text().contains("<form") && !page.text().contains("class=\"onward\""), "{}", page.text());
    let plain = Browser::new(&gateway).go("/auth/login").await;
    assert!(plain.text().contains("class=\"onward\""), "{}", plain.text());
    // A path that begins like a host stays a path.
    let mut browser = Browser::new(&gateway);
    let login = browser.go("//x/y?z=1").await.header("location").expect("a place").to_owned();
    let back = browser.sign_in("ada", PASSWORD, &login, &[]).await;
    assert_eq!(back.header("location"), Some("/.//x/y?z=1"));
    // A backslash in a query is an ordinary character.
    let mut browser = Browser::new(&gateway);
    let login = browser.go("/reports?path=C:\\dir").await.header("location").expect("a place").to_owned();
    let back = browser.sign_in("ada", PASSWORD, &login, &[]).await;
    assert_eq!(back.header("location"), Some("/reports?path=C:%5Cdir"));
}

#[tokio::test(flavor = "multi_thread")]
async fn blanks_around_user_name_are_trimmed() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    for name in ["ada ", " ada", "Ada ", "\tada\n", "ada\u{a0}", "\u{3000}ada"] {
        let response = Browser::new(&gateway).sign_in(name, PASSWORD, "/auth/login", &[]).await;
        assert_eq!(response.status, 303, "{name:?}");
        let body = serde_json::json!({ "username": name, "password": PASSWORD });
        assert_eq!(gateway.post("/auth/login", None, &body).await.status, 200, "{name:?}");
    }
    let wrong = Browser::new(&gateway).sign_in("ada ", "not the right password", "/auth/login", &[]).await;
    assert!(wrong.text().contains("value=\"ada\""), "{}", wrong.text());
    // Passwords are not trimmed; a user name of only blanks is empty.
    let padded = format!("{PASSWORD} ");
    assert_eq!(Browser::new(&gateway).sign_in("ada", &padded, "/auth/login", &[]).await.status, 401);
    assert_eq!(Browser::new(&gateway).sign_in("  ", PASSWORD, "/auth/login", &[]).await.status, 400);
    assert_eq!(Browser::new(&gateway).sign_in("a da", PASSWORD, "/auth/login", &[]).await.status, 401);
}

async fn sign_out(gateway: &TestGateway, headers: &[(&str, &str)]) -> Response {
    let mut browser = Browser::signed_in(gateway, "ada").await;
    let csrf: Vec<_> = hidden(&browser.go("/auth/logout").await).into_iter().take(1).collect();
    let response = browser.post_with("/auth/logout", &csrf, headers).await;
    assert_eq!(browser.fetch("/").await.status, 401, "signed out");
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_clears_site_data_and_redirects() {
    let person = [HTML, NAVIGATE, PAGE[2], ("Origin", ORIGIN), ("Sec-Fetch-Site", "same-origin")];
    let script = [
        ("Accept", "*/*"),
        ("Sec-Fetch-Mode", "cors"),
        ("Origin", ORIGIN),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    for (settings, cleared, to) in [
        ("", Some("\"cache\", \"storage\""), None),
        ("clear_site_data = [\"cache\"]", Some("\"cache\""), None),
        ("clear_site_data = []\nafter_sign_out = \"/goodbye?x=1\"", None, Some("/goodbye?x=1")),
    ] {
        let login = format!("[browser]\n{settings}\n");
        let gateway = TestGateway::with(Setup { login, routes: ROUTES.into(), ..Setup::default() }).await;
        gateway.user("ada", &[]).await;
        let out = sign_out(&gateway, &person).await;
        assert_eq!((out.status, out.header("location")), (if to.is_some() { 303 } else { 200 }, to));
        assert_eq!(out.header("clear-site-data"), cleared);
        // A script chooses its own destination.
        let out = sign_out(&gateway, &script).await;
        assert_eq!((out.status, out.header("clear-site-data")), (200, cleared));
    }
    let login = "[browser]\nafter_sign_out = \"https://www.example.com/bye\"\n".into();
    let gateway = TestGateway::with(Setup { login, ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let out = sign_out(&gateway, &person).await;
    assert_eq!((out.status, out.header("location")), (303, Some("https://www.example.com/bye")));
}

#[tokio::test(flavor = "multi_thread")]
async fn null_origin_of_gateway_page_is_accepted() {
    // F16: `Referrer-Policy: no-referrer`, added by a proxy.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let from = [HTML, NAVIGATE, PAGE[2], ("Origin", "null"), ("Sec-Fetch-Site", "same-origin")];
    let mut browser = Browser::new(&gateway);
    let mut fields = hidden(&browser.go("/auth/login").await);
    fields.extend([("username".into(), "ada".into()), ("password".into(), PASSWORD.into())]);
    for site in ["cross-site", "same-site", "none"] {
        let from = [HTML, NAVIGATE, PAGE[2], ("Origin", "null"), ("Sec-Fetch-Site", site)];
        assert_eq!(browser.post_with("/auth/login", &fields, &from).await.status, 403, "{site}");
    }
    assert_eq!(browser.post_with("/auth/login", &fields, &from).await.status, 303);
    assert_eq!(sign_out(&gateway, &from).await.status, 200);
    // The token is still required.
    let mut other = Browser::signed_in(&gateway, "ada").await;
    assert_eq!(other.post_with("/auth/logout", &[], &from).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_works_on_a_routed_host_without_public_url() {
    // F30.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    for host in ["shop.test", "127.0.0.1:9090", "localhost:8080", "[::1]:8080"] {
        let origin = format!("http://{host}");
        let from =
            [HTML, NAVIGATE, PAGE[2], ("Host", host), ("Origin", &origin), ("Sec-Fetch-Site", "same-origin")];
        let mut browser = Browser::new(&gateway);
        let mut fields = hidden(&browser.go("/auth/login").await);
        fields.extend([("username".into(), "ada".into()), ("password".into(), PASSWORD.into())]);
        assert_eq!(browser.post_with("/auth/login", &fields, &from).await.status, 303, "{host}");
        let csrf: Vec<_> = hidden(&browser.go("/auth/logout").await).into_iter().take(1).collect();
        assert_eq!(browser.post_with("/auth/logout", &csrf, &from).await.status, 200, "{host}");
        let foreign = [HTML, NAVIGATE, PAGE[2], ("Host", host), ("Origin", "http://evil.example")];
        assert_eq!(browser.post_with("/auth/login", &fields, &foreign).await.status, 403, "{host}");
    }
}
