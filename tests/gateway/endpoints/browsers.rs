//! Cross-origin scripts and cookies.

use serde_json::json;

use crate::refusals::assert_refused;
use crate::support::{PASSWORD, Response, Setup, TestGateway, http};

const SPA: &str = "https://spa.example";

async fn with_cors() -> TestGateway {
    TestGateway::with(Setup { server: format!("cors_origins = [\"{SPA}\"]"), ..Setup::default() }).await
}

async fn preflight(gateway: &TestGateway, path: &str, origin: &str) -> Response {
    let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
    http::request(gateway.address(), "OPTIONS", path, &headers, b"").await
}

async fn login_from(gateway: &TestGateway, origin: &str) -> Response {
    let body = json!({ "username": "ada", "password": PASSWORD }).to_string();
    let headers = [("Content-Type", "application/json"), ("Origin", origin)];
    http::request(gateway.address(), "POST", "/auth/login", &headers, body.as_bytes()).await
}

/// Headers that would let another origin's script read the response.
fn cors_headers(response: &Response) -> Vec<&str> {
    let names = response.headers.iter().map(|(name, _)| name.as_str());
    names.filter(|name| name.to_lowercase().starts_with("access-control-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_of_allowed_origin_needs_no_credentials() {
    // T18.
    let gateway = with_cors().await;
    let response = preflight(&gateway, "/auth/login", SPA).await;
    assert_eq!((response.status, response.body.len()), (204, 0));
    assert_eq!(response.all("access-control-allow-origin"), [SPA]);
    assert_eq!(response.all("access-control-allow-methods"), ["GET, POST, DELETE"]);
    assert_eq!(response.all("access-control-allow-headers"), ["authorization, content-type"]);
    assert_eq!(response.all("access-control-max-age"), ["600"]);
    assert_eq!(response.all("vary"), ["Origin"]);
    assert_eq!(response.header("access-control-allow-credentials"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_of_other_origins_is_refused() {
    let (some, none) = (with_cors().await, TestGateway::start().await);
    for origin in [
        "https://evil.example",
        "https://spa.example.evil",
        "http://spa.example",
        "https://spa.example:444",
        "null",
        "*",
    ] {
        let refused = preflight(&some, "/auth/login", origin).await;
        assert_refused(&refused, 403, "origin_not_allowed");
        assert_eq!(cors_headers(&refused), [""; 0], "{origin}");
        assert!(refused.all("vary").contains(&"Origin"));
    }
    assert_refused(&preflight(&none, "/auth/login", SPA).await, 403, "origin_not_allowed");
    // Without a requested method it is not a preflight, and OPTIONS is not allowed.
    let plain = http::request(some.address(), "OPTIONS", "/auth/login", &[("Origin", SPA)], b"").await;
    assert_refused(&plain, 405, "method_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_does_not_bypass_route_authorization() {
    // T18: on a route it is an ordinary request.
    let gateway = with_cors().await;
    assert_refused(&preflight(&gateway, "/admin", SPA).await, 401, "token_missing");
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_origin_can_read_responses_and_refusals() {
    let gateway = with_cors().await;
    gateway.user("ada", &[]).await;
    let responses = [login_from(&gateway, SPA).await, gateway.get("/auth/me", &[("Origin", SPA)]).await];
    assert_eq!(responses.each_ref().map(|response| response.status), [200, 401]);
    for response in &responses {
        assert_eq!(response.all("access-control-allow-origin"), [SPA]);
        assert_eq!(
            response.all("access-control-expose-headers"),
            ["retry-after, www-authenticate, x-request-id"]
        );
        assert!(response.all("vary").contains(&"Origin"));
        assert_eq!(response.header("access-control-allow-credentials"), None);
    }
    let foreign = gateway.get("/.well-known/jwks.json", &[("Origin", "https://evil.example")]).await;
    assert_eq!((foreign.status, cors_headers(&foreign)), (200, vec![]));
    assert_eq!(foreign.all("vary"), ["Origin"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_origin_changes_nothing() {
    // T51.
    let gateway = with_cors().await;
    gateway.user("ada", &[]).await;
    for origin in ["http://gateway.test", SPA] {
        assert_eq!(login_from(&gateway, origin).await.status, 200, "{origin}");
    }
    let tokens = gateway.login("ada").await;
    let bearer = format!("Bearer {}", tokens.access);
    let own = format!("/auth/sessions/{}", tokens.session);
    for origin in [
        "https://evil.example",
        "https://gateway.test",
        "http://gateway.test.evil",
        "http://gateway.test:81",
        "HTTP://gateway.test",
        "null",
        "",
    ] {
        assert_refused(&login_from(&gateway, origin).await, 403, "origin_not_allowed");
        let headers = [("Authorization", bearer.as_str()), ("Origin", origin)];
        for (method, path) in
            [("POST", "/auth/logout"), ("POST", "/auth/logout-all"), ("DELETE", own.as_str())]
        {
            let refused = http::request(gateway.address(), method, path, &headers, b"").await;
            assert_refused(&refused, 403, "origin_not_allowed");
            assert_eq!(cors_headers(&refused), [""; 0]);
        }
    }
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookie_alone_can_read_but_not_change() {
    // T51: a browser attaches cookies to requests of any site.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let cookie = format!("a=1; __Host-doorward-access={}", tokens.access);
    let headers = [("Cookie", cookie.as_str())];
    for path in ["/auth/me", "/auth/sessions", "/"] {
        assert_eq!(gateway.get(path, &headers).await.status, 200, "{path}");
    }
    let own = format!("/auth/sessions/{}", tokens.session);
    for (method, path) in [
        ("POST", "/auth/logout"),
        ("POST", "/auth/logout-all"),
        ("POST", "/auth/password"),
        ("DELETE", own.as_str()),
    ] {
        let refused = http::request(gateway.address(), method, path, &headers, b"").await;
        assert_refused(&refused, 401, "token_missing");
    }
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bearer_is_used_when_cookie_holds_the_same_token() {
    // The cookie adds nothing: the sender of the header holds the token.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let (bearer, cookie) =
        (format!("Bearer {}", tokens.access), format!("__Host-doorward-access={}", tokens.access));
    let headers = [("Authorization", bearer.as_str()), ("Cookie", cookie.as_str())];
    let out = http::request(gateway.address(), "POST", "/auth/logout", &headers, b"").await;
    assert_eq!(out.status, 200, "{}", out.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_different_credentials_are_refused() {
    // T40, T50.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (one, other) = (gateway.login("ada").await, gateway.login("ada").await);
    let (bearer, cookie) =
        (format!("Bearer {}", one.access), format!("__Host-doorward-access={}", other.access));
    let both = gateway.get("/auth/me", &[("Authorization", &bearer), ("Cookie", &cookie)]).await;
    assert_refused(&both, 400, "credentials_conflict");
    let twice = gateway.get("/auth/me", &[("Authorization", &bearer), ("Authorization", &bearer)]).await;
    assert_refused(&twice, 400, "credentials_conflict");
    let planted = format!("{cookie}; __Host-doorward-access={}", one.access);
    assert_refused(&gateway.get("/auth/me", &[("Cookie", &planted)]).await, 401, "token_missing");
    let fields = [("Cookie", cookie.as_str()), ("Cookie", cookie.as_str())];
    assert_refused(&gateway.get("/auth/me", &fields).await, 401, "token_missing");
}
