//! Gateway responses during a request: complete, in every version, and immediate.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::app::{App, CASE, WANTS};
use crate::support::Client;
use crate::support::assert_eventually;
use crate::world::World;

/// Timeout that only ends a hang. Routes have a longer `timeout`.
const PATIENCE: Duration = Duration::from_secs(60);

/// An upstream of this name and a public route to it.
fn route(name: &str, server: &str, more: &str) -> String {
    format!(
        "[upstreams.{name}]\nservers = [\"{server}\"]\n\
         [[routes]]\nname = \"{name}\"\npath = \"/{name}\"\naccess = \"public\"\nupstream = \"{name}\"\n{more}\n"
    )
}

/// An app that reads once, sends these bytes and closes the connection.
async fn raw_app(sends: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                let _ = stream.read_buf(&mut head).await;
                let _ = stream.write_all(sends).await;
            });
        }
    });
    address.to_string()
}

/// An app that accepts connections and never responds.
async fn silent_app() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    address.to_string()
}

/// An address without a listener.
async fn dead_app() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

async fn http2(world: &World) -> h2::client::SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(world.connect(b"h2").await).await.expect("a preface");
    tokio::spawn(connection);
    send
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_head_and_get_get_complete_responses_in_every_version() {
    let (dead, silent) = (dead_app().await, silent_app().await);
    let cut = raw_app(b"").await;
    let faulty = raw_app(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx").await;
    let hinted = raw_app(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
    let brief = "timeout = \"1s\"";
    let routes = [
        route("dead", &format!("http://{dead}"), ""),
        route("dead-h2c", &format!("h2c://{dead}"), ""),
        route("silent", &format!("http://{silent}"), brief),
        route("silent-h2c", &format!("h2c://{silent}"), brief),
        route("cut", &format!("http://{cut}"), ""),
        route("cut-h2c", &format!("h2c://{cut}"), ""),
        route("faulty", &format!("http://{faulty}"), ""),
        // An interim response is not a final one (RFC 9110 section 15.2).
        route("hinted", &format!("http://{hinted}"), ""),
    ]
    .concat();
    let world = World::start("", &routes).await;
    for (path, expected) in [
        ("/dead", 502),
        ("/dead-h2c", 502),
        ("/silent", 504),
        ("/silent-h2c", 504),
        ("/cut", 502),
        ("/cut-h2c", 502),
        ("/faulty", 502),
        ("/hinted", 502),
    ] {
        for method in ["HEAD", "GET"] {
            let mut ready = http2(&world).await.ready().await.expect("a connection");
            let request = Request::builder().method(method).uri(format!("https://gateway.test{path}"));
            let (response, _) = ready.send_request(request.body(()).expect("a request"), true).expect("sent");
            let answered = async {
                let response = response.await?;
                let status = response.status().as_u16();
                let mut body = response.into_body();
                let mut content = Vec::new();
                while let Some(chunk) = body.data().await.transpose()? {
                    content.extend_from_slice(&chunk);
                }
                body.trailers().await?;
                Ok::<_, h2::Error>((status, content.is_empty()))
            };
            let answered = tokio::time::timeout(PATIENCE, answered).await.expect("an answer");
            let answered = answered.unwrap_or_else(|error| panic!("{method} {path} over HTTP/2: {error}"));
            assert_eq!(answered, (expected, method == "HEAD"), "{method} {path} over HTTP/2");

            let mut client = Client::over(world.connect(b"http/1.1").await);
            let response = client.request(method, path, &[], b"").await;
            assert_eq!(
                (response.status, response.body.is_empty()),
                (expected, method == "HEAD"),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_chunk_to_gateway_endpoint_is_400() {
    let world = World::start("", &route("own", &format!("http://{}", dead_app().await), "")).await;
    for body in
        ["zz\r\n{}\r\n0\r\n\r\n", "2\r\n{}xx0\r\n\r\n", "ffffffffffffffffff\r\n{}", "-1\r\n{}\r\n0\r\n\r\n"]
    {
        let mut client = Client::over(world.connect(b"http/1.1").await);
        let head = "POST /auth/login HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: application/json\r\n\
                    Origin: https://gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{body}").as_bytes()).await;
        let response = client.response("POST").await.expect("an answer");
        assert_eq!((response.status, response.code().as_str()), (400, "request_invalid"), "{body:?}");
    }
}

const LIMIT: usize = 64 << 10;

/// Apps of each version behind routes with this limit, and a timeout longer than the test.
async fn limited() -> (World, [(&'static str, App); 3]) {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let apps =
        [("http11", App::http11().await), ("h2c", App::h2c().await), ("tls", App::tls(folder.path()).await)];
    let more = format!("body_limit = \"{LIMIT}B\"\ntimeout = \"10m\"");
    let [http11, h2c, tls] = &apps;
    let tls_route = route("tls", &format!("https://localhost:{}", tls.1.address.port()), &more);
    let routes = [
        route("http11", &format!("http://{}", http11.1.address), &more),
        route("h2c", &format!("h2c://{}", h2c.1.address), &more),
        tls_route.replacen("servers =", "ca_file = \"app.crt\"\nservers =", 1),
    ];
    (World::start_in(folder, "", &routes.concat()).await, apps)
}

#[tokio::test(flavor = "multi_thread")]
async fn body_beyond_the_limit_is_413_and_stays_unfinished() {
    let (world, apps) = limited().await;
    for (name, app) in &apps {
        let case = format!("http1-{name}");
        let mut client = Client::over(world.connect(b"http/1.1").await);
        let head = format!(
            "POST /{name} HTTP/1.1\r\nHost: gateway.test\r\n{CASE}: {case}\r\n{WANTS}: length\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
        client.send(head.as_bytes()).await;
        // The body never ends, so a gateway that waited for its end would hang.
        let chunk = [b"1000\r\n", &[b'x'; 4096][..], b"\r\n"].concat();
        for _ in 0..=LIMIT / 4096 {
            client.try_send(&chunk).await;
        }
        let response = tokio::time::timeout(PATIENCE, client.response("POST")).await.expect("at once");
        let response = response.expect("an answer");
        assert_eq!((response.status, response.code().as_str()), (413, "body_too_large"), "{name}");
        unfinished(app, &case).await;

        let case = format!("http2-{name}");
        let status = upload(&world, &format!("/{name}"), &case, None).await;
        assert_eq!(status, Some(413), "{name} over HTTP/2");
        unfinished(app, &case).await;
    }
}

async fn unfinished(app: &App, case: &str) {
    let ended = async || app.seen(case).first().is_some_and(|seen| !seen.is_whole);
    assert_eventually(case, PATIENCE, ended).await;
}

/// Sends more than the limit over HTTP/2 in pieces. Only gRPC ends the body.
async fn upload(world: &World, path: &str, case: &str, kind: Option<&str>) -> Option<u16> {
    let mut ready = http2(world).await.ready().await.expect("a connection");
    let mut request = Request::builder().method("POST").uri(format!("https://gateway.test{path}"));
    request = request.header(CASE, case).header(WANTS, "length");
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    let (response, mut body) = ready.send_request(request.body(()).expect("a request"), false).expect("sent");
    for _ in 0..=LIMIT / 4096 {
        body.send_data(Bytes::from_static(&[b'x'; 4096]), false).ok()?;
    }
    if kind.is_some() {
        body.send_data(Bytes::new(), true).ok()?;
    }
    let response = tokio::time::timeout(PATIENCE, response).await.expect("at once").ok()?;
    Some(response.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_stream_has_no_total_limit_unless_app_speaks_http1() {
    let (world, apps) = limited().await;
    for (name, app) in &apps {
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc-web"] {
            let case = format!("{name}-{kind}");
            let is_stream = *name != "http11" && kind != "application/grpc-web";
            let status = upload(&world, &format!("/{name}"), &case, Some(kind)).await;
            assert_eq!(status, Some(if is_stream { 200 } else { 413 }), "{case}");
            if is_stream {
                assert_eq!(app.seen(&case)[0].content.len(), LIMIT + 4096, "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_request_never_reaches_the_app_as_complete() {
    let (world, apps) = limited().await;
    for (name, app) in &apps {
        for (framing, body) in [
            ("Content-Length: 10", &b"hello"[..]),
            ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
            ("Transfer-Encoding: chunked", b"a\r\nhello"),
            ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n"),
        ] {
            let case = format!("{name}-{framing}-{}", body.len());
            let mut client = Client::over(world.connect(b"http/1.1").await);
            let head = format!(
                "POST /{name} HTTP/1.1\r\nHost: gateway.test\r\n{CASE}: {case}\r\n{WANTS}: length\r\n{framing}\r\n\r\n"
            );
            client.send(&[head.as_bytes(), body].concat()).await;
            // Otherwise the client may give up before the app has the request.
            assert_eventually("it is sent", PATIENCE, async || app.heads(&case) > 0).await;
            client.hang_up();
            unfinished(app, &case).await;
        }
        let case = format!("{name}-reset");
        let mut ready = http2(&world).await.ready().await.expect("a connection");
        let request = Request::builder().method("POST").uri(format!("https://gateway.test/{name}"));
        let request = request.header(CASE, &case).header(WANTS, "length").body(()).expect("a request");
        let (_, mut body) = ready.send_request(request, false).expect("sent");
        body.send_data(Bytes::from_static(b"hello"), false).expect("sent");
        assert_eventually("it is sent", PATIENCE, async || app.heads(&case) > 0).await;
        body.send_reset(h2::Reason::CANCEL);
        unfinished(app, &case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retried_body_counts_once_against_the_limit() {
    // The first connection is kept after one request and closes during the second.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut connections = 0;
        while let Ok((stream, _)) = listener.accept().await {
            connections += 1;
            let most = if connections == 1 { 1 } else { usize::MAX };
            tokio::spawn(async move {
                let mut wire = crate::wire::Wire::over(stream);
                for at in 0.. {
                    let Ok(head) = wire.head().await else { return };
                    let length = head.first("content-length").and_then(|length| length.parse().ok());
                    if wire.exactly(length.unwrap_or(0)).await.is_err() || at == most {
                        return;
                    }
                    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    let limit = format!("body_limit = \"{LIMIT}B\"");
    let world = World::start("", &route("again", &format!("http://{address}"), &limit)).await;
    let mut client = Client::over(world.connect(b"http/1.1").await);
    assert_eq!(client.request("GET", "/again", &[], b"").await.status, 200);
    let response = client.request("PUT", "/again", &[], &[b'x'; LIMIT * 2 / 3]).await;
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_is_kept_after_100_continue() {
    let (world, apps) = limited().await;
    for (name, _) in &apps {
        let mut client = Client::over(world.connect(b"http/1.1").await);
        for at in 0..2 {
            let head = format!(
                "PUT /{name} HTTP/1.1\r\nHost: gateway.test\r\n{CASE}: continue-{at}\r\n{WANTS}: length\r\n\
                 Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
            );
            client.send(head.as_bytes()).await;
            assert_eq!(client.head().await.expect("an answer").status, 100, "{name}");
            client.send(b"hello").await;
            let response = client.response("PUT").await.expect("an answer");
            assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")), "{name}");
        }
    }
}
