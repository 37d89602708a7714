//! gRPC calls to HTTP/2 apps: their connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::net::TcpListener;

use super::scene::{Scene, Wire};

const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

async fn call(scene: &Scene, headers: &[(&str, &str)]) -> u16 {
    let mut client = scene.ask(Wire::Http2).await;
    client.begin("POST", "/", headers, false).await;
    assert!(client.part(b"a message").await && client.part(b"").await);
    client.answer().await.expect("an answer").status
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
