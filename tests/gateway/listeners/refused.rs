//! F14: every refusal has a gateway response, a reason and a count, also when a library refuses.

use crate::refusals::assert_refused;
use crate::support::gateway::SOON;
use crate::support::{Client, Response, TestGateway, assert_eventually};

/// Sends raw bytes on a new connection. Returns the response and expects the connection to close.
async fn exchange(gateway: &TestGateway, bytes: &[u8]) -> Response {
    let mut client = Client::connect(gateway.address()).await;
    client.send(bytes).await;
    let method = if bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    let response = client.response(method).await;
    let response = response.unwrap_or_else(|| panic!("no answer: {}", bytes.escape_ascii()));
    client.until_closed().await;
    response
}

fn counted(code: &str) -> String {
    format!("doorward_requests_total{{class=\"4xx\",outcome=\"{code}\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn parser_refusal_is_answered_counted_and_closes_the_connection() {
    let gateway = TestGateway::start().await;
    let host = "Host: gateway.test\r\n";
    let many: String = (0..300).map(|at| format!("X-{at}: 1\r\n")).collect();
    let (mut invalid, mut ambiguous) = (0, 0);
    for (head, status, code) in [
        (format!("GET /public HTTP/1.1\r\n{host}{host}\r\n"), 400, "request_invalid"),
        (format!("GET /public HTTP/1.1\r\n{host} folded\r\n\r\n"), 400, "request_invalid"),
        (format!("GET /public HTTP/1.1\r\n{host}X : 1\r\n\r\n"), 400, "request_invalid"),
        (format!("GET /public HTTP/1.1\r\n{host}X: a\0b\r\n\r\n"), 400, "request_invalid"),
        (format!("GET /public HTTP/1.1\r\n{host}no field\r\n\r\n"), 400, "request_invalid"),
        (format!("GET http://other.test/public HTTP/1.1\r\n{host}\r\n"), 400, "request_invalid"),
        (format!("GET  /public HTTP/1.1\r\n{host}\r\n"), 400, "request_invalid"),
        (format!("GET /public?a b HTTP/1.1\r\n{host}\r\n"), 400, "request_invalid"),
        (format!("GET /public#a HTTP/1.1\r\n{host}\r\n"), 400, "request_invalid"),
        (format!("GET /public HTTP/3.0\r\n{host}\r\n"), 400, "request_invalid"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, "request_invalid"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /public HTTP/1.1\r\n".to_owned(), 400, "request_invalid"),
        ("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_owned(), 400, "request_invalid"),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{7c}\x03\x03".to_owned(), 400, "request_invalid"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), 400, "request_invalid"),
        (format!("HEAD /public HTTP/1.1\r\n{host}{host}\r\n"), 400, "request_invalid"),
        (format!("POST /public HTTP/1.1\r\n{host}Content-Length: x\r\n\r\nhello"), 400, "request_invalid"),
        (format!("GET /<a> HTTP/1.1\r\n{host}\r\n"), 400, "target_ambiguous"),
        (format!("GET /public HTTP/1.1\r\n{host}{many}\r\n"), 431, "header_too_large"),
        (
            "CONNECT gateway.test:443 HTTP/1.1\r\nHost: gateway.test:443\r\n\r\n".to_owned(),
            405,
            "method_not_allowed",
        ),
        (
            "CONNECT gateway.test:443 HTTP/1.1\r\nHost: other.test\r\n\r\n".to_owned(),
            405,
            "method_not_allowed",
        ),
    ] {
        let response = exchange(&gateway, head.as_bytes()).await;
        if head.starts_with("HEAD ") {
            assert_eq!((response.status, response.all("x-request-id").len()), (status, 1), "{head:?}");
        } else {
            assert_refused(&response, status, code);
        }
        assert_eq!(response.all("server"), [""; 0], "{head:?}");
        invalid += i32::from(code == "request_invalid");
        ambiguous += i32::from(code == "target_ambiguous");
    }
    let latin1 = exchange(&gateway, b"GET /caf\xe9 HTTP/1.1\r\nHost: gateway.test\r\n\r\n").await;
    assert_refused(&latin1, 400, "target_ambiguous");
    assert_eventually("each is counted", SOON, async || {
        gateway.metric(&counted("request_invalid")).await == f64::from(invalid)
            && gateway.metric(&counted("target_ambiguous")).await == f64::from(ambiguous + 1)
            && gateway.metric(&counted("method_not_allowed")).await == 2.0
            && gateway.metric(&counted("header_too_large")).await == 1.0
    })
    .await;
    assert_eq!(gateway.app.heads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_another_protocol_are_answered_before_the_deadline() {
    let server = "[server.limits]\nheader_deadline = \"5m\"".to_owned();
    let setup = crate::support::Setup { server, ..Default::default() };
    let gateway = TestGateway::with(setup).await;
    for (begin, detail) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "TLS"),
        (b"PRI * HTTP/2.0\r\n", "server.h2c"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "server.proxy_protocol_from"),
        (b"\r\n\r\n\0\r\nQUIT\n", "server.proxy_protocol_from"),
        (b"EHLO gateway.test\r\n", "request line"),
    ] {
        let response = exchange(&gateway, begin).await;
        assert_refused(&response, 400, "request_invalid");
        assert!(response.text().contains(detail), "{detail}: {}", response.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_query_characters_arrive_percent_encoded() {
    let gateway = TestGateway::start().await;
    for (sent, arrives) in [
        (&b"/public?q=\"a\"&x=<b>"[..], "/public?q=%22a%22&x=%3Cb%3E"),
        (b"/public?q=caf\xe9", "/public?q=caf%E9"),
        (b"/public?q={a}|b^`", "/public?q={a}|b^`"),
        (b"http://gateway.test/public?\"", "/public?%22"),
    ] {
        let mut client = Client::connect(gateway.address()).await;
        for _ in 0..2 {
            client.send(&[b"GET ", sent, b" HTTP/1.1\r\nHost: gateway.test\r\n\r\n"].concat()).await;
            let response = client.response("GET").await.expect("an answer");
            assert_eq!(response.status, 200, "{}", response.text());
            assert_eq!(gateway.app.last().target(), arrives);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_header_at_the_deadline_is_counted() {
    let server = "[server.limits]\nheader_deadline = \"1s\"".to_owned();
    let setup = crate::support::Setup { server, ..Default::default() };
    let gateway = TestGateway::with(setup).await;
    let mut slow = Client::connect(gateway.address()).await;
    slow.send(b"GET /public HTTP/1.1\r\n").await;
    slow.until_closed().await;
    let late = "doorward_requests_total{class=\"none\",outcome=\"request_timeout\"";
    assert_eventually("it is counted", SOON, async || gateway.metric(late).await == 1.0).await;
}
