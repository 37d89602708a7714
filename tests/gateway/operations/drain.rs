//! Graceful shutdown: requests in flight complete, then the gateway stops at once.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::gateway::{SOON, Tokens};
use crate::support::http;
use crate::support::{Client, Faults, Op, Setup, Socket, TestGateway, assert_eventually, measured};

async fn gateway(server: &str) -> (TestGateway, Tokens) {
    let gateway = TestGateway::with(Setup { server: server.to_owned(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    (gateway, tokens)
}

/// Starts a request that the app holds.
async fn held(gateway: &TestGateway, tokens: &Tokens) -> Client {
    let before = gateway.app.heads();
    let client = Client::asking(gateway.address(), "/hold", &tokens.access).await;
    assert_eventually("the app is asked", SOON, async || gateway.app.heads() > before).await;
    client
}

async fn refuses_connections(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_ends_with_the_last_request() {
    let (mut gateway, tokens) = gateway("").await;
    let (mut first, mut second) = (held(&gateway, &tokens).await, held(&gateway, &tokens).await);
    let draining = tokio::spawn(gateway.running().drain());
    assert_eventually("new connections are refused", SOON, async || {
        refuses_connections(gateway.address()).await
    })
    .await;
    let probe = gateway.probe("/readyz").await;
    assert_eq!((probe.status, probe.text().starts_with("draining: ")), (503, true), "{}", probe.text());
    assert_eq!(gateway.probe("/livez").await.status, 200);
    gateway.app.release(1);
    let finished = async {
        tokio::select! {
            response = first.response("GET") => response,
            response = second.response("GET") => response,
        }
    };
    assert_eq!(finished.await.expect("an answer").status, 200);
    assert!(!draining.is_finished(), "one is left");
    gateway.app.release(1);
    let released = Instant::now();
    draining.await.expect("a drain");
    measured(format_args!("last request ended to drain ended {:?}", released.elapsed()));
    assert!(released.elapsed() < SOON / 2, "{:?}", released.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_complete_during_a_drain() {
    let (mut gateway, tokens) = gateway("").await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(held(&gateway, &tokens).await);
    }
    let draining = tokio::spawn(gateway.running().drain());
    assert_eventually("it drains", SOON, async || refuses_connections(gateway.address()).await).await;
    gateway.app.release(5);
    for client in &mut clients {
        let response = client.response("GET").await.expect("an answer");
        assert_eq!(response.status, 200);
        assert!(response.text().ends_with("0 bytes of body"), "whole");
        client.until_closed().await;
    }
    draining.await.expect("a drain");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_fails_before_the_listener_closes() {
    let (mut gateway, tokens) = gateway(r#"lameduck = "2s""#).await;
    assert_eq!(gateway.probe("/readyz").await.status, 200);
    let begun = Instant::now();
    let draining = tokio::spawn(gateway.running().drain());
    assert_eventually("not ready", SOON, async || gateway.probe("/readyz").await.status == 503).await;
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200, "still served");
    assert!(begun.elapsed() < Duration::from_secs(2), "that was the lame duck");
    draining.await.expect("a drain");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(refuses_connections(gateway.address()).await);
    assert!(refuses_connections(gateway.admin()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_requests_are_cut_at_the_drain_timeout() {
    let (mut gateway, tokens) = gateway(r#"drain_timeout = "300ms""#).await;
    let mut client = held(&gateway, &tokens).await;
    let mut socket = Socket::open(gateway.address(), "/ws", &tokens.access).await;
    socket.echo("hello").await;
    let begun = Instant::now();
    let draining = tokio::spawn(gateway.running().drain());
    assert!(client.response("GET").await.is_none(), "cut");
    socket.until_closed().await;
    draining.await.expect("a drain");
    let took = begun.elapsed();
    measured(format_args!("a drain with a timeout of 300 ms took {took:?}"));
    assert!(took >= Duration::from_millis(300) && took < SOON / 2, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_delay_a_drain() {
    let (mut gateway, _) = gateway("").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(gateway.address()).await;
        assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200);
        clients.push(client);
    }
    // A connection that has sent nothing yet.
    clients.push(Client::connect(gateway.address()).await);
    let begun = Instant::now();
    gateway.drain().await;
    measured(format_args!("a drain with nothing in flight took {:?}", begun.elapsed()));
    for client in &mut clients[..3] {
        client.until_closed().await;
    }
    assert!(begun.elapsed() < SOON / 2, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn login_in_flight_completes_during_a_drain() {
    let faults = Faults::new();
    let mut gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let gate = faults.hold_before(Op::OpenSession);
    let body = serde_json::json!({ "username": "ada", "password": crate::support::PASSWORD }).to_string();
    let address = gateway.address();
    let login = tokio::spawn(async move {
        let headers = [("Content-Type", "application/json")];
        http::request(address, "POST", "/auth/login", &headers, body.as_bytes()).await
    });
    gate.until_reached().await;
    let draining = tokio::spawn(gateway.running().drain());
    assert_eventually("it drains", SOON, async || refuses_connections(address).await).await;
    gate.open();
    Tokens::of(&login.await.expect("an answer"));
    draining.await.expect("a drain");
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_stop_checkpoints_the_vault_into_one_file() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    gateway.login("ada").await;
    let folder = gateway.stop().await;
    let beside = std::fs::metadata(folder.path().join("doorward.db-wal")).map_or(0, |file| file.len());
    assert_eq!(beside, 0, "what is copied alone must be whole");
}
