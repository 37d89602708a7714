//! Protocol mismatch: one side uses TLS or HTTP/2 and the other does not (F24, F26).

use tokio::net::TcpStream;

use crate::connection::tls::house;
use crate::refusals::assert_refused;
use crate::support::gateway::SOON;
use crate::support::http2::{self, Http2};
use crate::support::{Client, Setup, TestGateway, assert_eventually};

async fn gateway(server: &str) -> TestGateway {
    TestGateway::with(Setup { server: server.to_owned(), ..Setup::default() }).await
}

async fn prior_knowledge(gateway: &TestGateway) -> Http2 {
    Http2::in_clear(TcpStream::connect(gateway.address()).await.expect("the gateway listens")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_on_tls_port_is_refused_with_advice() {
    let house = house("redirect_listen = [\"127.0.0.1:0\"]", "hsts = \"365d\"").await;
    for target in ["/public", "/auth/login", "/.well-known/jwks.json"] {
        let mut client = Client::connect(house.gateway.address()).await;
        let refused = client.request("GET", target, &[], b"").await;
        assert_refused(&refused, 400, "request_invalid");
        assert!(refused.text().contains("https://"), "{}", refused.text());
        assert_eq!(refused.all("strict-transport-security"), [""; 0], "never in clear");
        client.until_closed().await;
    }
    assert_eq!(house.gateway.app.heads(), 0);
    let counted = "doorward_requests_total{class=\"4xx\",outcome=\"request_invalid\"";
    assert_eventually("counted", SOON, async || house.gateway.metric(counted).await == 3.0).await;
    assert_eq!(house.client("gateway.test").await.request("GET", "/public", &[], b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_prior_knowledge_is_served_where_enabled() {
    let gateway = gateway("h2c = true").await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let bearer = format!("Bearer {}", tokens.access);
    let mut client = prior_knowledge(&gateway).await;
    let asking = (0..20).map(|_| client.send.clone()).map(|mut send| {
        let request = http::Request::get("http://gateway.test/notes").header("authorization", &bearer);
        send.send_request(request.body(()).expect("a request"), true).expect("sent").0
    });
    for response in asking.collect::<Vec<_>>() {
        let response = http2::head(response).await.expect("an answer");
        assert_eq!(http2::whole(response).await.status, 200);
    }
    assert_eq!(gateway.app.last().all("x-forwarded-proto"), ["http"]);
    let refused = client.request("GET", "/notes", &[], b"").await;
    assert_refused(&refused, 401, "token_missing");
    // Byte by byte, and only the preface.
    let mut slow = Client::connect(gateway.address()).await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        slow.send(&[*byte]).await;
    }
    slow.send(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    let settings = slow.some().await.expect("an answer");
    assert_eq!(settings[3], 4, "SETTINGS: {}", settings.escape_ascii());
    assert_eq!(gateway.get("/public", &[]).await.status, 200);
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A `GET` in an uncompressed header block (RFC 7541 section 6.2.2), with the fields in `more`.
fn request(stream: u8, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    let mut block = vec![0x82, 0x86, 0x01];
    block.extend(text("gateway.test"));
    block.push(0x04);
    block.extend(text(path));
    for (name, value) in more {
        block.push(0);
        block.extend(text(name));
        block.extend(text(value));
    }
    frame(1, 5, stream, &block)
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_http2_request_ends_only_its_stream() {
    let gateway = gateway("h2c = true").await;
    let mut client = Client::connect(gateway.address()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let sent = [
        preface,
        frame(4, 0, 0, &[]),
        request(1, "/public?q=\"a\"", &[]),
        request(3, "/public", &[("connection", "close")]),
        request(5, "/public", &[("host", "other.test")]),
        request(7, "/public", &[]),
    ];
    client.send(&sent.concat()).await;
    // Type of the first frame of each stream: RST_STREAM, RST_STREAM, HEADERS, HEADERS.
    let (mut bytes, mut first) = (Vec::new(), std::collections::BTreeMap::new());
    let reading = async {
        while first.len() < 4 {
            bytes.extend(client.some().await.expect("the connection stays"));
            while let Some(header) = bytes.get(..9).map(<[u8]>::to_vec) {
                let length = 9 + (usize::from(header[1]) << 8) + usize::from(header[2]);
                if bytes.len() < length {
                    break;
                }
                bytes.drain(..length);
                if header[8] > 0 {
                    first.entry(header[8]).or_insert(header[3]);
                }
            }
        }
    };
    tokio::time::timeout(SOON * 6, reading).await.expect("four streams");
    assert_eq!(first, [(1, 3), (3, 3), (5, 1), (7, 1)].into());
    assert_eq!(gateway.app.heads(), 1);
    let counted = "doorward_requests_total{class=\"none\",outcome=\"request_invalid\"";
    assert_eventually("counted", SOON, async || gateway.metric(counted).await == 3.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_over_http2_is_refused_without_affecting_other_streams() {
    let gateway = gateway("h2c = true").await;
    let mut client = prior_knowledge(&gateway).await;
    let request = http::Request::connect("gateway.test:443").body(()).expect("a request");
    let mut send = client.send.clone().ready().await.expect("open");
    let (response, _stream) = send.send_request(request, false).expect("sent");
    let refused = http2::whole(http2::head(response).await.expect("an answer")).await;
    assert_refused(&refused, 405, "method_not_allowed");
    assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200);
}
