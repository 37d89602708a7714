//! Retries: a request that the app certainly did not process is sent again for any method; one that it may have
//! processed is not (RFC 9110 section 9.2.2, RFC 9113 sections 6.8 and 8.7; F05).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use h2::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::scene::{BOTH, Scene};

/// How the app refuses its first requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Reset(Reason),
    /// A reset after the complete body.
    ResetAfterBody(Reason),
    /// A GOAWAY with this code and a last stream id below the request's.
    GoAway(Reason),
    /// A GOAWAY with this code and the request's stream as the last stream id.
    GoAwayAfter(Reason),
}

/// An HTTP/2 app that refuses on its first `times` connections and echoes on later ones.
async fn app(first: First, times: usize) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = format!("h2c://{}", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let requests = Arc::clone(&counted);
            tokio::spawn(async move {
                match first {
                    First::Reset(_) | First::ResetAfterBody(_) => {
                        resets(stream, first, times, requests).await;
                    }
                    First::GoAway(reason) => goes_away(stream, 0, reason, times, requests).await,
                    First::GoAwayAfter(reason) => goes_away(stream, 1, reason, times, requests).await,
                }
            });
        }
    });
    (server, requests, serving)
}

async fn resets(stream: TcpStream, first: First, times: usize, requests: Arc<AtomicUsize>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let is_refused = requests.fetch_add(1, Ordering::Relaxed) < times;
        if let (true, First::Reset(reason)) = (is_refused, first) {
            respond.send_reset(reason);
            continue;
        }
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut whole = Vec::new();
            while let Some(Ok(part)) = body.data().await {
                let _ = body.flow_control().release_capacity(part.len());
                whole.extend_from_slice(&part);
            }
            if let (true, First::ResetAfterBody(reason)) = (is_refused, first) {
                respond.send_reset(reason);
                return;
            }
            let mut send = respond.send_response(http::Response::new(()), false).expect("a head");
            send.send_data(whole.into(), true).expect("a body");
        });
    }
}

/// Hand-written frames: the library's server always reports the last stream it saw.
async fn goes_away(
    mut stream: TcpStream,
    last: u32,
    reason: Reason,
    times: usize,
    requests: Arc<AtomicUsize>,
) {
    if requests.load(Ordering::Relaxed) >= times {
        return resets(stream, First::Reset(reason), 0, requests).await;
    }
    requests.fetch_add(1, Ordering::Relaxed);
    // Empty SETTINGS, then reads up to the first HEADERS frame without parsing it.
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("sent");
    let mut read = vec![0; 24];
    stream.read_exact(&mut read).await.expect("a preface");
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.expect("its payload");
        if head[3] == 1 {
            break;
        }
    }
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&last.to_be_bytes());
    frame.extend_from_slice(&u32::from(reason).to_be_bytes());
    stream.write_all(&frame).await.expect("sent");
    let _ = stream.shutdown().await;
    while stream.read(&mut read).await.is_ok_and(|read| read > 0) {}
}

async fn ask(
    scene: &Scene,
    wire: super::scene::Wire,
    method: &str,
    headers: &[(&str, &str)],
) -> (u16, String) {
    let mut client = scene.ask(wire).await;
    client.begin(method, "/", headers, false).await;
    assert!(client.part(b"a body").await && client.part(b"").await);
    let response = client.response().await.expect("an answer");
    (response.status, response.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn unprocessed_request_is_retried_for_every_method() {
    for first in [
        First::Reset(Reason::REFUSED_STREAM),
        First::GoAway(Reason::NO_ERROR),
        First::GoAway(Reason::ENHANCE_YOUR_CALM),
        First::GoAway(Reason::INTERNAL_ERROR),
    ] {
        for wire in BOTH {
            for method in ["PUT", "POST", "PATCH"] {
                let (server, requests, serving) = app(first, 1).await;
                let scene = Scene::before(&server, "", "").await;
                let response = ask(&scene, wire, method, &[]).await;
                assert_eq!(response, (200, "a body".to_owned()), "{method} {first:?} over {wire:?}");
                assert_eq!(requests.load(Ordering::Relaxed), 2);
                serving.abort();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_grpc_calls_are_retried() {
    let (server, _, serving) = app(First::Reset(Reason::REFUSED_STREAM), 1).await;
    let scene = Scene::before(&server, "", "").await;
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let response = ask(&scene, super::scene::Wire::Http2, "POST", &headers).await;
    assert_eq!(response, (200, "a body".to_owned()));
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn possibly_processed_request_is_not_retried() {
    for first in [
        First::Reset(Reason::INTERNAL_ERROR),
        First::Reset(Reason::CANCEL),
        First::GoAwayAfter(Reason::NO_ERROR),
        First::GoAwayAfter(Reason::INTERNAL_ERROR),
    ] {
        for wire in BOTH {
            let (server, requests, serving) = app(first, 1).await;
            let scene = Scene::before(&server, "", "").await;
            assert_eq!(ask(&scene, wire, "POST", &[]).await.0, 502, "{first:?} over {wire:?}");
            assert_eq!(requests.load(Ordering::Relaxed), 1, "{first:?} over {wire:?}");
            serving.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_bounded_for_an_app_that_always_refuses() {
    let (server, requests, serving) = app(First::Reset(Reason::REFUSED_STREAM), usize::MAX).await;
    let scene = Scene::before(&server, "", "").await;
    for wire in BOTH {
        requests.store(0, Ordering::Relaxed);
        assert_eq!(ask(&scene, wire, "POST", &[]).await.0, 502);
        // When the reset arrives before the retried body, Pingora reports the reset without its code.
        assert!((2..=3).contains(&requests.load(Ordering::Relaxed)));
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_body_too_long_to_send_again_gets_503() {
    // Pingora keeps 64 KiB of a body.
    for (length, status, times) in [(60 << 10, 200, 2), (100 << 10, 503, 1)] {
        for wire in BOTH {
            let (server, asked, serving) = app(First::ResetAfterBody(Reason::REFUSED_STREAM), 1).await;
            let scene = Scene::before(&server, "", "").await;
            let mut client = scene.ask(wire).await;
            client.begin("POST", "/", &[], false).await;
            assert!(client.part(&vec![b'x'; length]).await && client.part(b"").await);
            let response = client.response().await.expect("an answer");
            assert_eq!(response.status, status, "{length} over {wire:?}");
            if status == 503 {
                assert_eq!(response.code(), "overloaded");
                assert!(response.header("retry-after").is_some());
            }
            assert_eq!(asked.load(Ordering::Relaxed), times, "{length} over {wire:?}");
            serving.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn post_sent_on_a_reused_connection_is_not_retried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    let posts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&posts);
    // Each connection responds to one request and closes after reading a second one.
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let posts = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut chunk = [0; 4096];
                for at in 0..2 {
                    let read = stream.read(&mut chunk).await.unwrap_or(0);
                    if chunk[..read].starts_with(b"POST") {
                        posts.fetch_add(1, Ordering::Relaxed);
                    }
                    if at == 0 {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                    }
                }
            });
        }
    });
    let scene = Scene::before(&server, "", "").await;
    for wire in BOTH {
        let mut first = scene.ask(wire).await;
        first.begin("GET", "/", &[], true).await;
        assert_eq!(first.response().await.expect("an answer").status, 200);
        posts.store(0, Ordering::Relaxed);
        assert_eq!(ask(&scene, wire, "POST", &[]).await.0, 502);
        assert_eq!(posts.load(Ordering::Relaxed), 1);
    }
    serving.abort();
}
