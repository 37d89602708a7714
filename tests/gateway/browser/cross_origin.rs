//! Cross-origin requests with gateway cookies (S05).

use super::Browser;
use super::jar::{ORIGIN, later};
use crate::support::gateway::ROUTES;
use crate::support::{Client, Response, Setup, TestGateway, http};

const SIBLING: &str = "http://sibling.gateway.test";
const SPA: &str = "https://spa.example";

/// Headers that describe the origin of a request, and whether it is the gateway's own origin.
const SENT_FROM: [(&[(&str, &str)], bool); 17] = [
    (&[("Origin", ORIGIN), ("Sec-Fetch-Site", "same-origin")], true),
    (&[("Origin", ORIGIN)], true),
    (&[("Sec-Fetch-Site", "same-origin")], true),
    // A direct navigation, without an initiating page.
    (&[("Sec-Fetch-Site", "none")], true),
    // Hidden by `Referrer-Policy: no-referrer`.
    (&[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")], true),
    // Not a browser.
    (&[], true),
    (&[("Origin", SIBLING), ("Sec-Fetch-Site", "same-site")], false),
    (&[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")], false),
    (&[("Sec-Fetch-Site", "same-site")], false),
    (&[("Sec-Fetch-Site", "cross-site")], false),
    (&[("Sec-Fetch-Site", "something-new")], false),
    (&[("Origin", SIBLING)], false),
    (&[("Origin", "http://gateway.test:8080")], false),
    (&[("Origin", "null")], false),
    (&[("Origin", SPA)], false),
    (&[("Origin", ORIGIN), ("Sec-Fetch-Site", "cross-site")], false),
    (&[("Origin", ORIGIN), ("Origin", "https://evil.example")], false),
];

async fn started(routes: &str) -> TestGateway {
    let gateway = TestGateway::with(Setup {
        server: format!("cors_origins = [\"{SPA}\"]"),
        routes: format!("{ROUTES}{routes}"),
        ..Setup::default()
    })
    .await;
    gateway.user("ada", &["admin"]).await;
    gateway
}

async fn ask(
    gateway: &TestGateway,
    method: &str,
    path: &str,
    credential: (&str, &str),
    from: &[(&str, &str)],
) -> Response {
    let headers: Vec<_> = [credential].into_iter().chain(from.iter().copied()).collect();
    http::request(gateway.address(), method, path, &headers, b"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_origin_change_by_cookie_is_refused() {
    let gateway = started("").await;
    let browser = Browser::signed_in(&gateway, "ada").await;
    let cookie = browser.cookie();
    for (from, is_ours) in SENT_FROM {
        for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "MOVE"] {
            for path in ["/transfer", "/admin/transfer", "/optional/transfer"] {
                let before = gateway.app.heads();
                let response = ask(&gateway, method, path, ("Cookie", &cookie), from).await;
                if is_ours {
                    assert_eq!(response.status, 200, "{method} {path} {from:?}: {}", response.text());
                } else {
                    assert_eq!(response.status, 403, "{method} {path} {from:?}");
                    assert_eq!(response.code(), "origin_not_allowed");
                    assert_eq!(gateway.app.heads(), before, "{method} {path} {from:?}: forwarded");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn safe_methods_public_routes_and_bearers_pass() {
    let gateway = started("").await;
    let browser = Browser::signed_in(&gateway, "ada").await;
    let cookie = browser.cookie();
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let (cookie, bearer) = (("Cookie", cookie.as_str()), ("Authorization", bearer.as_str()));
    for (from, _) in SENT_FROM {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(ask(&gateway, method, "/page", cookie, from).await.status, 200, "{method} {from:?}");
        }
        assert_eq!(ask(&gateway, "POST", "/public", cookie, from).await.status, 200, "{from:?}");
        assert_eq!(ask(&gateway, "POST", "/transfer", bearer, from).await.status, 200, "{from:?}");
        // On a public route there is nothing to protect, and the app receives no identity.
        let other = ("X-Other", "1");
        assert_eq!(ask(&gateway, "POST", "/optional", other, from).await.status, 200, "{from:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_cookie_alone_is_a_cookie_credential() {
    let gateway = started("").await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let foreign = [("Origin", SIBLING), ("Sec-Fetch-Site", "same-site")];
    browser.cookies.remove("__Host-doorward-access");
    let refused = ask(&gateway, "POST", "/transfer", ("Cookie", &browser.cookie()), &foreign).await;
    assert_eq!((refused.status, refused.all("set-cookie").len()), (403, 0));
    // An expired access cookie is renewed by the refresh cookie.
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    later(&gateway, std::time::Duration::from_secs(16 * 60)).await;
    let refused = ask(&gateway, "POST", "/transfer", ("Cookie", &browser.cookie()), &foreign).await;
    assert_eq!((refused.status, refused.all("set-cookie").len()), (403, 0));
    assert_eq!(browser.fetch("/transfer").await.status, 200, "from our own page");
    // The app's own bearer beside a gateway cookie is not a gateway credential.
    let both = [("Authorization", "Bearer of-the-app"), foreign[0], foreign[1]];
    assert_eq!(ask(&gateway, "POST", "/transfer", ("Cookie", &browser.cookie()), &both).await.status, 403);
    // A gateway bearer beside a refresh cookie counts as a bearer.
    browser.cookies.remove("__Host-doorward-access");
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let both = [("Authorization", bearer.as_str()), foreign[0], foreign[1]];
    assert_eq!(ask(&gateway, "POST", "/transfer", ("Cookie", &browser.cookie()), &both).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn route_setting_allows_cross_origin_changes() {
    let open = "[[routes]]\nname = \"open\"\npath = \"/open\"\naccess = \"signed-in\"\nupstream = \"app\"\n\
                cross_origin = \"allow\"\n";
    let gateway = started(open).await;
    let cookie = Browser::signed_in(&gateway, "ada").await.cookie();
    for (from, _) in SENT_FROM {
        let response = ask(&gateway, "POST", "/open/hook", ("Cookie", &cookie), from).await;
        assert_eq!(response.status, 200, "{from:?}");
        assert_eq!(gateway.app.last().header("x-auth-user").as_deref(), Some("ada"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_origin_opens_no_websocket_by_cookie() {
    let gateway = started("").await;
    let cookie = Browser::signed_in(&gateway, "ada").await.cookie();
    for (origin, status) in [(SPA, 403), (ORIGIN, 101)] {
        let headers = [
            ("Cookie", cookie.as_str()),
            ("Origin", origin),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut client = Client::connect(gateway.address()).await;
        client.send(&http::message("GET", "/ws", &headers, b"")).await;
        assert_eq!(client.head().await.expect("an answer").status, status, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_served_host_is_its_own_origin() {
    // F30: a host named by a route but not by `public_urls`.
    let routes = "[[routes]]\nname = \"shop\"\nhosts = [\"shop.test\", \"*.tenant.test\"]\npath = \"/\"\naccess = \"signed-in\"\n\
                  upstream = \"app\"\n";
    let gateway = started(routes).await;
    let cookie = Browser::signed_in(&gateway, "ada").await.cookie();
    for (host, origin, status) in [
        ("shop.test", "http://shop.test", 200),
        ("Shop.test:80", "http://shop.test", 200),
        ("a.tenant.test:8443", "https://a.tenant.test:8443", 200),
        // TLS terminated at a proxy that is not trusted.
        ("shop.test", "https://shop.test", 200),
        ("shop.test", "http://shop.test:81", 403),
        ("shop.test", ORIGIN, 403),
        ("gateway.test", "http://shop.test", 403),
        ("a.tenant.test", "http://b.tenant.test", 403),
        // The address of the gateway, where a proxy replaces `Host`.
        ("127.0.0.1:8080", ORIGIN, 200),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", 200),
        ("127.0.0.1:8080", "https://evil.example", 403),
    ] {
        let from = [("Host", host), ("Origin", origin)];
        let response = ask(&gateway, "POST", "/transfer", ("Cookie", &cookie), &from).await;
        assert_eq!(response.status, status, "{host} {origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_proxy_sets_host_and_scheme() {
    let gateway = TestGateway::with(Setup {
        server: "trusted_proxies = [\"127.0.0.1\"]".into(),
        public_url: "https://app.test".into(),
        ..Setup::default()
    })
    .await;
    gateway.user("ada", &[]).await;
    // An API token, since `Browser` uses `gateway.test`; it is a cookie nevertheless.
    let cookie = format!("__Host-doorward-access={}", gateway.login("ada").await.access);
    for (host, proto, origin, status) in [
        ("other.test", "https", "https://other.test", 200),
        ("other.test:8443", "HTTPS", "https://other.test:8443", 200),
        ("other.test", "https", "http://other.test", 403),
        ("other.test", "http", "http://other.test", 200),
        ("other.test", "https", "https://evil.example", 403),
        ("app.test", "https", "https://app.test", 200),
        ("app.test", "https", "http://app.test", 403),
    ] {
        let from = [
            ("Host", "10.0.0.7:8080"),
            ("X-Forwarded-Host", host),
            ("X-Forwarded-Proto", proto),
            ("Origin", origin),
        ];
        let response = ask(&gateway, "POST", "/transfer", ("Cookie", &cookie), &from).await;
        assert_eq!(response.status, status, "{host} {proto} {origin}");
    }
}
