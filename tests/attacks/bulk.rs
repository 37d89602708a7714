//! Much down and much up: every byte in its place, and none of them kept.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::memory::Bytes as Memory;
use crate::stage::Stage;
use crate::support::{Client, http, measured};

/// What may be under way at once: buffers, windows.
const FLAT: Memory = Memory::mib(32);

/// How much goes each way: `DOORWARD_BULK_MIB`, or as much as an unoptimised program moves in some ten seconds.
fn size(mib: u64) -> u64 {
    let chosen = std::env::var("DOORWARD_BULK_MIB").ok();
    chosen.map_or(mib, |chosen| chosen.parse::<u64>().expect("DOORWARD_BULK_MIB is a number")) << 20
}

/// Fails the test unless the memory stays flat meanwhile.
async fn flat(stage: &Stage, what: &str, work: impl Future<Output = ()>) {
    let memory = stage.memory();
    memory.forget_peak();
    let (before, begun) = (memory.now(), Instant::now());
    work.await;
    let (took, peak): (Duration, _) = (begun.elapsed(), memory.peak());
    measured(format_args!("{what}: {took:?}, resident {before}, peak {peak}"));
    assert!(peak.over(before) < FLAT, "{what}: it grew from {before} to {peak}");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_each_way_over_http1() {
    let (stage, size) = (Stage::clear("").await, size(1024));
    let bearer = format!("Bearer {}", stage.access);
    let mut client = Client::connect(stage.gateway.public).await;
    // The first of everything is not what is measured.
    assert_eq!(client.request("GET", "/", &[("Authorization", &bearer)], b"").await.status, 200);
    let target = format!("/bytes/{}", size);
    flat(&stage, &format!("{} down over HTTP/1.1", Memory(size)), async {
        client.send(&http::message("GET", &target, &[("Authorization", &bearer)], b"")).await;
        let head = client.head().await.expect("an answer");
        assert_eq!((head.status, head.header("content-length")), (200, Some(size.to_string().as_str())));
        let mut place = 0;
        let (mut check, begun) = (
            |bytes: &[u8]| {
                assert!(stage.app.pattern.is(place, bytes), "after {place} bytes");
                place += bytes.len() as u64;
                place
            },
            client.some(),
        );
        let mut came = check(&begun.await.expect("the first of it"));
        let (mut stream, mut chunk) = (client.into_stream(), vec![0; 256 << 10]);
        while came < size {
            let read = stream.read(&mut chunk).await.expect("more of it");
            assert!(read > 0, "after {came} bytes");
            came = check(&chunk[..read]);
        }
        assert_eq!(came, size);
    })
    .await;
    let mut client = Client::connect(stage.gateway.public).await;
    flat(&stage, &format!("{} up over HTTP/1.1", Memory(size)), async {
        let length = size.to_string();
        let headers = [("Authorization", bearer.as_str()), ("Content-Length", length.as_str())];
        client.send(&http::message("POST", "/take", &headers, b"")).await;
        let mut stream = client.into_stream();
        let mut place = 0;
        while place < size {
            let bytes = stage.app.pattern.at(place, (size - place).min(256 << 10));
            stream.write_all(bytes).await.expect("still taken");
            place += bytes.len() as u64;
        }
        let answer = Client::over(stream).response("POST").await.expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, format!("{} as they should be", size)));
    })
    .await;
}
