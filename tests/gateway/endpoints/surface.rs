//! Paths and methods of the gateway endpoints, and the credentials they need.

use serde_json::json;

use crate::refusals::assert_refused;
use crate::support::{TestGateway, http};

/// Endpoints that require a signed-in user.
const SIGNED_IN: [(&str, &str); 6] = [
    ("POST", "/auth/logout"),
    ("POST", "/auth/logout-all"),
    ("POST", "/auth/password"),
    ("GET", "/auth/me"),
    ("GET", "/auth/sessions"),
    ("DELETE", "/auth/sessions/AAAAAAAAAAAAAAAAAAAAAA"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_user_endpoint_needs_a_valid_credential() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let ended = gateway.login("ada").await;
    assert_eq!(gateway.post("/auth/logout", Some(&ended.access), &json!(null)).await.status, 200);
    for (method, path) in SIGNED_IN {
        let none = http::request(gateway.address(), method, path, &[], b"").await;
        assert_refused(&none, 401, "token_missing");
        assert_refused(&gateway.call(method, path, "garbage").await, 401, "token_invalid");
        assert_refused(&gateway.call(method, path, &ended.access).await, 401, "token_revoked");
        assert_refused(&gateway.call(method, path, &ended.refresh).await, 401, "token_invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_method_gets_the_allow_header() {
    // T17, T51: nothing changes on GET.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let own = format!("/auth/sessions/{}", tokens.session);
    for (path, allow, methods) in [
        ("/auth/login", "GET, HEAD, POST", &["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "post"][..]),
        ("/auth/refresh", "POST", &["GET", "PUT"]),
        ("/auth/logout", "GET, HEAD, POST", &["PUT", "DELETE"]),
        ("/auth/logout-all", "POST", &["GET", "DELETE"]),
        ("/auth/password", "GET, HEAD, POST", &["DELETE", "PUT"]),
        ("/auth/sessions/end", "POST", &["GET", "DELETE"]),
        ("/auth/sessions/end-others", "POST", &["GET", "DELETE"]),
        ("/auth/sessions/end-programs", "POST", &["GET", "DELETE"]),
        ("/auth/me", "GET, HEAD", &["POST", "DELETE", "OPTIONS", "get"]),
        ("/auth/sessions", "GET, HEAD", &["POST", "DELETE"]),
        ("/auth/account", "GET, HEAD", &["POST", "DELETE", "PUT"]),
        (&own, "DELETE", &["GET", "POST", "PUT"]),
        ("/.well-known/jwks.json", "GET, HEAD", &["POST", "PUT", "DELETE"]),
    ] {
        for method in methods {
            let response = gateway.call(method, path, &tokens.access).await;
            assert_refused(&response, 405, "method_not_allowed");
            assert_eq!(response.all("allow"), [allow], "{method} {path}");
        }
    }
    for path in ["/auth/refresh", &own] {
        let response = gateway.call("HEAD", path, &tokens.access).await;
        assert_eq!((response.status, response.body.len()), (405, 0));
    }
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200, "still signed in");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_get_without_the_content() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    for path in ["/auth/me", "/auth/sessions", "/.well-known/jwks.json"] {
        let get = gateway.call("GET", path, &tokens.access).await;
        let head = gateway.call("HEAD", path, &tokens.access).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    let refused = http::request(gateway.address(), "HEAD", "/auth/me", &[], b"").await;
    assert_eq!((refused.status, refused.body.len()), (401, 0));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_below_the_gateway_prefix_never_reach_the_app() {
    // T19: in every spelling.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["admin"]).await;
    let tokens = gateway.login("ada").await;
    for path in [
        "/auth",
        "/auth/",
        "/auth?x=/auth/me",
        "/auth/nothing",
        "/auth/me/",
        "/auth/Me",
        "/auth/%6de",
        "/auth//me",
        "/auth/./me",
        "/auth/x/../me",
        "/auth/me;x",
        "/auth/a/b/../../me",
    ] {
        assert_refused(&gateway.call("GET", path, &tokens.access).await, 404, "route_unknown");
    }
    for path in [
        "/AUTH/me",
        "/Auth/me",
        "/%61uth/me",
        "/auth%2fme",
        "/x/../auth/me",
        "/auth/../x",
        "/auth/..%2fx",
        "//auth/me",
        "/auth;x/me",
        "/auth./me",
        "/.well-known/JWKS.json",
        "/.well-known//jwks.json",
    ] {
        assert_refused(&gateway.call("GET", path, &tokens.access).await, 400, "target_ambiguous");
    }
    assert_eq!(gateway.app.seen().len(), 0);
    // T20: prefixes match whole segments only.
    assert_eq!(gateway.call("GET", "/authors", &tokens.access).await.status, 200);
    assert_eq!(gateway.app.last().target(), "/authors");
    // RFC 8615: other well-known paths belong to the app, including the metadata of its own authorization server.
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json/x",
        "/.well-known/acme-challenge/x",
    ] {
        assert_eq!(gateway.call("GET", path, &tokens.access).await.status, 200, "{path}");
        assert_eq!(gateway.app.last().target(), path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jwks_is_cacheable_and_holds_no_private_key() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let response = gateway.get("/.well-known/jwks.json", &[]).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.all("content-type"), ["application/jwk-set+json"]);
    assert_eq!(response.all("cache-control"), ["public, max-age=300"]);
    let keys = response.json()["keys"].as_array().cloned().expect("keys");
    assert_eq!(keys.len(), 1);
    let mut members: Vec<_> = keys[0].as_object().expect("a key").keys().cloned().collect();
    members.sort_unstable();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
    let header = gateway.login("ada").await.access;
    let header =
        doorward::id::from_base64url(header.split('.').next().expect("a header")).expect("base64url");
    let header: serde_json::Value = serde_json::from_slice(&header).expect("JSON");
    assert_eq!(header["kid"], keys[0]["kid"]);
}
