//! Bodies: unchanged in both directions, and limited.

use crate::refusals::assert_refused;
use crate::support::http::{self, Client, message};
use crate::support::{Setup, TestGateway};

const SMALL: &str = "[[routes]]\nname = \"small\"\npath = \"/small\"\naccess = \"public\"\nupstream = \"app\"\nbody_limit = \"1KiB\"\n";

async fn with_a_small_route() -> TestGateway {
    TestGateway::with(Setup { routes: Setup::default().routes + SMALL, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn large_body_arrives_unchanged() {
    let gateway = TestGateway::start().await;
    let body: Vec<u8> = (0..1_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let response = http::request(gateway.address(), "PUT", "/public", &[], &body).await;
    assert_eq!(response.status, 200);
    assert!(gateway.app.last().body == body, "what arrived is not what was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_response_arrives_unchanged() {
    let routes = "[[routes]]\nname = \"big\"\npath = \"/big\"\naccess = \"public\"\nupstream = \"app\"\n";
    let gateway = TestGateway::with(Setup { routes: routes.into(), ..Setup::default() }).await;
    let response = gateway.get("/big", &[]).await;
    assert_eq!((response.status, response.body.len()), (200, 1 << 20));
    assert!(response.body.iter().all(|&byte| byte == b'x'));
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_body_over_route_limit_is_refused_before_forwarding() {
    // T29.
    let gateway = with_a_small_route().await;
    assert_eq!(http::request(gateway.address(), "POST", "/small", &[], &[b'x'; 1024]).await.status, 200);
    let refused = http::request(gateway.address(), "POST", "/small", &[], &[b'x'; 1025]).await;
    assert_refused(&refused, 413, "body_too_large");
    assert_eq!(gateway.app.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_body_is_cut_off_at_route_limit() {
    // T29: without a declared length.
    let gateway = with_a_small_route().await;
    let mut client = Client::connect(gateway.address()).await;
    client.send(&message("POST", "/small", &[("Transfer-Encoding", "chunked")], b"")).await;
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    client.send(chunk.repeat(3).as_bytes()).await;
    assert_refused(&client.response("POST").await.expect("an answer"), 413, "body_too_large");
    client.until_closed().await;
    assert_eq!(gateway.app.seen().len(), 0, "the app never had a whole request");
    let mut client = Client::connect(gateway.address()).await;
    client.send(&message("POST", "/small", &[("Transfer-Encoding", "chunked")], b"")).await;
    client.send(format!("{}0\r\n\r\n", chunk.repeat(2)).as_bytes()).await;
    assert_eq!(client.response("POST").await.expect("an answer").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_request_gets_no_100_continue() {
    // RFC 9110 section 10.1.1.
    let gateway = TestGateway::start().await;
    let mut client = Client::connect(gateway.address()).await;
    let headers = [("Expect", "100-continue"), ("Content-Length", "1000000")];
    client.send(&message("POST", "/", &headers, b"")).await;
    assert_eq!(client.head().await.expect("an answer").status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_reaches_a_client_still_sending() {
    // RFC 9112 section 9.6: closing at once would reset the connection and lose the response.
    let gateway = with_a_small_route().await;
    let body = vec![b'x'; 4 << 20];
    for (path, status) in [("/", 401), ("/small", 413), ("/auth/login", 415)] {
        for round in 0..5 {
            let mut client = Client::connect(gateway.address()).await;
            client.try_send(&message("POST", path, &[], &body)).await;
            let response = client.response("POST").await;
            assert_eq!((round, response.map(|response| response.status)), (round, Some(status)), "{path}");
        }
    }
}
