//! F24: the PROXY protocol from trusted and untrusted peers.

use crate::connection::tls::{House, house};
use crate::refusals::assert_refused;
use crate::support::gateway::SOON;
use crate::support::http::message;
use crate::support::http2::Http2;
use crate::support::{Client, Response, Setup, TestGateway, assert_eventually};

const FROM_HERE: &str = "proxy_protocol_from = [\"127.0.0.0/8\"]\nh2c = true";

async fn gateway(server: &str) -> TestGateway {
    TestGateway::with(Setup { server: server.to_owned(), ..Setup::default() }).await
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
}

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";

fn v2_with_tlv() -> Vec<u8> {
    v2(0x21, 0x11, &[203, 0, 113, 7, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb, 4, 0, 1, 0])
}

async fn exchange(gateway: &TestGateway, header: &[u8], request: &[u8]) -> Option<Response> {
    let mut client = Client::connect(gateway.address()).await;
    client.send(&[header, request].concat()).await;
    client.response("GET").await
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_header_sets_the_client_address() {
    let gateway = gateway(FROM_HERE).await;
    let request = message("GET", "/public", &[], b"");
    let v6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n";
    for (header, client) in [
        (V1.to_vec(), "203.0.113.7"),
        (v2_with_tlv(), "203.0.113.7"),
        (v6.to_vec(), "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n".to_vec(), "203.0.113.7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x20, 0, b""), "127.0.0.1"),
    ] {
        let response = exchange(&gateway, &header, &request).await.expect("an answer");
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(gateway.app.last().all("x-forwarded-for"), [client], "{}", header.escape_ascii());
    }
    // In pieces, and followed by more than one request.
    let mut client = Client::connect(gateway.address()).await;
    for byte in v2_with_tlv() {
        client.send(&[byte]).await;
    }
    for _ in 0..3 {
        assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200);
        assert_eq!(gateway.app.last().all("x-forwarded-for"), ["203.0.113.7"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_after_proxy_header_is_served() {
    let gateway = gateway(FROM_HERE).await;
    let mut client = Client::connect(gateway.address()).await;
    client.send(V1).await;
    let mut client = Http2::in_clear(client.into_stream()).await;
    assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200);
    assert_eq!(gateway.app.last().all("x-forwarded-for"), ["203.0.113.7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_after_proxy_header_is_served() {
    let House { gateway, trust } = house("proxy_protocol_from = [\"127.0.0.1\"]", "").await;
    let mut client = Client::connect(gateway.address()).await;
    client.send(V1).await;
    let stream = trust.over(client.into_stream(), "gateway.test").await.expect("a handshake");
    let response = Client::over(stream).request("GET", "/public", &[], b"").await;
    assert_eq!(response.status, 200);
    assert_eq!(gateway.app.last().all("x-forwarded-for"), ["203.0.113.7"]);
    assert_eq!(gateway.app.last().all("x-forwarded-proto"), ["https"]);
    assert!(trust.connect(gateway.address(), "gateway.test").await.is_err(), "without the header");
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_peers_without_proxy_header_are_refused() {
    let gateway = gateway(FROM_HERE).await;
    let request = message("GET", "/public", &[], b"");
    let refused = exchange(&gateway, b"", &request).await.expect("an answer");
    assert_refused(&refused, 400, "request_invalid");
    assert!(refused.text().contains("server.proxy_protocol_from"), "{}", refused.text());
    for malformed in
        [&b"PROXY TCP4 203.0.113.7\r\n"[..], b"PROXY TCP4 0.0.0.0 0.0.0.0 1 2\r\n", &v2(0x25, 0x11, b"")]
    {
        assert!(exchange(&gateway, malformed, &request).await.is_none(), "{}", malformed.escape_ascii());
    }
    assert_eq!(gateway.app.heads(), 0);
    let counted = "doorward_connections_refused_total{limit=\"proxy_protocol\"}";
    assert_eventually("counted", SOON, async || gateway.metric(counted).await == 4.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn untrusted_peers_may_not_send_proxy_header() {
    let gateway = gateway("proxy_protocol_from = [\"192.0.2.0/24\"]").await;
    let request = message("GET", "/public", &[], b"");
    for header in [V1.to_vec(), v2_with_tlv()] {
        assert_refused(
            &exchange(&gateway, &header, &request).await.expect("an answer"),
            400,
            "request_invalid",
        );
    }
    assert_eq!(exchange(&gateway, b"", &request).await.expect("an answer").status, 200);
    assert_eq!(gateway.app.heads(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_apply_to_the_address_in_the_proxy_header() {
    let server = format!("{FROM_HERE}\n[server.limits]\nconnections_per_ip = 2");
    let gateway = gateway(&server).await;
    let header = |last: u8| format!("PROXY TCP4 203.0.113.{last} 198.51.100.1 1 443\r\n").into_bytes();
    let mut held = Vec::new();
    for client in [1, 1, 2, 2, 3] {
        let mut connection = Client::connect(gateway.address()).await;
        connection.send(&[&header(client)[..], &message("GET", "/public", &[], b"")].concat()).await;
        assert_eq!(connection.response("GET").await.expect("an answer").status, 200);
        held.push(connection);
    }
    assert!(exchange(&gateway, &header(1), &message("GET", "/public", &[], b"")).await.is_none(), "a third");
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_proxies_match_the_address_in_the_proxy_header() {
    let server = format!("{FROM_HERE}\ntrusted_proxies = [\"203.0.113.7\"]");
    let gateway = gateway(&server).await;
    let request = message("GET", "/public", &[("X-Forwarded-For", "198.51.100.9")], b"");
    assert_eq!(exchange(&gateway, V1, &request).await.expect("an answer").status, 200);
    assert_eq!(gateway.app.last().all("x-forwarded-for"), ["198.51.100.9, 203.0.113.7"]);
}
