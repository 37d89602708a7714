//! Slow, dead and failing apps.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use crate::refusals::assert_refused;
use crate::support::http::{self, Client, message};
use crate::support::{Setup, TestApp, TestGateway};

/// Public route `/` to these servers.
fn open_route(servers: &[String], more: &str) -> Setup {
    let servers = servers.iter().map(|server| format!("\"http://{server}\"")).collect::<Vec<_>>().join(", ");
    let routes = format!(
        "[upstreams.other]\nservers = [{servers}]\n[[routes]]\nname = \"open\"\npath = \"/\"\naccess = \"public\"\nupstream = \"other\"\n{more}"
    );
    Setup { routes, ..Setup::default() }
}

/// A reserved address without a listener.
fn dead() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = socket.local_addr().expect("an address").to_string();
    (socket, address)
}

/// An app that sends the n-th response to each connection's n-th request, then closes it.
async fn scripted(responses: &'static [&'static str]) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut chunk = [0; 1024];
                for response in responses {
                    if stream.read(&mut chunk).await.unwrap_or(0) == 0
                        || stream.write_all(response.as_bytes()).await.is_err()
                    {
                        return;
                    }
                }
                // Closes after the next request.
                let _ = stream.read(&mut chunk).await;
            });
        }
    });
    (address, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_app_is_bad_gateway() {
    let (_reserved, address) = dead();
    let gateway = TestGateway::with(open_route(std::slice::from_ref(&address), "")).await;
    for method in ["GET", "POST"] {
        let refused = http::request(gateway.address(), method, "/", &[], b"").await;
        assert_refused(&refused, 502, "upstream_unavailable");
        assert!(!refused.text().contains(&address), "the app's address is nobody's business");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_server_is_skipped_for_every_method() {
    let (_reserved, address) = dead();
    let live = TestApp::start().await;
    let gateway = TestGateway::with(open_route(&[address, live.address().to_string()], "")).await;
    for at in 0..10 {
        let response =
            http::request(gateway.address(), if at % 2 == 0 { "GET" } else { "POST" }, "/", &[], b"body")
                .await;
        assert_eq!(response.status, 200);
    }
    assert_eq!(live.seen().len(), 10);
    assert!(live.seen().iter().all(|seen| seen.body == b"body"));
}

#[tokio::test(flavor = "multi_thread")]
async fn live_servers_are_balanced_round_robin() {
    let apps = [TestApp::start().await, TestApp::start().await];
    let gateway =
        TestGateway::with(open_route(&apps.each_ref().map(|app| app.address().to_string()), "")).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/", &[]).await.status, 200);
    }
    assert_eq!(apps.each_ref().map(|app| app.seen().len()), [5, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_app_is_gateway_timeout() {
    let app = TestApp::start().await;
    let gateway = TestGateway::with(open_route(&[app.address().to_string()], "timeout = \"1s\"\n")).await;
    for (method, body) in [("GET", &b""[..]), ("POST", b"once")] {
        let refused = http::request(gateway.address(), method, "/hold", &[], body).await;
        assert_refused(&refused, 504, "upstream_timeout");
    }
    assert_eq!(app.seen().len(), 2, "nobody is asked twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_upstream_connection_is_retried() {
    // RFC 9112 section 9.3.1: an idle connection may close at any time; idempotent requests are retried.
    let (address, serving) = scripted(&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]).await;
    let gateway = TestGateway::with(open_route(&[address], "")).await;
    for at in 0..6 {
        assert_eq!(gateway.get("/", &[]).await.status, 200, "request {at}");
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_app_response_is_bad_gateway() {
    // T24.
    for response in [
        "",
        "hello\r\n\r\n",
        "HTTP/1.1 banana\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\0c\r\n\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut chunk = [0; 1024];
                let _ = stream.read(&mut chunk).await;
                let _ = stream.write_all(response.as_bytes()).await;
            }
        });
        let gateway = TestGateway::with(open_route(&[address], "")).await;
        let refused = gateway.get("/", &[]).await;
        assert_eq!((response, refused.status), (response, 502));
        assert_refused(&refused, 502, "upstream_unavailable");
        serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_response_is_not_passed_on_as_complete() {
    let (address, serving) = scripted(&["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", ""]).await;
    let gateway = TestGateway::with(open_route(&[address], "timeout = \"1s\"\n")).await;
    let mut client = Client::connect(gateway.address()).await;
    client.send(&message("GET", "/", &[], b"")).await;
    assert!(client.response("GET").await.is_none(), "the connection is closed before the hundredth byte");
    serving.abort();
}
