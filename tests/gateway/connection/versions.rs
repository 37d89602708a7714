//! HTTP/1.0 clients and upgrades: each client gets only what its version supports.

use crate::canned;
use crate::support::gateway::ROUTES;
use crate::support::http::{Client, message};
use crate::support::{Setup, TestGateway};

/// A gateway whose app sends this response to each request and closes the connection.
async fn before(response: &'static [u8]) -> TestGateway {
    let address = canned::app(response).await;
    let routes = format!(
        "{ROUTES}[[routes]]\nname = \"odd\"\npath = \"/odd\"\naccess = \"public\"\nupstream = \"odd\"\n\
         [upstreams.odd]\nservers = [\"http://{address}\"]\n"
    );
    TestGateway::with(Setup { routes, ..Setup::default() }).await
}

fn old(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.0\r\nHost: gateway.test\r\n{fields}\r\n").into_bytes()
}

const CHUNKED: &[u8] =
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn http10_client_gets_one_response_without_chunks() {
    // RFC 9110 section 15.2, RFC 9112 section 6.1: nginx takes the first header for the final response.
    for response in [CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhi"] {
        let gateway = before(response).await;
        for keep in ["", "Connection: keep-alive\r\n", "Expect: 100-continue\r\n"] {
            let mut client = Client::connect(gateway.address()).await;
            client.send(&old("/odd", keep)).await;
            let head = client.head().await.expect("an answer");
            assert_eq!((head.status, head.header("transfer-encoding")), (200, None), "{keep:?}");
            assert_eq!(head.header("connection"), Some("close"), "{keep:?}");
            assert_eq!(client.some().await.as_deref(), Some(&b"hi"[..]), "{keep:?}");
            assert_eq!(client.some().await, None);
        }
    }
    // With a length the connection is kept.
    let gateway = before(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    let mut client = Client::connect(gateway.address()).await;
    for _ in 0..2 {
        client.send(&old("/odd", "Connection: keep-alive\r\n")).await;
        let response = client.response("GET").await.expect("an answer");
        assert_eq!((response.header("connection"), &response.body[..]), (Some("keep-alive"), &b"hi"[..]));
    }
    // An HTTP/1.1 client gets chunks.
    let gateway = before(CHUNKED).await;
    let mut client = Client::connect(gateway.address()).await;
    client.send(&message("GET", "/odd", &[], b"")).await;
    assert_eq!(client.head().await.expect("an answer").status, 103);
    assert_eq!(client.response("GET").await.expect("an answer").body, b"hi");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_expect_continue_clients_get_100_continue() {
    let gateway = TestGateway::start().await;
    for (version, expects, continues) in
        [("1.1", "100-Continue", true), ("1.1", "something", false), ("1.0", "100-continue", false)]
    {
        let mut client = Client::connect(gateway.address()).await;
        let request = format!(
            "POST /auth/login HTTP/{version}\r\nHost: gateway.test\r\nExpect: {expects}\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        client.send(request.as_bytes()).await;
        let first = client.head().await.expect("an answer").status;
        assert_eq!(first, if continues { 100 } else { 400 }, "{version} {expects}");
    }
}

const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\nRAW";

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_needs_a_requested_and_named_protocol() {
    // RFC 9110 section 7.8.
    let gateway = before(SWITCHED).await;
    let both = [("Upgrade", "websocket"), ("Connection", "keep-alive, Upgrade")];
    let mut client = Client::connect(gateway.address()).await;
    assert_eq!(client.request("GET", "/odd", &both, b"").await.status, 101);
    assert_eq!(client.some().await.as_deref(), Some(&b"RAW"[..]));
    for headers in [&both[..1], &both[1..], &[("Upgrade", "websocket"), ("Connection", "upgrades")]] {
        assert_eq!(gateway.get("/odd", headers).await.status, 502, "{headers:?}");
        assert_eq!(gateway.get("/public", headers).await.status, 200);
        assert_eq!(gateway.app.last().header("upgrade"), None, "{headers:?}");
    }
    for response in [
        &b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nRAW"[..],
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nRAW",
    ] {
        assert_eq!(before(response).await.get("/odd", &both).await.status, 502);
    }
}
