//! An app that sends and verifies bodies of any size from a fixed byte pattern.
//!
//! `/…/bytes/N` sends N bytes, whole or by range · `/…/pieces/N` sends them in small chunks · `/…/take` reads a body
//! and returns its length, with 100 Continue where the client expects it · `/pausing/take` pauses halfway through the
//! body · `/…/status/N` responds with status N at once, without reading the body · anything else: 200 `hello`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// ETag of the bytes.
pub(crate) const ETAG: &str = "\"as-always\"";

/// Duration of a reading pause; far more bytes would arrive meanwhile than the gateway may buffer.
pub(crate) const BREATH: Duration = Duration::from_secs(1);

/// Size of a small chunk.
const PIECE: u64 = 4 << 10;

/// A prime, so that no buffer size divides it: lost, repeated or reordered bytes are detected.
const PERIOD: usize = 1_048_573;

/// Bytes determined by their offset.
#[derive(Clone)]
pub(crate) struct Pattern(Arc<Vec<u8>>);

impl Pattern {
    pub(crate) fn new() -> Self {
        let mut state = 0x9e37_79b9_u32;
        let bytes = (0..PERIOD).map(|_| {
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        });
        Self(Arc::new(bytes.collect()))
    }

    /// At most `most` bytes from an offset.
    pub(crate) fn at(&self, offset: u64, most: u64) -> &[u8] {
        let period = u64::try_from(PERIOD).expect("small");
        let start = usize::try_from(offset % period).expect("below the period");
        let most = usize::try_from(most.min(period)).expect("at most the period");
        &self.0[start..PERIOD.min(start + most)]
    }

    /// Returns true if these are the bytes from an offset on.
    pub(crate) fn is(&self, mut offset: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let expected = self.at(offset, bytes.len() as u64);
            if !bytes.starts_with(expected) {
                return false;
            }
            offset += expected.len() as u64;
            bytes = &bytes[expected.len()..];
        }
        true
    }
}

/// Counters of the app.
#[derive(Default)]
pub(crate) struct Seen {
    /// Requests received.
    pub(crate) heads: AtomicU64,
    /// Requests received with `Expect: 100-continue`.
    pub(crate) expecting: AtomicU64,
    /// Body bytes received.
    pub(crate) taken: AtomicU64,
    /// Responses aborted before their end.
    pub(crate) given_up: AtomicU64,
}

/// A running app; ended when dropped.
pub(crate) struct BlobServer {
    address: SocketAddr,
    pub(crate) pattern: Pattern,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

impl BlobServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (pattern, seen) = (Pattern::new(), Arc::new(Seen::default()));
        let serving = (pattern.clone(), Arc::clone(&seen));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (pattern, seen) = serving.clone();
                tokio::spawn(Visit { stream, buffer: Vec::new(), pattern, seen }.serve());
            }
        });
        Self { address, pattern, seen, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn seen(&self, what: impl Fn(&Seen) -> &AtomicU64) -> u64 {
        what(&self.seen).load(Ordering::SeqCst)
    }
}

impl Drop for BlobServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One client connection.
struct Visit {
    stream: TcpStream,
    buffer: Vec<u8>,
    pattern: Pattern,
    seen: Arc<Seen>,
}

impl Visit {
    async fn serve(mut self) -> Option<()> {
        loop {
            let head = self.head().await?;
            self.seen.heads.fetch_add(1, Ordering::SeqCst);
            let target = head.split(' ').nth(1)?.to_owned();
            let number = target.rsplit('/').next().and_then(|last| last.parse::<u64>().ok());
            if target.contains("/bytes/") {
                self.give(&head, number?).await?;
            } else if target.contains("/pieces/") {
                self.give_pieces(number?).await?;
            } else if target.ends_with("/take") {
                self.take(&head, target.starts_with("/pausing/")).await?;
            } else if target.contains("/status/") {
                // The body was not read, so the connection cannot be reused.
                let head =
                    format!("HTTP/1.1 {} Told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", number?);
                return self.stream.write_all(head.as_bytes()).await.ok();
            } else {
                self.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.ok()?;
            }
        }
    }

    async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = self.buffer.drain(..at + 4).collect();
                return String::from_utf8(head).ok();
            }
            let mut chunk = [0; 4096];
            let read = self.stream.read(&mut chunk).await.ok().filter(|&read| read > 0)?;
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    async fn give(&mut self, head: &str, size: u64) -> Option<()> {
        // RFC 9110 section 13.1.5: a range applies only to the representation the client has.
        let same = field(head, "if-range").is_none_or(|tag| tag == ETAG);
        let range = field(head, "range").filter(|_| same).and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse::<u64>().ok()?, last.parse::<u64>().unwrap_or(size - 1)))
        });
        let (mut offset, end, line) = match range {
            Some((first, _)) if first >= size => {
                let head = format!(
                    "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\n\r\n"
                );
                return self.stream.write_all(head.as_bytes()).await.ok();
            }
            Some((first, last)) => {
                let last = last.min(size - 1);
                (
                    first,
                    last + 1,
                    format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{size}"),
                )
            }
            None => (0, size, "200 OK".to_owned()),
        };
        let head = format!(
            "HTTP/1.1 {line}\r\nETag: {ETAG}\r\nAccept-Ranges: bytes\r\nContent-Length: {}\r\n\r\n",
            end - offset
        );
        self.stream.write_all(head.as_bytes()).await.ok()?;
        while offset < end {
            let bytes = self.pattern.at(offset, (end - offset).min(256 << 10));
            if self.stream.write_all(bytes).await.is_err() {
                self.seen.given_up.fetch_add(1, Ordering::SeqCst);
                return None;
            }
            offset += bytes.len() as u64;
        }
        Some(())
    }

    /// Sends a few KiB at a time, as many apps do (RFC 9112 section 7.1).
    async fn give_pieces(&mut self, size: u64) -> Option<()> {
        self.stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.ok()?;
        let mut offset = 0;
        while offset < size {
            let bytes = self.pattern.at(offset, (size - offset).min(PIECE));
            let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
            if self.stream.write_all(&chunk).await.is_err() {
                self.seen.given_up.fetch_add(1, Ordering::SeqCst);
                return None;
            }
            offset += bytes.len() as u64;
        }
        self.stream.write_all(b"0\r\n\r\n").await.ok()
    }

    async fn take(&mut self, head: &str, mut breath: bool) -> Option<()> {
        let length: u64 = field(head, "content-length")?.parse().ok()?;
        if field(head, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.seen.expecting.fetch_add(1, Ordering::SeqCst);
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        let (mut offset, mut good) = (0, true);
        let mut chunk = vec![0; 256 << 10];
        while offset < length {
            if offset >= length / 2 && std::mem::take(&mut breath) {
                tokio::time::sleep(BREATH).await;
            }
            let bytes = if self.buffer.is_empty() {
                let read = self.stream.read(&mut chunk).await.ok().filter(|&read| read > 0)?;
                &chunk[..read]
            } else {
                chunk.clear();
                chunk.append(&mut self.buffer);
                let read = chunk.len();
                chunk.resize(256 << 10, 0);
                &chunk[..read]
            };
            good &= self.pattern.is(offset, bytes);
            offset += bytes.len() as u64;
            self.seen.taken.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
        let verdict = format!("{offset} {}", if good { "as they should be" } else { "others" });
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{verdict}", verdict.len());
        self.stream.write_all(response.as_bytes()).await.ok()
    }
}

/// Value of a header.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let value = |field: &'a str| {
        field.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    head.lines().skip(1).find_map(value)
}
