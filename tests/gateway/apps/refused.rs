//! What an app has certainly not processed is sent again, whatever the method; what it may have, is not (RFC 9110 section
//! 9.2.2, RFC 9113 sections 6.8 and 8.7; F05).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use h2::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::scene::{BOTH, Scene};

/// How the app meets its first request, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Reset(Reason),
    /// A GOAWAY with this code, whose last stream is below the request's.
    GoAway(Reason),
    /// The same, whose last stream is the request's.
    GoAwayAfter(Reason),
}

/// An app in HTTP/2 of which every connection but its later ones begins so; the rest is echoed.
async fn app(first: First, times: usize) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = format!("h2c://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&counted);
            tokio::spawn(async move {
                match first {
                    First::Reset(reason) => resets(stream, reason, times, asked).await,
                    First::GoAway(reason) => goes_away(stream, 0, reason, times, asked).await,
                    First::GoAwayAfter(reason) => goes_away(stream, 1, reason, times, asked).await,
                }
            });
        }
    });
    (server, asked, serving)
}

async fn resets(stream: TcpStream, reason: Reason, times: usize, asked: Arc<AtomicUsize>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if asked.fetch_add(1, Ordering::Relaxed) < times {
            respond.send_reset(reason);
            continue;
        }
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut whole = Vec::new();
            while let Some(Ok(part)) = body.data().await {
                whole.extend_from_slice(&part);
            }
            let mut send = respond.send_response(http::Response::new(()), false).expect("a head");
            send.send_data(whole.into(), true).expect("a body");
        });
    }
}

/// Frames by hand: the library's server always tells the last stream that it saw.
async fn goes_away(mut stream: TcpStream, last: u32, reason: Reason, times: usize, asked: Arc<AtomicUsize>) {
    if asked.load(Ordering::Relaxed) >= times {
        return resets(stream, reason, 0, asked).await;
    }
    asked.fetch_add(1, Ordering::Relaxed);
    // Empty SETTINGS, then whatever comes up to the first HEADERS, of which no more is wanted than that it is there.
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
    let answer = client.answer().await.expect("an answer");
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_processed_is_sent_again_whatever_the_method() {
    for first in [
        First::Reset(Reason::REFUSED_STREAM),
        First::GoAway(Reason::NO_ERROR),
        First::GoAway(Reason::ENHANCE_YOUR_CALM),
        First::GoAway(Reason::INTERNAL_ERROR),
    ] {
        for wire in BOTH {
            for method in ["PUT", "POST", "PATCH"] {
                let (server, asked, serving) = app(first, 1).await;
                let scene = Scene::before(&server, "", "").await;
                let answer = ask(&scene, wire, method, &[]).await;
                assert_eq!(answer, (200, "a body".to_owned()), "{method} {first:?} over {wire:?}");
                assert_eq!(asked.load(Ordering::Relaxed), 2);
                serving.abort();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_calls_that_were_refused_are_sent_again() {
    let (server, _, serving) = app(First::Reset(Reason::REFUSED_STREAM), 1).await;
    let scene = Scene::before(&server, "", "").await;
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let answer = ask(&scene, super::scene::Wire::Http2, "POST", &headers).await;
    assert_eq!(answer, (200, "a body".to_owned()));
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_processed_is_not_sent_again() {
    for first in [
        First::Reset(Reason::INTERNAL_ERROR),
        First::Reset(Reason::CANCEL),
        First::GoAwayAfter(Reason::NO_ERROR),
        First::GoAwayAfter(Reason::INTERNAL_ERROR),
    ] {
        for wire in BOTH {
            let (server, asked, serving) = app(first, 1).await;
            let scene = Scene::before(&server, "", "").await;
            assert_eq!(ask(&scene, wire, "POST", &[]).await.0, 502, "{first:?} over {wire:?}");
            assert_eq!(asked.load(Ordering::Relaxed), 1, "{first:?} over {wire:?}");
            serving.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_refuses_always_is_asked_a_few_times_only() {
    let (server, asked, serving) = app(First::Reset(Reason::REFUSED_STREAM), usize::MAX).await;
    let scene = Scene::before(&server, "", "").await;
    for wire in BOTH {
        asked.store(0, Ordering::Relaxed);
        assert_eq!(ask(&scene, wire, "POST", &[]).await.0, 502);
        // Where the reset comes before the body that is sent again, Pingora tells that it came and not why.
        assert!((2..=3).contains(&asked.load(Ordering::Relaxed)));
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_was_sent_on_a_kept_connection_is_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    let posts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&posts);
    // Every connection answers one request, and hangs up when it has read another.
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
        assert_eq!(first.answer().await.expect("an answer").status, 200);
        posts.store(0, Ordering::Relaxed);
        assert_eq!(ask(&scene, wire, "POST", &[]).await.0, 502);
        assert_eq!(posts.load(Ordering::Relaxed), 1);
    }
    serving.abort();
}
