//! HTTP/2 connections to an app with a low stream limit: no request waits forever (RFC 9113 section 5.1.2; F06).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::{Barrier, watch};

use super::scene::{HANG, Scene, Wire};

/// More streams than the app accepts on one connection.
const AT_ONCE: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn long_streams_beyond_a_new_connections_limit_are_answered() {
    for most in [1, 10] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let server = format!("h2c://{}", listener.local_addr().expect("an address"));
        // The app responds only once all requests have arrived, so none may wait for another to end.
        let (all_here, connections) = (Arc::new(Barrier::new(AT_ONCE)), Arc::new(AtomicUsize::new(0)));
        let (done, stop) = watch::channel(false);
        let counted = Arc::clone(&connections);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (all_here, mut stop) = (Arc::clone(&all_here), stop.clone());
                tokio::spawn(async move {
                    let mut settings = h2::server::Builder::new();
                    settings.max_concurrent_streams(most);
                    let Ok(mut connection) = settings.handshake::<_, Bytes>(stream).await else { return };
                    loop {
                        let accepted = tokio::select! {
                            accepted = connection.accept() => accepted,
                            _ = stop.changed() => return,
                        };
                        let Some(Ok((_, mut respond))) = accepted else { return };
                        let all_here = Arc::clone(&all_here);
                        tokio::spawn(async move {
                            all_here.wait().await;
                            let mut send =
                                respond.send_response(http::Response::new(()), false).expect("a head");
                            send.send_data(Bytes::from_static(b"ok"), true).expect("a body");
                        });
                    }
                });
            }
        });
        let scene = Scene::before(&server, "", "timeout = \"60s\"").await;
        for round in ["cold", "warm"] {
            let asking = (0..AT_ONCE).map(|at| {
                let (scene, wire) = (&scene, if at % 2 == 0 { Wire::Http1 } else { Wire::Http2 });
                async move {
                    let mut client = scene.ask(wire).await;
                    client.begin("GET", "/", &[], true).await;
                    client.response().await.expect("an answer").status
                }
            });
            let statuses = tokio::time::timeout(HANG, join_all(asking)).await.expect("nobody hangs");
            assert_eq!(statuses, [200; AT_ONCE], "{round}, {most} at a time");
        }
        assert!(connections.load(Ordering::Relaxed) <= 2 * AT_ONCE, "they are kept");
        done.send_replace(true);
        serving.abort();
    }
}
