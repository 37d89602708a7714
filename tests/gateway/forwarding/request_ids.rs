//! Request ids: sent to the app and the client, chosen only by the gateway or a trusted proxy.

use crate::refusals::assert_refused;
use crate::support::http::{Client, message};
use crate::support::{Response, Setup, TestGateway};

/// Request id of a response; 32 hexadecimal digits when the gateway generated it.
fn id(response: &Response) -> String {
    let all = response.all("x-request-id");
    assert_eq!(all.len(), 1, "{:?}", response.headers);
    all[0].to_owned()
}

fn is_ours(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

async fn behind_a_proxy() -> TestGateway {
    TestGateway::with(Setup { server: r#"trusted_proxies = ["127.0.0.1"]"#.into(), ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn request_id_is_shared_with_app_and_client() {
    let gateway = TestGateway::start().await;
    let mut client = Client::connect(gateway.address()).await;
    let mut seen = std::collections::HashSet::new();
    for path in ["/public", "/public/cookie", "/public"] {
        let response = client.request("GET", path, &[], b"").await;
        let id = id(&response);
        assert!(is_ours(&id), "{id}");
        assert_eq!(gateway.app.last().header("x-request-id"), Some(id.clone()));
        assert!(seen.insert(id), "on one connection too, each request has its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_responses_have_a_request_id() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    for response in [
        gateway.call("GET", "/auth/me", &tokens.access).await,
        gateway.get("/.well-known/jwks.json", &[]).await,
        gateway.call("HEAD", "/auth/sessions", &tokens.access).await,
    ] {
        assert_eq!(response.status, 200);
        assert!(is_ours(&id(&response)));
    }
    assert_refused(&gateway.get("/", &[]).await, 401, "token_missing");
    assert_refused(&gateway.get("/a/..%2fadmin", &[]).await, 400, "target_ambiguous");
    assert_refused(&gateway.call("PUT", "/auth/login", "").await, 405, "method_not_allowed");
    let mut client = Client::connect(gateway.address()).await;
    client.send(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_refused(&client.response("GET").await.expect("an answer"), 400, "request_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_upgrade_and_bad_gateway_have_a_request_id() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let upgrade = [
        ("Authorization", bearer.as_str()),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut client = Client::connect(gateway.address()).await;
    client.send(&message("GET", "/ws", &upgrade, b"")).await;
    let switched = client.head().await.expect("an answer");
    assert_eq!(switched.status, 101);
    assert_eq!(gateway.app.last().header("x-request-id"), Some(id(&switched)));

    let routes = r#"
        [upstreams.away]
        servers = ["http://127.0.0.1:1"]
        [[routes]]
        name = "away"
        path = "/"
        access = "public"
        upstream = "away"
    "#;
    let gateway = TestGateway::with(Setup { routes: routes.into(), ..Setup::default() }).await;
    assert_refused(&gateway.get("/", &[]).await, 502, "upstream_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn request_id_of_untrusted_client_is_dropped_in_any_spelling() {
    let gateway = TestGateway::start().await;
    let spellings = ["X-Request-Id", "x-request-id", "X_Request_Id", "X-Request_ID", "X.Request.Id"];
    for name in spellings {
        let response = gateway.get("/public", &[(name, "chosen-by-a-stranger")]).await;
        assert!(is_ours(&id(&response)), "{name}");
        let seen = gateway.app.last();
        assert_eq!(seen.header("x-request-id"), Some(id(&response)), "{name}");
        assert!(!seen.head.contains("stranger"), "{name}: {}", seen.head);
        let refused = gateway.get("/", &[(name, "chosen-by-a-stranger")]).await;
        assert!(!refused.text().contains("stranger"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn well_formed_request_id_of_trusted_proxy_is_kept() {
    let gateway = behind_a_proxy().await;
    let longest = "x".repeat(128);
    for given in
        ["550e8400-e29b-41d4-a716-446655440000", "Root=1-67891233-abcdef012345678912345678", &longest]
    {
        let response = gateway.get("/public", &[("X-Request-Id", given)]).await;
        assert_eq!(id(&response), given);
        assert_eq!(gateway.app.last().header("x-request-id").as_deref(), Some(given));
        assert_eq!(id(&gateway.get("/", &[("X-Request-Id", given)]).await), given);
    }
    let long = "x".repeat(129);
    for bad in ["", "a b", "a,b", "<script>", "a;b", "\"a\"", &long] {
        let response = gateway.get("/public", &[("X-Request-Id", bad)]).await;
        assert!(is_ours(&id(&response)), "{bad:?}");
        assert_eq!(gateway.app.last().header("x-request-id"), Some(id(&response)), "{bad:?}");
    }
    let twice = gateway.get("/public", &[("X-Request-Id", "one"), ("X-Request-Id", "two")]).await;
    assert!(is_ours(&id(&twice)), "which of the two was meant is not ours to guess");
    let twin = gateway.get("/public", &[("X-Request-Id", "one"), ("X_Request_Id", "two")]).await;
    assert_eq!(id(&twin), "one");
    assert!(!gateway.app.last().head.contains("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_context_passes_unchanged() {
    // W3C Trace Context: one trace has many requests, so the trace id is not the request id.
    let gateway = TestGateway::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("traceparent", trace), ("tracestate", "vendor=opaque")];
    let response = gateway.get("/public", &headers).await;
    let seen = gateway.app.last();
    assert_eq!(seen.header("traceparent").as_deref(), Some(trace));
    assert_eq!(seen.header("tracestate").as_deref(), Some("vendor=opaque"));
    assert!(!trace.contains(&id(&response)));
}
