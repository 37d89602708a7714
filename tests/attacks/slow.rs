//! Slow clients: slow headers, slow bodies and slow readers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::frames::{self, END_HEADERS, END_STREAM, Kind, LARGEST_WINDOW, frame};
use crate::load::{Done, Load, pour, secure};
use crate::stage::Stage;

/// Connections per attack.
const CONNECTIONS: usize = 2000;
/// Connections with a request each; each request also uses an upstream connection.
const REQUESTS: usize = 500;
/// Streams per HTTP/2 connection: `http2_streams`.
const STREAMS: u32 = 100;
const HTTP2_CONNECTIONS: usize = REQUESTS / STREAMS as usize;

/// Pause between two bytes.
const SLOWNESS: Duration = Duration::from_secs(1);

/// Longer than any timeout that applies to the attackers.
const ATTACK_DURATION: Duration = Duration::from_secs(8);

/// A download larger than all buffers in between.
const TARGET: &str = "/public/bytes/67108864";

const STALLED: &str = "doorward_requests_cut_total{cause=\"stalled\"}";

const LIMITS: &str = "[server.limits]\nheader_deadline = \"3s\"\nsend_timeout = \"3s\"";

/// Sends a request and does not read the response. It cannot notice a close by the gateway, because earlier data is
/// still unread.
async fn hold_open(stream: impl AsyncRead + AsyncWrite + Unpin, done: Arc<Done>, request: Vec<u8>) {
    send_and_hold(stream, done, request, ATTACK_DURATION).await;
}

async fn send_and_hold(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    done: Arc<Done>,
    request: Vec<u8>,
    duration: Duration,
) {
    if stream.write_all(&request).await.is_ok() && stream.flush().await.is_ok() {
        done.sent(1);
        tokio::time::sleep(duration).await;
    }
}

/// Streams of one connection that request `target`, each with `flags`.
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

/// Time in milliseconds within which every connection of an attacker is ended. The deadline is 3 s for a header and twice that for a
/// body. The machine may be busy with other work; without a deadline an attack would last as long as its client sends.
const ENDED: u64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_leave_others_unaffected() {
    let stage = Stage::clear(LIMITS).await;
    let target = stage.gateway.public;
    let attack = || {
        Load::begin(CONNECTIONS, target, |stream, done| {
            let begin = b"GET /public HTTP/1.1\r\nHost: gateway.test\r\nX-Slow: ".to_vec();
            pour(stream, done, begin, || b"x".to_vec(), SLOWNESS)
        })
    };
    let outcome = stage
        .run_attack("slow headers", attack, async |done| {
            done.opened.load(Ordering::SeqCst) > 2 * CONNECTIONS as u64
        })
        .await;
    assert!(outcome.open >= CONNECTIONS as f64, "{}", outcome.open);
    let longest = outcome.done.get(|done| &done.longest);
    assert!(longest < ENDED, "one connection lasted {longest} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_leave_others_unaffected() {
    let stage = Stage::clear(LIMITS).await;
    let target = stage.gateway.public;
    let attack = || {
        Load::begin(REQUESTS, target, |stream, done| {
            let begin =
                b"POST /public/take HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000000\r\n\r\n"
                    .to_vec();
            pour(stream, done, begin, || b"x".to_vec(), SLOWNESS)
        })
    };
    let outcome = stage
        .run_attack("slow bodies", attack, async |done| {
            done.opened.load(Ordering::SeqCst) > 2 * REQUESTS as u64
        })
        .await;
    assert!(outcome.open >= REQUESTS as f64, "{}", outcome.open);
    // Checked at the deadline and once more one deadline later; then a lingering close after the 408.
    let longest = outcome.done.get(|done| &done.longest);
    assert!(longest < ENDED, "one connection lasted {longest} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_over_http2_leave_others_unaffected() {
    let stage = Stage::tls(LIMITS).await;
    let (target, trust) = (stage.gateway.public, stage.trust.clone().expect("TLS"));
    let attack = || {
        Load::begin(HTTP2_CONNECTIONS, target, move |stream, done| {
            let trust = trust.clone();
            async move {
                let Ok(stream) = secure(&trust, stream).await else { return };
                let begin = streams(LARGEST_WINDOW, "POST", "/public/take", 0);
                let more = (0..STREAMS).flat_map(|at| frame(Kind::Data, 0, 2 * at + 1, b"x"));
                let more: Vec<u8> = more.collect();
                // Ended streams are not reopened; a new connection replaces them.
                let slow_body = pour(stream, done, begin, move || more.clone(), SLOWNESS);
                let _ = tokio::time::timeout(Duration::from_secs(12), slow_body).await;
            }
        })
    };
    let before = stage.app.seen(|seen| &seen.heads);
    stage
        .run_attack("slow bodies over HTTP/2", attack, async |_| {
            let slow = stage.metric("doorward_requests_cut_total{cause=\"slow\"}").await;
            slow > REQUESTS as f64 && stage.app.seen(|seen| &seen.heads) > before + 2 * REQUESTS as u64
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_leave_others_unaffected() {
    let stage = Stage::clear(LIMITS).await;
    let target = stage.gateway.public;
    let attack = || {
        Load::begin(REQUESTS, target, |stream, done| {
            hold_open(
                stream,
                done,
                format!("GET {TARGET} HTTP/1.1\r\nHost: gateway.test\r\n\r\n").into_bytes(),
            )
        })
    };
    stage
        .run_attack("slow readers", attack, async |_| stage.app.seen(|seen| &seen.given_up) > REQUESTS as u64)
        .await;
    assert!(stage.metric(STALLED).await > 0.0, "no response was cut as stalled");
}

/// One attack does not read the connection; the other keeps its windows at zero.
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_over_http2_leave_others_unaffected() {
    let stage = Stage::tls(LIMITS).await;
    for (what, window) in [("an unread connection", LARGEST_WINDOW), ("zero windows", 0)] {
        let (target, trust) = (stage.gateway.public, stage.trust.clone().expect("TLS"));
        let attack = || {
            Load::begin(HTTP2_CONNECTIONS, target, move |stream, done| {
                let trust = trust.clone();
                async move {
                    let Ok(stream) = secure(&trust, stream).await else { return };
                    hold_open(stream, done, streams(window, "GET", TARGET, END_STREAM)).await;
                }
            })
        };
        let before = stage.app.seen(|seen| &seen.given_up);
        stage
            .run_attack(&format!("slow readers over HTTP/2: {what}"), attack, async |_| {
                stage.app.seen(|seen| &seen.given_up) > before + REQUESTS as u64
            })
            .await;
        assert!(stage.metric(STALLED).await > 0.0, "no response was cut as stalled");
    }
}

/// Small responses, each blocked by a zero window.
#[tokio::test(flavor = "multi_thread")]
async fn small_responses_on_zero_windows_leave_others_unaffected() {
    const SMALL_CONNECTIONS: usize = 60;
    let stage = Stage::tls("").await;
    let (target, trust) = (stage.gateway.public, stage.trust.clone().expect("TLS"));
    let attack = || {
        Load::begin(SMALL_CONNECTIONS, target, move |stream, done| {
            let trust = trust.clone();
            async move {
                let Ok(stream) = secure(&trust, stream).await else { return };
                let request = streams(0, "GET", "/public/bytes/500", END_STREAM);
                // Long enough for all streams to stall on a busy machine.
                send_and_hold(stream, done, request, 3 * ATTACK_DURATION).await;
            }
        })
    };
    stage
        .run_attack("small responses on zero windows", attack, async |done| {
            done.opened.load(Ordering::SeqCst) >= SMALL_CONNECTIONS as u64
                && stage.metric(STALLED).await > 0.0
        })
        .await;
}
