//! gRPC calls to HTTP/2 apps: their connections, and calls that an app does not begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::scene::{Scene, Wire};

const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

async fn call(scene: &Scene, headers: &[(&str, &str)]) -> u16 {
    let mut client = scene.ask(Wire::Http2).await;
    client.begin("POST", "/", headers, false).await;
    assert!(client.part(b"a message").await && client.part(b"").await);
    client.response().await.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_call_uses_only_connections_that_are_pinged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = format!("h2c://{}", listener.local_addr().expect("an address"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let mut body = request.into_body();
                    tokio::spawn(async move {
                        while let Some(Ok(_)) = body.data().await {}
                        let mut send = respond.send_response(http::Response::new(()), false).expect("sent");
                        send.send_data(Bytes::from_static(b"ok"), true).expect("sent");
                    });
                }
            });
        }
    });
    let scene = Scene::before(&server, "", "").await;
    // The interval of PING frames is set when a connection is made. Ordinary requests have a timeout and need none.
    for _ in 0..3 {
        assert_eq!(call(&scene, &[]).await, 200);
    }
    let ordinary = connections.load(Ordering::Relaxed);
    assert_eq!(call(&scene, &GRPC).await, 200);
    assert_eq!(connections.load(Ordering::Relaxed), ordinary + 1, "not the one without PING frames");
    for _ in 0..3 {
        assert_eq!(call(&scene, &GRPC).await, 200);
        assert_eq!(call(&scene, &[]).await, 200);
    }
    assert_eq!(connections.load(Ordering::Relaxed), ordinary + 1, "both are kept");
    serving.abort();
}

/// Serves one stream of a connection, and then allows none (RFC 9113 section 5.1.2). Hand-written frames: the library cannot change
/// its limit. `settled` is notified when the gateway has acknowledged it.
async fn closing_app(mut stream: TcpStream, settled: Arc<Notify>) -> std::io::Result<()> {
    const SETTINGS: u8 = 4;
    let frame = |kind: u8, flags: u8, stream: &[u8; 4], payload: &[u8]| {
        [&[0, 0, u8::try_from(payload.len()).expect("short"), kind, flags], &stream[..], payload].concat()
    };
    stream.write_all(&frame(SETTINGS, 0, &[0; 4], &[])).await?;
    stream.read_exact(&mut [0; 24]).await?;
    let (mut is_served, mut acknowledged) = (false, 0);
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await?;
        match kind {
            // The end of a request, in DATA or HEADERS: `:status: 200`, and MAX_CONCURRENT_STREAMS of zero.
            0 | 1 if flags & 1 != 0 && !is_served => {
                is_served = true;
                let response = [frame(1, 5, &id, &[0x88]), frame(SETTINGS, 0, &[0; 4], &[0, 3, 0, 0, 0, 0])];
                stream.write_all(&response.concat()).await?;
            }
            SETTINGS if flags & 1 != 0 => {
                acknowledged += 1;
                if acknowledged == 2 {
                    settled.notify_one();
                }
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn call_that_cannot_be_begun_is_answered_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = format!("h2c://{}", listener.local_addr().expect("an address"));
    let settled = Arc::new(Notify::new());
    let settles = Arc::clone(&settled);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(closing_app(stream, Arc::clone(&settles)));
        }
    });
    let scene = Scene::before(&server, "idle_timeout = \"60s\"", "timeout = \"1s\"").await;
    for headers in [&GRPC[..], &[]] {
        // Until a call gets the connection of the one before.
        let mut last = None;
        for _ in 0..20 {
            let mut client = scene.ask(Wire::Http2).await;
            let is_whole = headers.is_empty();
            client.begin("POST", "/", headers, is_whole).await;
            assert!(is_whole || client.part(b"a message").await && client.part(b"").await);
            let response = client.response().await.expect("an answer");
            if last.insert(response).status != 200 {
                break;
            }
            settled.notified().await;
        }
        let response = last.expect("an answer");
        assert_eq!((response.status, response.code().as_str()), (504, "upstream_timeout"), "{headers:?}");
        assert_eq!(response.all("x-request-id"), [response.member("request_id")]);
        assert_eq!(call(&scene, headers).await, 200, "on another connection: {headers:?}");
        settled.notified().await;
    }
    let counted = r#"doorward_requests_total{class="5xx",outcome="upstream_timeout""#;
    assert_eq!(scene.gateway.metric(counted).await, 2.0);
    serving.abort();
}
