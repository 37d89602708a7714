//! Endless header sections and HPACK bombs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::frames::{self, END_HEADERS, END_STREAM, Kind, LARGEST_WINDOW, LATEST, frame};
use crate::load::{Done, Load, pour, secure};
use crate::stage::Stage;

const ATTACKERS: usize = 20;
/// Pause between two frames of one attacker. Together the attackers send a few MB/s; they share the machine with the
/// gateway.
const PAUSE: Duration = Duration::from_millis(50);

/// Returns true once each attacker has been disconnected twice on average.
async fn twice(done: &Done) -> bool {
    done.ended.load(Ordering::SeqCst) > 2 * ATTACKERS as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_headers_are_limited() {
    let stage = Stage::clear("").await;
    for (what, line) in [
        ("one header line without end", "x".repeat(16 << 10)),
        ("header lines without end", "a:\r\n".repeat(4 << 10)),
        ("empty lines without end", "\r\n".repeat(8 << 10)),
    ] {
        let target = stage.gateway.public;
        let attack = || {
            Load::begin(ATTACKERS, target, move |stream, done| {
                let (begin, line) =
                    (b"GET /public HTTP/1.1\r\nHost: gateway.test\r\nX: ".to_vec(), line.clone());
                let begin = if line.starts_with('\r') { Vec::new() } else { begin };
                pour(stream, done, begin, move || line.clone().into_bytes(), PAUSE)
            })
        };
        stage.run_attack(what, attack, twice).await;
    }
}

/// CVE-2024-27316 and similar: a header section that continues in CONTINUATION frames.
#[tokio::test(flavor = "multi_thread")]
async fn endless_continuation_frames_are_limited() {
    let stage = Stage::tls("").await;
    for (what, field) in [
        ("CONTINUATION frames of fields", frames::field("x", &"v".repeat(100)).repeat(150)),
        ("CONTINUATION frames of nothing", Vec::new()),
    ] {
        let (target, trust) = (stage.gateway.public, stage.trust.clone().expect("TLS"));
        let attack = || {
            Load::begin(ATTACKERS, target, move |stream, done| {
                let (trust, more) = (trust.clone(), frame(Kind::Continuation, 0, 1, &field));
                async move {
                    let Ok(stream) = secure(&trust, stream).await else { return };
                    let block = frames::request("GET", "/public");
                    let begin =
                        [frames::hello(LARGEST_WINDOW), frame(Kind::Headers, END_STREAM, 1, &block)].concat();
                    pour(stream, done, begin, || more.clone(), PAUSE).await;
                }
            })
        };
        stage.run_attack(what, attack, twice).await;
    }
}

/// A field of 4,000 bytes followed by one byte for each repetition: 16 KiB that decode to 64 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn compressed_header_bombs_are_limited() {
    let stage = Stage::tls("").await;
    let (target, trust) = (stage.gateway.public, stage.trust.clone().expect("TLS"));
    let attack = || {
        Load::begin(ATTACKERS, target, move |stream, done| {
            let trust = trust.clone();
            async move {
                let Ok(stream) = secure(&trust, stream).await else { return };
                let kept = frames::kept_field("x", &"v".repeat(4000));
                let bomb = [frames::request("GET", "/public"), kept, vec![LATEST; 12 << 10]].concat();
                let mut stream_id = 1;
                let next = move || {
                    stream_id += 2;
                    frame(Kind::Headers, END_HEADERS | END_STREAM, stream_id, &bomb)
                };
                pour(stream, done, frames::hello(LARGEST_WINDOW), next, PAUSE).await;
            }
        })
    };
    let bombs = 1_000 * (16 << 10);
    let withstood = stage
        .run_attack("bombs in HPACK", attack, async |done| done.sent.load(Ordering::SeqCst) > bombs)
        .await;
    let ended = withstood.done.get(|done| &done.ended);
    assert!(ended > ATTACKERS as u64, "{ended} were sent away");
}
