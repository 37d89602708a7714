//! `response_headers` of upstreams.

use std::fmt::Write as _;

use crate::canned;
use crate::support::http::{Client, message};
use crate::support::http2::Http2;
use crate::support::{Setup, TestGateway};

const CHANGES: &str = r#"
response_headers.set = { "Content-Security-Policy" = "frame-ancestors 'self'", "Cache-Control" = "public, max-age=60", "X-Served" = "grüße" }
response_headers.remove = ["Server", "X-Powered-By", "ETag"]
"#;

/// A gateway with one app for each response, at `/0`, `/1` and so on, all with [`CHANGES`].
async fn gateway(responses: &[&'static str]) -> TestGateway {
    let mut routes = String::new();
    for (at, response) in responses.iter().enumerate() {
        let address = canned::app(response.as_bytes()).await;
        write!(
            routes,
            "[upstreams.a{at}]\nservers = [\"http://{address}\"]\n{CHANGES}\n[[routes]]\nname = \"a{at}\"\npath = \"/{at}\"\n\
             access = \"optional\"\nupstream = \"a{at}\"\n"
        )
        .expect("text");
    }
    let routes = Setup::default().routes + &routes;
    TestGateway::with(Setup { routes, server: "h2c = true".into(), ..Setup::default() }).await
}

const ORDINARY: &str = "HTTP/1.1 200 OK\r\nServer: app/1\r\nserver: two\r\nX-Powered-By: x\r\nETag: \"1\"\r\nContent-Security-Policy: default-src *\r\n\
    Content-Security-Policy: img-src *\r\nSet-Cookie: app=1\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nServer: app/1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nServer: app/1\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nServer: app/1\r\nContent-Length: 2\r\n\r\nhi";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\nServer: app/1\r\nConnection: close\r\n\r\n";
const NOT_MODIFIED: &str = "HTTP/1.1 304 Not Modified\r\nServer: app/1\r\nETag: \"1\"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nServer: app/1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_final_responses_are_set_and_removed() {
    let gateway = gateway(&[ORDINARY, CHUNKED, NO_CONTENT, NOT_MODIFIED]).await;
    let stream = tokio::net::TcpStream::connect(gateway.address()).await.expect("a connection");
    let mut http2 = Http2::in_clear(stream).await;
    for (path, status, body) in [("/0", 200, "hi"), ("/1", 200, "hi"), ("/2", 204, ""), ("/3", 304, "")] {
        let over_http1 = gateway.get(path, &[]).await;
        let over_http2 = http2.request("GET", path, &[], b"").await;
        for (version, response) in [("1.1", over_http1), ("2", over_http2)] {
            assert_eq!((response.status, response.text().as_str()), (status, body), "{path} {version}");
            for removed in ["server", "x-powered-by", "etag"] {
                assert_eq!(response.header(removed), None, "{path} {version}");
            }
            assert_eq!(
                response.all("content-security-policy"),
                ["frame-ancestors 'self'"],
                "{path} {version}"
            );
            assert_eq!(response.all("x-served"), ["grüße"], "{path} {version}");
            assert_eq!(response.all("cache-control"), ["public, max-age=60"], "{path} {version}");
            assert!(response.header("x-request-id").is_some() && response.header("via").is_some());
            assert_eq!(response.header("transfer-encoding").is_some(), path == "/1" && version == "1.1");
        }
    }
    assert_eq!(gateway.get("/0", &[]).await.all("set-cookie"), ["app=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn informational_responses_stay_as_they_are() {
    let gateway = gateway(&[EARLY, SWITCHING]).await;
    let mut client = Client::connect(gateway.address()).await;
    client.send(&message("GET", "/0", &[], b"")).await;
    let hints = client.head().await.expect("an early response");
    assert_eq!((hints.status, hints.header("server")), (103, Some("app/1")));
    assert_eq!((hints.header("x-served"), hints.header("link")), (None, Some("</a>; rel=preload")));
    let last = client.response("GET").await.expect("an answer");
    assert_eq!((last.status, last.header("server"), last.header("x-served")), (200, None, Some("grüße")));

    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut client = Client::connect(gateway.address()).await;
    client.send(&message("GET", "/1", &upgrade, b"")).await;
    let switching = client.head().await.expect("an answer");
    assert_eq!((switching.status, switching.header("server")), (101, Some("app/1")));
    assert_eq!(switching.header("x-served"), None);
    assert_eq!(switching.header("upgrade"), Some("websocket"));
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_keeps_its_own_fields_and_answers() {
    let gateway = gateway(&[ORDINARY]).await;
    gateway.user("ada", &[]).await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    // A response for one user stays private, whatever the configuration sets.
    let response = gateway.get("/0", &[("Authorization", &bearer)]).await;
    assert_eq!(response.status, 200);
    let cached = response.header("cache-control").expect("set").to_owned();
    assert!(cached.contains("private") && !cached.contains("public"), "{cached}");
    assert!(response.header("vary").expect("set").to_lowercase().contains("cookie"));
    // Responses of the gateway and of other apps are not changed.
    for path in ["/nowhere-else", "/auth/login", "/public/x"] {
        let response = gateway.get(path, &[]).await;
        assert_eq!(response.header("x-served"), None, "{path}");
    }
}
