//! Rapid reset: requests cancelled at once, repeatedly (CVE-2023-44487).

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::frames::{self, END_HEADERS, END_STREAM, Kind, LARGEST_WINDOW, frame};
use crate::load::{Load, secure};
use crate::stage::Stage;

const ATTACKERS: usize = 20;
/// Requests per attacker between two pauses.
const ROUND: u32 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_leave_others_unaffected() {
    let stage = Stage::tls("").await;
    let (target, trust) = (stage.gateway.public, stage.trust.clone().expect("TLS"));
    let attack = || {
        Load::begin(ATTACKERS, target, move |stream, done| {
            let trust = trust.clone();
            async move {
                let Ok(stream) = secure(&trust, stream).await else { return };
                let (mut from, mut to) = tokio::io::split(stream);
                let reading = async {
                    let mut buffer = [0; 4096];
                    while from.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                };
                let writing = async {
                    let block = frames::request("GET", "/public/bytes/1000000");
                    let (mut next, mut stream) = (frames::hello(LARGEST_WINDOW), 1);
                    while to.write_all(&next).await.is_ok() && to.flush().await.is_ok() {
                        next.clear();
                        for _ in 0..ROUND {
                            next.extend(frame(Kind::Headers, END_HEADERS | END_STREAM, stream, &block));
                            next.extend(frames::cancel(stream));
                            stream += 2;
                        }
                        done.sent(ROUND as usize);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! { () = reading => {} () = writing => {} }
            }
        })
    };
    let withstood = stage
        .run_attack("rapid resets", attack, async |done| done.sent.load(Ordering::SeqCst) > 10_000)
        .await;
    let ended = withstood.done.get(|done| &done.ended);
    assert!(ended > ATTACKERS as u64, "{ended} were sent away");
}
