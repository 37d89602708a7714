//! Large downloads and uploads: every byte arrives in order, and the gateway's memory stays flat, even while a reader
//! pauses.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::blob_server::{BREATH, Pattern};
use crate::memory::Bytes as Memory;
use crate::stage::{SOON, Stage};
use crate::support::http2::{self, Http2};
use crate::support::{Client, http, measured};

/// Allowed memory growth for data in transit: buffers and windows.
const FLAT: Memory = Memory::mib(32);

/// Bytes in each direction: `DOORWARD_BULK_MIB`, or about ten seconds' worth for an unoptimised build.
fn size(mib: u64) -> u64 {
    let chosen = std::env::var("DOORWARD_BULK_MIB").ok();
    chosen.map_or(mib, |chosen| chosen.parse::<u64>().expect("DOORWARD_BULK_MIB is a number")) << 20
}

/// Fails the test unless memory stays flat during `work`.
async fn flat(stage: &Stage, what: &str, work: impl Future<Output = ()>) {
    let memory = stage.memory();
    memory.forget_peak();
    let (before, begun) = (memory.now(), Instant::now());
    work.await;
    let (took, peak): (Duration, _) = (begun.elapsed(), memory.peak());
    measured(format_args!("{what}: {took:?}, resident {before}, peak {peak}"));
    assert!(peak.over(before) < FLAT, "{what}: it grew from {before} to {peak}");
}

/// The bytes of one direction, in order.
struct Bulk<'a> {
    pattern: &'a Pattern,
    size: u64,
    /// Offset of the next byte.
    place: u64,
}

impl<'a> Bulk<'a> {
    const fn of(stage: &'a Stage, size: u64) -> Self {
        Self { pattern: &stage.app.pattern, size, place: 0 }
    }

    /// Verifies received bytes, and pauses once halfway.
    async fn received(&mut self, bytes: &[u8]) {
        assert!(self.pattern.is(self.place, bytes), "after {} bytes", self.place);
        let half = self.size / 2;
        let (before, after) = (self.place, self.place + bytes.len() as u64);
        self.place = after;
        if (before..after).contains(&half) {
            tokio::time::sleep(BREATH).await;
        }
    }

    /// The next bytes to send; `None` at the end.
    fn next(&self) -> Option<&'a [u8]> {
        let left = self.size - self.place;
        (left > 0).then(|| self.pattern.at(self.place, left.min(256 << 10)))
    }

    fn went(&mut self, count: usize) {
        self.place += count as u64;
    }

    fn is_whole(&self) -> bool {
        self.place == self.size
    }
}

/// Sends as much of a body as flow control allows. Returns the number of bytes sent.
async fn push(body: &mut SendStream<Bytes>, bytes: &[u8], is_last: bool) -> Result<usize, h2::Error> {
    body.reserve_capacity(bytes.len());
    while body.capacity() == 0 {
        let more = poll_fn(|context| body.poll_capacity(context));
        tokio::time::timeout(SOON, more).await.expect("room in time").expect("an open stream")?;
    }
    let count = body.capacity().min(bytes.len());
    body.send_data(Bytes::copy_from_slice(&bytes[..count]), is_last && count == bytes.len())?;
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_both_ways_over_http1() {
    let (stage, size) = (Stage::clear("").await, size(1024));
    let bearer = format!("Bearer {}", stage.access);
    let mut client = Client::connect(stage.gateway.public).await;
    // Warm-up: the first request is not measured.
    assert_eq!(client.request("GET", "/", &[("Authorization", &bearer)], b"").await.status, 200);
    let target = format!("/bytes/{size}");
    flat(&stage, &format!("{} down over HTTP/1.1", Memory(size)), async {
        client.send(&http::message("GET", &target, &[("Authorization", &bearer)], b"")).await;
        let head = client.head().await.expect("an answer");
        assert_eq!((head.status, head.header("content-length")), (200, Some(size.to_string().as_str())));
        let mut bulk = Bulk::of(&stage, size);
        bulk.received(&client.some().await.expect("the first of it")).await;
        let (mut stream, mut chunk) = (client.into_stream(), vec![0; 256 << 10]);
        while !bulk.is_whole() {
            let read = stream.read(&mut chunk).await.expect("more of it");
            assert!(read > 0, "after {} bytes", bulk.place);
            bulk.received(&chunk[..read]).await;
        }
    })
    .await;
    let mut client = Client::connect(stage.gateway.public).await;
    flat(&stage, &format!("{} up over HTTP/1.1", Memory(size)), async {
        let length = size.to_string();
        let headers = [("Authorization", bearer.as_str()), ("Content-Length", length.as_str())];
        client.send(&http::message("POST", "/pausing/take", &headers, b"")).await;
        let (mut stream, mut bulk) = (client.into_stream(), Bulk::of(&stage, size));
        while let Some(bytes) = bulk.next() {
            stream.write_all(bytes).await.expect("still taken");
            bulk.went(bytes.len());
        }
        let response = Client::over(stream).response("POST").await.expect("an answer");
        assert_eq!((response.status, response.text()), (200, format!("{size} as they should be")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_both_ways_over_http2() {
    let (stage, size) = (Stage::tls("").await, size(1024));
    let bearer = format!("Bearer {}", stage.access);
    let mut settings = h2::client::Builder::new();
    // Like browsers: large enough for the network, small compared to the body.
    settings.initial_window_size(1 << 20).initial_connection_window_size(1 << 20);
    let trust = stage.trust.as_ref().expect("TLS");
    let mut client = Http2::connect_as(&settings, trust, stage.gateway.public, "gateway.test").await;
    let signed_in = [("Authorization", bearer.as_str())];
    assert_eq!(client.request("GET", "/", &signed_in, b"").await.status, 200);
    flat(&stage, &format!("{} down over HTTP/2", Memory(size)), async {
        let target = format!("/bytes/{size}");
        let mut response = client.ask("GET", &target, &signed_in, b"").await.expect("an answer");
        let length = response.headers.get("content-length").and_then(|value| value.to_str().ok());
        assert_eq!((response.status, length), (200, Some(size.to_string().as_str())));
        let mut bulk = Bulk::of(&stage, size);
        while let Some(bytes) = http2::next(&mut response.body).await.expect("more of it") {
            bulk.received(&bytes).await;
        }
        assert!(bulk.is_whole(), "after {} bytes", bulk.place);
    })
    .await;
    flat(&stage, &format!("{} up over HTTP/2", Memory(size)), async {
        let length = size.to_string();
        let headers = [("Authorization", bearer.as_str()), ("Content-Length", length.as_str())];
        let sent = client.send("POST", "/pausing/take", &headers, None).await;
        let (response, mut stream) = sent.expect("taken");
        let mut bulk = Bulk::of(&stage, size);
        while let Some(bytes) = bulk.next() {
            let is_last = bulk.place + bytes.len() as u64 == size;
            bulk.went(push(&mut stream, bytes, is_last).await.expect("still taken"));
        }
        let response = http2::whole(http2::head(response).await.expect("an answer")).await;
        assert_eq!((response.status, response.text()), (200, format!("{size} as they should be")));
    })
    .await;
}
