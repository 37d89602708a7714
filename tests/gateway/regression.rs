//! Findings of attacks on doorward, each first written as a failing test.

use serde_json::json;

use crate::support::gateway::SOON;
use crate::support::http::{Client, message};
use crate::support::{PASSWORD, Setup, Socket, TestGateway, assert_eventually};

#[tokio::test(flavor = "multi_thread")]
async fn vault_replaced_at_runtime_is_not_taken_as_current() {
    // The gateway would continue with a file that no process writes to: an acknowledged revocation would never reach
    // it.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let (vault, copy) = (gateway.folder.path().join("doorward.db"), gateway.folder.path().join("copy.db"));
    gateway.vault.audit.backup(&copy).await.expect("a backup");
    std::fs::rename(&copy, &vault).expect("a rename");
    let undecided = async || gateway.call("GET", "/", &tokens.access).await.status == 503;
    assert_eventually("nothing is decided by the old file", SOON, undecided).await;
    let ready = crate::support::http::request(gateway.admin(), "GET", "/readyz", &[], b"").await;
    assert_eq!(ready.status, 503);
    let login = gateway.post("/auth/login", None, &json!({ "username": "ada", "password": PASSWORD })).await;
    assert_eq!(login.code(), "store_unavailable", "what is written there would be lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_is_closed_when_its_roles_are_removed() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["admin"]).await;
    let tokens = gateway.login("ada").await;
    let mut socket = Socket::open(gateway.address(), "/ws", &tokens.access).await;
    gateway.command(&["user", "roles", "ada"]).await;
    socket.until_closed().await;
    assert_eq!(gateway.call("GET", "/admin", &tokens.access).await.code(), "token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_after_a_chunked_request() {
    // A front proxy that accepts a bare LF as the end of the chunk line reads the second request as a body.
    let gateway = TestGateway::start().await;
    let mut client = Client::connect(gateway.address()).await;
    client.send(b"POST /public/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a\nxx\r\n2d\r\n0\r\n\r\n").await;
    assert!(client.response("POST").await.is_some());
    client.try_send(&message("GET", "/public/smuggled", &[], b"")).await;
    client.until_closed().await;
    assert!(gateway.app.seen().iter().all(|seen| seen.target() != "/public/smuggled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn transfer_coding_other_than_chunked_is_refused() {
    let gateway = TestGateway::start().await;
    for coding in ["gzip, chunked", "identity, chunked", "chunked, chunked"] {
        let response = gateway.get("/public", &[("Transfer-Encoding", coding)]).await;
        assert_eq!(response.status, 400, "{coding}");
    }
    assert!(gateway.app.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_from_one_address_locks_nobody_out_elsewhere() {
    // T57. The gateway trusts loopback, so that a test can have two addresses.
    let gateway = TestGateway::with(Setup {
        server: r#"trusted_proxies = ["127.0.0.1"]"#.to_owned(),
        login: "attempts_per_account = 2".to_owned(),
        ..Setup::default()
    })
    .await;
    gateway.user("ada", &[]).await;
    let attempt = async |from: &str, password: &str| {
        let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", from)];
        let body = json!({ "username": "ada", "password": password }).to_string();
        crate::support::http::request(gateway.address(), "POST", "/auth/login", &headers, body.as_bytes())
            .await
            .status
    };
    for expected in [401, 401, 429] {
        assert_eq!(attempt("192.0.2.1", "wrong battery staple").await, expected);
    }
    assert_eq!(attempt("192.0.2.1", PASSWORD).await, 429, "the guesser's own address waits");
    assert_eq!(attempt("198.51.100.7:4711", PASSWORD).await, 200, "everybody else does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn early_response_reaches_clients_that_finish_sending_first() {
    // Closing with unread data resets the connection, and the response is lost (RFC 9112 section 9.6).
    let gateway = TestGateway::start().await;
    for _ in 0..10 {
        let mut client = Client::connect(gateway.address()).await;
        client.send(&message("POST", "/", &[], &vec![b'x'; 8 << 20])).await;
        let response = client.response("POST").await.expect("an answer");
        assert_eq!((response.status, response.code().as_str()), (401, "token_missing"));
        client.until_closed().await;
    }
    assert_eq!(gateway.app.heads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lingering_close_is_bounded_and_skipped_for_expect_continue() {
    let gateway = TestGateway::start().await;
    let mut asking = Client::connect(gateway.address()).await;
    let head = "POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000000\r\n";
    asking.send(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes()).await;
    assert_eq!(asking.response("POST").await.expect("an answer").status, 401);
    let mut sending = Client::connect(gateway.address()).await;
    sending.send(format!("{head}\r\nsome").as_bytes()).await;
    assert_eq!(sending.response("POST").await.expect("an answer").status, 401);
    tokio::select! {
        () = asking.until_closed() => {}
        () = sending.until_closed() => panic!("there was nothing on its way"),
    }
    sending.until_closed().await;
    assert_eventually("nothing is kept", SOON, async || {
        gateway.metric("doorward_requests_in_flight").await == 0.0
    })
    .await;
}
