//! Those who take their time: with a header, with a body, with what they asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::frames::{self, END_HEADERS, END_STREAM, Kind, LARGEST_WINDOW, frame};
use crate::siege::{Done, Siege, pour, secure};
use crate::stage::Stage;

/// How many connections an attack holds.
const CONNECTIONS: usize = 2000;
/// Of those that bring a request each: it has a connection to the app.
const REQUESTS: usize = 500;
/// Of one HTTP/2 connection: `http2_streams`.
const STREAMS: u32 = 100;
const HTTP2_CONNECTIONS: usize = REQUESTS / STREAMS as usize;

/// Between two bytes.
const SLOWNESS: Duration = Duration::from_secs(1);

/// Longer than any of them is put up with.
const SITTING: Duration = Duration::from_secs(8);

/// What is downloaded: more than all buffers on the way.
const TARGET: &str = "/public/bytes/67108864";

const UNREAD: &str = "doorward_requests_cut_total{cause=\"unread\"}";

const LIMITS: &str = "[server.limits]\nheader_deadline = \"3s\"\nsend_timeout = \"3s\"";

/// Asks, and takes nothing of the answer. That the gateway has hung up it cannot know: what was said before is still to come.
async fn sit_still(stream: impl AsyncRead + AsyncWrite + Unpin, done: Arc<Done>, asking: Vec<u8>) {
    sit_for(stream, done, asking, SITTING).await;
}

async fn sit_for(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    done: Arc<Done>,
    asking: Vec<u8>,
    sitting: Duration,
) {
    if stream.write_all(&asking).await.is_ok() && stream.flush().await.is_ok() {
        done.sent(1);
        tokio::time::sleep(sitting).await;
    }
}

/// Streams of one connection that ask for `target`, each with `flags`.
fn streams(window: u32, method: &str, target: &str, flags: u8) -> Vec<u8> {
    let mut block = frames::request(method, target);
    if flags & END_STREAM == 0 {
        block.extend(frames::field("content-length", "1000000"));
    }
    let mut bytes = frames::hello(window);
    for at in 0..STREAMS {
        bytes.extend(frame(Kind::Headers, END_HEADERS | flags, 2 * at + 1, &block));
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers() {
    let stage = Stage::clear(LIMITS).await;
    let target = stage.gateway.public;
    let attack = || {
        Siege::begin(CONNECTIONS, target, |stream, done| {
            let begin = b"GET /public HTTP/1.1\r\nHost: gateway.test\r\nX-Slow: ".to_vec();
            pour(stream, done, begin, || b"x".to_vec(), SLOWNESS)
        })
    };
    let withstood = stage
        .withstand("slow headers", attack, async |done| {
            done.opened.load(Ordering::SeqCst) > 2 * CONNECTIONS as u64
        })
        .await;
    assert!(withstood.open >= CONNECTIONS as f64, "{}", withstood.open);
    let longest = withstood.done.get(|done| &done.longest);
    assert!(longest < 8_000, "one was put up with for {longest} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies() {
    let stage = Stage::clear(LIMITS).await;
    let target = stage.gateway.public;
    let attack = || {
        Siege::begin(REQUESTS, target, |stream, done| {
            let begin =
                b"POST /public/take HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000000\r\n\r\n"
                    .to_vec();
            pour(stream, done, begin, || b"x".to_vec(), SLOWNESS)
        })
    };
    let withstood = stage
        .withstand("slow bodies", attack, async |done| {
            done.opened.load(Ordering::SeqCst) > 2 * REQUESTS as u64
        })
        .await;
    assert!(withstood.open >= REQUESTS as f64, "{}", withstood.open);
    // Looked at after the deadline, once more after it again, and told in words.
    let longest = withstood.done.get(|done| &done.longest);
    assert!(longest < 15_000, "one was put up with for {longest} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_over_http2() {
    let stage = Stage::tls(LIMITS).await;
    let (target, trust) = (stage.gateway.public, stage.trust.clone().expect("TLS"));
    let attack = || {
        Siege::begin(HTTP2_CONNECTIONS, target, move |stream, done| {
            let trust = trust.clone();
            async move {
                let Ok(stream) = secure(&trust, stream).await else { return };
                let begin = streams(LARGEST_WINDOW, "POST", "/public/take", 0);
                let more = (0..STREAMS).flat_map(|at| frame(Kind::Data, 0, 2 * at + 1, b"x"));
                let more: Vec<u8> = more.collect();
                // Streams that were ended are not begun again: another connection does that.
                let dribbling = pour(stream, done, begin, move || more.clone(), SLOWNESS);
                let _ = tokio::time::timeout(Duration::from_secs(12), dribbling).await;
            }
        })
    };
    let before = stage.app.seen(|seen| &seen.heads);
    stage
        .withstand("slow bodies over HTTP/2", attack, async |_| {
            let slow = stage.metric("doorward_requests_cut_total{cause=\"slow\"}").await;
            slow > REQUESTS as f64 && stage.app.seen(|seen| &seen.heads) > before + 2 * REQUESTS as u64
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers() {
    let stage = Stage::clear(LIMITS).await;
    let target = stage.gateway.public;
    let attack = || {
        Siege::begin(REQUESTS, target, |stream, done| {
            sit_still(
                stream,
                done,
                format!("GET {TARGET} HTTP/1.1\r\nHost: gateway.test\r\n\r\n").into_bytes(),
            )
        })
    };
    stage
        .withstand("slow readers", attack, async |_| stage.app.seen(|seen| &seen.given_up) > REQUESTS as u64)
        .await;
    assert!(stage.metric(UNREAD).await > 0.0, "there was room for all of them");
}

/// Who takes nothing of the connection, and who lets nothing come.
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_over_http2() {
    let stage = Stage::tls(LIMITS).await;
    for (what, window) in [("an unread connection", LARGEST_WINDOW), ("windows that are shut", 0)] {
        let (target, trust) = (stage.gateway.public, stage.trust.clone().expect("TLS"));
        let attack = || {
            Siege::begin(HTTP2_CONNECTIONS, target, move |stream, done| {
                let trust = trust.clone();
                async move {
                    let Ok(stream) = secure(&trust, stream).await else { return };
                    sit_still(stream, done, streams(window, "GET", TARGET, END_STREAM)).await;
                }
            })
        };
        let before = stage.app.seen(|seen| &seen.given_up);
        stage
            .withstand(&format!("slow readers over HTTP/2: {what}"), attack, async |_| {
                stage.app.seen(|seen| &seen.given_up) > before + REQUESTS as u64
            })
            .await;
        assert!(stage.metric(UNREAD).await > 0.0, "there was room for all of them");
    }
}

/// Small responses, each held by a stream whose window is shut.
#[tokio::test(flavor = "multi_thread")]
async fn small_responses_on_shut_windows() {
    const SMALL_CONNECTIONS: usize = 60;
    let stage = Stage::tls("").await;
    let (target, trust) = (stage.gateway.public, stage.trust.clone().expect("TLS"));
    let attack = || {
        Siege::begin(SMALL_CONNECTIONS, target, move |stream, done| {
            let trust = trust.clone();
            async move {
                let Ok(stream) = secure(&trust, stream).await else { return };
                let asking = streams(0, "GET", "/public/bytes/500", END_STREAM);
                // Long enough for all of them to be made, and to be stalled, on a busy machine.
                sit_for(stream, done, asking, 3 * SITTING).await;
            }
        })
    };
    stage
        .withstand("small responses on shut windows", attack, async |done| {
            done.opened.load(Ordering::SeqCst) >= SMALL_CONNECTIONS as u64 && stage.metric(UNREAD).await > 0.0
        })
        .await;
}
