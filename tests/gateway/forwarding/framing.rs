//! T15, T16, T21, T23: request boundaries are never ambiguous.

use crate::refusals::assert_refused;
use crate::support::http::{Client, message};
use crate::support::{Response, Setup, TestGateway};

/// A request hidden in a body. Its route is public, so only the request count reveals it.
const HIDDEN: &str = "GET /public/hidden HTTP/1.1\r\nHost: gateway.test\r\n\r\n";

/// Sends raw bytes on a new connection and returns all responses.
async fn exchange(gateway: &TestGateway, bytes: &str) -> Vec<Response> {
    let mut client = Client::connect(gateway.address()).await;
    client.send(bytes.as_bytes()).await;
    client.shut().await;
    let mut responses = Vec::new();
    while let Some(response) = client.response("GET").await {
        responses.push(response);
    }
    responses
}

#[tokio::test(flavor = "multi_thread")]
async fn request_needs_exactly_one_valid_host() {
    // T16: RFC 9112 section 3.2.
    let gateway = TestGateway::start().await;
    for head in [
        "GET /public HTTP/1.1\r\n",
        "GET /public HTTP/1.1\r\nHost: gateway.test\r\nHost: gateway.test\r\n",
        "GET /public HTTP/1.1\r\nHost: gateway.test\r\nHost: other.test\r\n",
        "GET /public HTTP/1.1\r\nHost:\r\n",
        "GET /public HTTP/1.1\r\nHost: gateway.test:80@evil.test\r\n",
        "GET /public HTTP/1.1\r\nHost: ada@gateway.test\r\n",
        "GET /public HTTP/1.1\r\nHost: gateway.test:x\r\n",
        "GET /public HTTP/1.1\r\nHost: gateway.test:80:80\r\n",
        "GET /public HTTP/1.1\r\nHost: gateway.test, other.test\r\n",
        "GET /public HTTP/1.1\r\nHost: gateway.test/x\r\n",
        "GET /public HTTP/1.1\r\nHost: gateway.test?x\r\n",
        "GET /public HTTP/1.1\r\nHost: gateway test\r\n",
        "GET /public HTTP/1.1\r\nHost: [::1\r\n",
        "GET /public HTTP/1.1\r\nHost: [::g]\r\n",
        "GET /public HTTP/1.1\r\nHost: .\r\n",
        "GET /public HTTP/1.1\r\nHost: caf\u{e9}.test\r\n",
        "GET /public HTTP/1.1\r\nHost : gateway.test\r\n",
        "GET /public HTTP/1.1\r\n Host: gateway.test\r\n",
        "GET http://gateway.test/public HTTP/1.1\r\n",
    ] {
        let responses = exchange(&gateway, &format!("{head}\r\n")).await;
        assert_eq!(responses.iter().map(|response| response.status).collect::<Vec<_>>(), [400], "{head}");
    }
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_body_length_is_refused_and_closes_the_connection() {
    // T21: RFC 9112 sections 6.1 and 6.3.
    let gateway = TestGateway::start().await;
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "content-length: 5\r\ntransfer-encoding: Chunked",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 05",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 5;",
        "Content-Length: ",
        "Content-Length: 00",
        "Content-Length: 05",
        "Content-Length: 99999999999999999999",
        "Content-Length : 5",
        "Content-Length: 5\r\n\u{b}Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
        "Transfer-Encoding:\r\n chunked",
    ] {
        let request =
            format!("POST /public HTTP/1.1\r\nHost: gateway.test\r\n{framing}\r\n\r\n0\r\n\r\n{HIDDEN}");
        let responses = exchange(&gateway, &request).await;
        assert_eq!(responses.iter().map(|response| response.status).collect::<Vec<_>>(), [400], "{framing}");
    }
    let old = format!(
        "POST /public HTTP/1.0\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
    );
    assert_eq!(
        exchange(&gateway, &old).await.iter().map(|response| response.status).collect::<Vec<_>>(),
        [400]
    );
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_header_cannot_remove_body_framing() {
    // T21, T03: Connection names fields that a proxy removes; a body without its length would become the next request.
    let gateway = TestGateway::start().await;
    for (name, framing, body) in [
        ("content-length", format!("Content-Length: {}", HIDDEN.len()), HIDDEN.to_owned()),
        (
            "transfer-encoding",
            "Transfer-Encoding: chunked".into(),
            format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len()),
        ),
    ] {
        let request = format!(
            "POST /public HTTP/1.1\r\nHost: gateway.test\r\nConnection: {name}\r\n{framing}\r\n\r\n{body}"
        );
        let mut client = Client::connect(gateway.address()).await;
        client.send(request.as_bytes()).await;
        assert!(matches!(client.response("POST").await.expect("an answer").status, 200 | 400), "{name}");
        // One more request would expose bytes left on an upstream connection.
        assert_eq!(gateway.get("/public", &[]).await.status, 200);
        assert!(gateway.app.seen().iter().all(|seen| seen.target() == "/public"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn body_of_refused_request_is_never_the_next_request() {
    // T23: an early response while the body is still arriving.
    let gateway = TestGateway::start().await;
    for (path, status) in [
        ("/", 401),
        ("/admin", 401),
        ("/nowhere/..%2f", 400),
        ("/auth/nowhere", 404),
        ("/auth/me", 405),
        ("/auth/login", 415),
    ] {
        for chunked in [false, true] {
            let mut client = Client::connect(gateway.address()).await;
            let request = if chunked {
                let head = message("POST", path, &[("Transfer-Encoding", "chunked")], b"");
                [head, format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len()).into_bytes()].concat()
            } else {
                message("POST", path, &[], HIDDEN.as_bytes())
            };
            client.send(&request).await;
            assert_eq!(client.response("POST").await.expect("an answer").status, status, "{path}");
            // Whether the body was drained or the connection closed: the next response belongs to the next request.
            client.try_send(&message("GET", "/auth/next", &[], b"")).await;
            if let Some(next) = client.response("GET").await {
                assert_refused(&next, 404, "route_unknown");
            }
        }
    }
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_is_kept_after_a_refusal() {
    let gateway = TestGateway::start().await;
    let mut client = Client::connect(gateway.address()).await;
    for _ in 0..3 {
        assert_refused(&client.request("GET", "/", &[], b"").await, 401, "token_missing");
        assert_refused(&client.request("DELETE", "/auth/me", &[], b"").await, 405, "method_not_allowed");
        assert_eq!(client.request("POST", "/public", &[], b"0123456789").await.status, 200);
    }
    assert_eq!(gateway.app.seen().len(), 3);
    // T23: with an unread body the response has `Connection: close`, and the connection is closed.
    let refused = client.request("POST", "/", &[], b"0123456789").await;
    assert_refused(&refused, 401, "token_missing");
    assert_eq!(refused.header("connection"), Some("close"));
    client.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pipelined_request_is_authorized_separately() {
    // T22, T23: a request that follows in the same bytes does not share the credential.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["admin"]).await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let good = message("GET", "/admin/first", &[("Authorization", &bearer)], b"");
    let upgrade = message("GET", "/public", &[("Connection", "upgrade"), ("Upgrade", "websocket")], b"");
    let second = message("GET", "/admin/second", &[("X-Auth-User", "ada")], b"");
    for first in [good, upgrade] {
        let mut client = Client::connect(gateway.address()).await;
        client.send(&[first, second.clone()].concat()).await;
        assert_eq!(client.response("GET").await.expect("an answer").status, 200);
        // It is authorized separately, or the connection is closed before it is read.
        if let Some(response) = client.response("GET").await {
            assert_refused(&response, 401, "token_missing");
        }
    }
    assert!(gateway.app.seen().iter().all(|seen| !seen.target().ends_with("second")));
}

#[tokio::test(flavor = "multi_thread")]
async fn header_section_beyond_the_limit_is_refused() {
    // T27.
    let gateway = TestGateway::with(Setup {
        server: "[server.limits]\nheader_bytes = \"2KiB\"".into(),
        ..Setup::default()
    })
    .await;
    let (fits, over) = ("x".repeat(1500), "x".repeat(2048));
    assert_eq!(gateway.get("/public", &[("X-Long", &fits)]).await.status, 200);
    assert_refused(&gateway.get("/public", &[("X-Long", &over)]).await, 431, "header_too_large");
    let many: Vec<(String, &str)> = (0..200).map(|at| (format!("X-Field-{at}"), "value")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_refused(&gateway.get("/auth/me", &many).await, 431, "header_too_large");
    assert_eq!(gateway.app.seen().len(), 1);
}
