//! Data that a client sends before it has its response does not affect the request in flight.

use crate::support::gateway::{ROUTES, SOON};
use crate::support::http::{Client, message};
use crate::support::{FlakyServer, Setup, TestGateway, assert_eventually};

/// A gateway with a slow app and an unreachable one.
async fn gateway(dead: &FlakyServer) -> TestGateway {
    let routes = format!(
        "{ROUTES}[[routes]]\nname = \"hold\"\npath = \"/hold\"\naccess = \"public\"\nupstream = \"app\"\n\
         [[routes]]\nname = \"gone\"\npath = \"/gone\"\naccess = \"public\"\nupstream = \"gone\"\n\
         [upstreams.gone]\nservers = [\"http://{}\"]\n",
        dead.address()
    );
    TestGateway::with(Setup { routes, ..Setup::default() }).await
}

/// Sends a request, sends more once the app has the request, then lets the app respond.
async fn sent_meanwhile(gateway: &TestGateway, request: &[u8], more: &[u8]) -> Client {
    let mut client = Client::connect(gateway.address()).await;
    let before = gateway.app.seen().len();
    client.send(request).await;
    assert_eventually("the app has it", SOON, async || gateway.app.seen().len() > before).await;
    client.send(more).await;
    gateway.app.release(1);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn request_in_flight_is_answered_despite_pipelined_data() {
    let dead = FlakyServer::asleep();
    let gateway = gateway(&dead).await;
    let next = message("GET", "/public/next", &[], b"");
    let chunked =
        [message("POST", "/hold", &[("Transfer-Encoding", "chunked")], b""), b"1\r\nx\r\n0\r\n\r\n".to_vec()]
            .concat();
    for request in [
        message("POST", "/hold", &[], b"x"),
        message("GET", "/hold", &[], b""),
        chunked,
        message("POST", "/hold", &[], &[b'x'; 100_000]),
    ] {
        for more in [&next[..], b"GET", b"\0", b"\r\n", &b"x".repeat(100_000)] {
            let mut client = sent_meanwhile(&gateway, &request, more).await;
            let response = client.response("POST").await.expect("an answer");
            let (shown, sent) = (request[..20].escape_ascii(), more[..more.len().min(20)].escape_ascii());
            assert_eq!(response.status, 200, "{shown} and {sent}: {}", response.text());
            assert!(response.text().contains(" /hold "), "{shown} and {sent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_line_after_a_body_is_ignored() {
    // RFC 9112 section 2.2.
    let dead = FlakyServer::asleep();
    let gateway = gateway(&dead).await;
    let mut client = Client::connect(gateway.address()).await;
    for at in 0..3 {
        client.send(&message("POST", &format!("/hold/{at}"), &[], b"x")).await;
        client.send(b"\r\n").await;
        gateway.app.release(1);
        let response = client.response("POST").await.expect("an answer");
        assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")));
        assert!(response.text().contains(&format!(" /hold/{at} ")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn body_bytes_are_never_the_next_request_at_any_boundary() {
    // RFC 9112 section 9.3.2: a pipelining client resends unanswered requests.
    let dead = FlakyServer::asleep();
    let gateway = gateway(&dead).await;
    let next = message("GET", "/public/next", &[], b"");
    // A header is read in steps of 256 bytes, later of 1,024.
    for length in [100, 240, 256, 257, 1000, 1279, 1280, 1281, 2303, 2304, 3000] {
        for (method, body) in [("GET", &b""[..]), ("POST", b"a body"), ("POST", &[b'x'; 5000])] {
            let bare = message(method, "/public/first", &[("X-Pad", "")], body).len() - body.len();
            let pad = "x".repeat(length - bare.min(length));
            let first = message(method, "/public/first", &[("X-Pad", &pad)], body);
            let mut client = Client::connect(gateway.address()).await;
            client.send(&[&first[..], &next, &next].concat()).await;
            let response = client.response(method).await.expect("an answer");
            assert_eq!(
                (response.status, response.header("connection")),
                (200, Some("close")),
                "{length} {method}"
            );
            assert!(response.text().ends_with(&format!("{} bytes of body", body.len())));
            assert!(client.response("GET").await.is_none(), "{length} {method}");
        }
    }
    assert!(gateway.app.seen().iter().all(|seen| seen.target() == "/public/first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn last_response_of_a_connection_has_connection_close() {
    let dead = FlakyServer::asleep();
    let gateway = gateway(&dead).await;
    for (request, status) in [
        (message("GET", "/gone", &[], b""), 502),
        (message("POST", "/gone", &[], b"x"), 502),
        (message("GET", "/public", &[("Content-Length", "00")], b""), 400),
        (message("GET", "/public", &[("Host", "a/b")], b""), 400),
    ] {
        let mut client = Client::connect(gateway.address()).await;
        client.send(&request).await;
        let response = client.response("GET").await.expect("an answer");
        assert_eq!((response.status, response.header("connection")), (status, Some("close")));
        client.until_closed().await;
    }
}
