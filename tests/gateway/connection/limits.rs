//! Connection limits and header timeouts.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::gateway::{ROUTES, SOON};
use crate::support::{Client, Setup, TestGateway, assert_eventually, http, measured};

async fn with(server: &str) -> TestGateway {
    let more = |name: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\naccess = \"public\"\nupstream = \"app\"\n"
        )
    };
    let routes = format!("{ROUTES}{}{}", more("hold"), more("download"));
    TestGateway::with(Setup { server: server.to_owned(), routes, ..Setup::default() }).await
}

/// Opens connections that have served one request and stay open.
async fn served(gateway: &TestGateway, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(gateway.address()).await;
        assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200);
        clients.push(client);
    }
    clients
}

/// Returns true if a new connection is served.
async fn is_served(gateway: &TestGateway) -> bool {
    let mut client = Client::connect(gateway.address()).await;
    // The peer may have closed already.
    client.try_send(b"GET /public HTTP/1.1\r\nHost: gateway.test\r\n\r\n").await
        && client.response("GET").await.is_some_and(|response| response.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited_per_address_and_released() {
    let gateway = with("[server.limits]\nconnections_per_ip = 3").await;
    let mut clients = served(&gateway, 3).await;
    assert!(!is_served(&gateway).await);
    let refused = r#"doorward_connections_refused_total{limit="address"}"#;
    assert_eq!(gateway.metric(refused).await, 1.0);
    assert_eq!(gateway.metric("doorward_connections_open").await, 3.0);
    for client in &mut clients {
        assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200, "those there stay");
    }
    clients.pop().expect("three").hang_up();
    assert_eventually("its place is given back", SOON, async || is_served(&gateway).await).await;
    drop(clients);
    assert_eventually("all are", SOON, async || gateway.metric("doorward_connections_open").await == 0.0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oldest_idle_connection_is_evicted_at_the_limit() {
    let gateway = with("[server.limits]\nconnections = 3").await;
    let mut clients = served(&gateway, 3).await;
    // The first connection is no longer the oldest idle one.
    assert_eq!(clients[0].request("GET", "/public", &[], b"").await.status, 200);
    assert!(is_served(&gateway).await, "somebody new");
    tokio::time::timeout(SOON, clients.remove(1).until_closed()).await.expect("it has waited longest");
    for client in &mut clients {
        assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200, "those there stay");
    }
    assert_eq!(gateway.metric("doorward_connections_evicted_total").await, 1.0);
    assert_eq!(gateway.metric(r#"doorward_connections_refused_total{limit="total"}"#).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn active_connection_is_never_evicted() {
    let gateway = with("[server.limits]\nconnections = 3").await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(gateway.address()).await;
        client.send(&http::message("GET", "/hold", &[], b"")).await;
        held.push(client);
    }
    let mut upload = Client::connect(gateway.address()).await;
    upload.send(b"POST /public HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 5\r\n\r\nhe").await;
    assert_eventually("three requests", SOON, async || {
        gateway.metric("doorward_requests_in_flight").await == 3.0
    })
    .await;
    assert!(!is_served(&gateway).await, "there is no room");
    assert_eq!(gateway.metric(r#"doorward_connections_refused_total{limit="total"}"#).await, 1.0);
    upload.send(b"llo").await;
    assert_eq!(upload.response("POST").await.expect("an answer").status, 200);
    assert_eventually("it makes room", SOON, async || is_served(&gateway).await).await;
    gateway.app.release(2);
    for client in &mut held {
        assert_eq!(client.response("GET").await.expect("an answer").status, 200);
    }
    assert_eq!(gateway.metric("doorward_connections_evicted_total").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn line_ends_before_a_header_do_not_extend_limits() {
    // RFC 9112 section 2.2: some clients send an extra line end after a body.
    let gateway = with("keepalive_timeout = \"2s\"\n[server.limits]\nheader_deadline = \"1s\"").await;
    let mut client = Client::connect(gateway.address()).await;
    for before in ["", "\r\n", "\n\n", "\r\n\r\n\r\n"] {
        client.send(before.as_bytes()).await;
        assert_eq!(client.request("POST", "/public", &[], b"x").await.status, 200, "{before:?}");
    }
    // A line end alone does not start a header, which would have to end within the deadline.
    client.send(b"\r\n").await;
    let idle = Instant::now();
    client.until_closed().await;
    assert!(idle.elapsed() > Duration::from_millis(1900) && idle.elapsed() < SOON);

    // The header after them has the same size limit: Pingora by itself gives up one byte earlier.
    let head = "\r\n\r\nGET /public HTTP/1.1\r\nHost: gateway.test\r\nX-Long: ";
    let long = format!("{head}{}\r\n\r\n", "x".repeat((1 << 20) + 1 - head.len() - 4));
    let mut client = Client::connect(gateway.address()).await;
    client.send(long.as_bytes()).await;
    assert_eq!(client.response("GET").await.expect("an answer").code(), "header_too_large");
}

/// Sends a header byte by byte. Returns the time until the gateway closes the connection.
async fn trickle(mut stream: TcpStream) -> Duration {
    let begun = Instant::now();
    let (mut from, mut to) = stream.split();
    let reading = async {
        let mut nothing = [0; 1];
        // EOF and reset both count as closed.
        let _ = tokio::io::AsyncReadExt::read(&mut from, &mut nothing).await;
    };
    let writing = async {
        let header =
            "GET /public HTTP/1.1\r\nHost: gateway.test\r\nX-Slow: ".bytes().chain(std::iter::repeat(b'x'));
        for byte in header {
            if to.write_all(&[byte]).await.is_err() {
                return;
            }
            // The slow pace itself.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! { () = reading => {} () = writing => {} }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_header_is_cut_on_new_and_reused_connections() {
    let gateway = with("keepalive_timeout = \"1s\"\n[server.limits]\nheader_deadline = \"1s\"").await;
    let fresh = async {
        let stream = TcpStream::connect(gateway.address()).await.expect("the gateway listens");
        trickle(stream).await
    };
    let kept = async {
        let client = served(&gateway, 1).await.pop().expect("one");
        trickle(client.into_stream()).await
    };
    let (fresh, kept) = tokio::join!(fresh, kept);
    measured(format_args!("a slow header is cut after {fresh:?}, on a kept connection {kept:?}"));
    for took in [fresh, kept] {
        assert!(took > Duration::from_millis(900) && took < SOON, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connection_is_closed_after_keepalive() {
    let gateway = with("keepalive_timeout = \"1s\"\n[server.limits]\nheader_deadline = \"5m\"").await;
    let mut client = served(&gateway, 1).await.pop().expect("one");
    let idle = Instant::now();
    client.until_closed().await;
    assert!(idle.elapsed() > Duration::from_millis(900) && idle.elapsed() < SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_http1_body_is_cut_whatever_its_content_type() {
    // gRPC is HTTP/2.
    let gateway = with("[server.limits]\nheader_deadline = \"1s\"\nmin_body_rate = \"100B\"").await;
    let mut slow = Client::connect(gateway.address()).await;
    let grpc = [("Content-Type", "application/grpc"), ("Content-Length", "1000")];
    slow.send(&http::message("POST", "/public/slow", &grpc, b"")).await;
    // A silent client gets no response either.
    slow.until_closed().await;
    assert_eq!(gateway.metric(r#"doorward_requests_cut_total{cause="slow"}"#).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_body_gets_408_unless_the_app_is_slow() {
    let gateway = with("[server.limits]\nheader_deadline = \"1s\"\nmin_body_rate = \"100B\"").await;
    let mut slow = Client::connect(gateway.address()).await;
    slow.send(b"POST /public/slow HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000\r\n\r\n").await;
    let begun = Instant::now();
    let (mut from, mut to) = tokio::io::split(slow.into_stream());
    let dribbling = tokio::spawn(async move {
        while to.write_all(b"x").await.is_ok() {
            // The slow pace itself.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let mut received = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut from, &mut received).await;
    dribbling.abort();
    let received = String::from_utf8_lossy(&received);
    assert!(received.starts_with("HTTP/1.1 408 ") && received.contains("\"request_timeout\""), "{received}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(
        gateway.metric(r#"doorward_requests_cut_total{cause="slow"}"#).await,
        0.0,
        "it ended by itself"
    );

    // The body is complete; only the app is slow.
    let mut held = Client::connect(gateway.address()).await;
    held.send(&http::message("POST", "/hold", &[], b"x")).await;
    let waited = Instant::now();
    // Longer than the limit for a slow body.
    tokio::time::sleep(Duration::from_secs(4)).await;
    gateway.app.release(1);
    assert_eq!(held.response("POST").await.expect("an answer").status, 200, "after {:?}", waited.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn client_not_reading_its_response_is_disconnected() {
    let gateway = with("[server.limits]\nsend_timeout = \"1s\"").await;
    let mut client = Client::connect(gateway.address()).await;
    client.send(&http::message("GET", "/download", &[], b"")).await;
    let begun = Instant::now();
    gateway.app.until_closed().await;
    measured(format_args!("an answer that is not taken is given up after {:?}", begun.elapsed()));
    assert_eventually("nothing is kept", SOON, async || {
        gateway.metric("doorward_requests_in_flight").await == 0.0
    })
    .await;
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_header_fields_are_refused() {
    let gateway = with("[server.limits]\nheader_fields = 12").await;
    let fields: Vec<(String, String)> = (0..12).map(|at| (format!("X-{at}"), "y".to_owned())).collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let response = gateway.get("/public", &fields).await;
    assert_eq!((response.status, response.code().as_str()), (431, "header_too_large"));
    // Host is the twelfth.
    assert_eq!(gateway.get("/public", &fields[..11]).await.status, 200);
}
