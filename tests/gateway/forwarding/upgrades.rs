//! T22, T30: upgrades and streams.

use crate::refusals::assert_refused;
use crate::support::http::message;
use crate::support::{Client, TestGateway};

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[tokio::test(flavor = "multi_thread")]
async fn event_stream_carries_identity_and_client_close_reaches_app() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let mut client = Client::connect(gateway.address()).await;
    client
        .send(&message("GET", "/events", &[("Authorization", &bearer), ("X-Auth-User", "root")], b""))
        .await;
    assert_eq!(client.head().await.expect("an answer").status, 200);
    assert_eq!(gateway.app.last().header("x-auth-user").as_deref(), Some("ada"));
    let mut events = Vec::new();
    while events.windows(10).filter(|ten| ten == b"data: tick").count() < 3 {
        events.extend(client.some().await.expect("events"));
    }
    client.hang_up();
    gateway.app.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_needs_a_credential() {
    let gateway = TestGateway::start().await;
    let mut client = Client::connect(gateway.address()).await;
    assert_refused(&client.request("GET", "/ws", &UPGRADE, b"").await, 401, "token_missing");
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_after_a_declined_upgrade_is_a_new_request() {
    // T22: an app that declines (here 200) leaves no tunnel that could hide a second request.
    let gateway = TestGateway::start().await;
    for upgrade in ["websocket", "h2c", "WebSocket", "websocket, h2c", "tls/1.3"] {
        let mut client = Client::connect(gateway.address()).await;
        let first = message("GET", "/public", &[("Connection", "Upgrade"), ("Upgrade", upgrade)], b"");
        client.send(&[first, message("GET", "/admin/hidden", &[], b"")].concat()).await;
        assert_eq!(client.response("GET").await.expect("an answer").status, 200, "{upgrade}");
        if let Some(response) = client.response("GET").await {
            assert_refused(&response, 401, "token_missing");
        }
    }
    assert!(gateway.app.seen().iter().all(|seen| seen.target() == "/public" && !seen.head.contains("h2c")));
}
