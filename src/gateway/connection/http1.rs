//! HTTP/1.1 connections: reads each header section before Pingora sees the request.
//!
//! An idle connection is little more than a socket here. Pingora's own loop waits for the first byte inside the complete_at request
//! future, about 45 KiB per idle connection, and buffers up to 1 MiB of an unfinished header. Here the header section is read
//! within its limits first, and then passed to Pingora as a request.
//!
//! ```text
//! wait for a byte (keepalive_timeout) -> read the header (header_deadline, header_bytes) -> Pingora -> again
//!                                                                                   (bounded_stream.rs)
//! ```

use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use memchr::{memchr, memchr_iter};
use pingora::apps::HttpPersistentSettings;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use crate::error::Refusal;
use crate::gateway::connection::bounded_stream::BoundedStream;
use crate::gateway::connection::client_connection::ClientConnection;
use crate::gateway::connection::{h2c, head_check};
use crate::gateway::timer::Timer;

/// Maximum number of bytes read to find the end of an oversized header, so that it gets a response. Pingora's own limit.
const MAX_READ: usize = 1 << 20;

/// A header section, truncated if it is too long. It holds tokens, so it has no `Debug`.
#[derive(Default)]
struct Head {
    /// Bytes of the section, followed by body bytes of the same read.
    bytes: BytesMut,
    /// Length of the section, including the line ends before it.
    length: usize,
    /// Number of line-end bytes before the section; they are not kept.
    skipped: usize,
    /// Last bytes of an oversized section: its end may begin in them.
    tail: Vec<u8>,
    /// Offset of the request line's line feed, once it is received.
    line_end: Option<usize>,
    /// Whether the section's end was received, or the bytes cannot become a request.
    is_complete: bool,
}

impl ClientConnection {
    /// Serves an HTTP/1.1 connection until it closes.
    pub(crate) async fn serve_http1(self: Arc<Self>, stream: Stream, stopping: &ShutdownWatch) {
        let backlog = self.http1_backlog();
        let mut stream = BoundedStream::new(stream, Arc::clone(&backlog));
        let (mut settings, mut timer) = (None, Timer::default());
        loop {
            let Some(mut head) = self.next_head(&mut stream, &mut timer, settings.is_none()).await else {
                return;
            };
            if settings.is_none() && self.speaks_h2c() && h2c::is_preface(&head.bytes) {
                let Some(stream) = h2c::rewind(stream.into_stream(), &head.bytes) else { return };
                return self.serve_http2(stream, stopping).await;
            }
            let rest = head.take_rest(self.header_bytes());
            let (request, refused) = head.into_request(self.header_bytes());
            let refused = self.connection_refusal().or(refused);
            let session = self.session(stream, (request, rest), settings.take(), stopping);
            let reused = self.serve(session, stopping, &backlog, &mut timer, refused).await;
            let Some((kept, Some(kept_settings))) = reused.map(|reused| reused.consume()) else { return };
            let Ok(kept) = kept.into_any().downcast() else { return };
            (stream, settings) = (kept, Some(kept_settings));
        }
    }

    /// Creates Pingora's session of a request, with the connection settings that the previous request left.
    fn session(
        &self,
        mut stream: Box<BoundedStream>,
        (request, rest): (BytesMut, BytesMut),
        settings: Option<HttpPersistentSettings>,
        stopping: &ShutdownWatch,
    ) -> ServerSession {
        stream.begin(rest);
        let mut session = ServerSession::new_http1(stream);
        match settings {
            Some(settings) => settings.apply_to_session(&mut session),
            None => {
                // Enabled unless the gateway is stopping; each request sets the duration.
                session.set_keepalive((!*stopping.borrow()).then_some(60));
                session.set_keepalive_reuses_remaining(Some(self.max_requests() - 1));
            }
        }
        session.set_pipelined_prefix(request);
        session
    }

    /// Reads the header of the next request. `None` when the connection ends, is evicted, or a timeout expires.
    async fn next_head(&self, stream: &mut BoundedStream, timer: &mut Timer, is_first: bool) -> Option<Head> {
        let (deadline, idle) = self.timeouts();
        let wait = if is_first { deadline } else { idle };
        let mut head = Head::default();
        let mut is_complete = head.push(&stream.take_ahead(), self.header_bytes());
        let stream = stream.stream();
        if !is_complete && !head.has_begun() {
            is_complete = tokio::select! {
                biased;
                is_complete = self.read_first(stream, &mut head) => is_complete?,
                () = self.until_closed_when_idle() => return None,
                () = timer.until(Instant::now() + wait) => return None,
            };
        }
        if is_complete {
            return Some(head);
        }
        tokio::select! {
            biased;
            // A header that the client broke off gets no response, unless it is too long already.
            head = self.read_rest(stream, head) => Some(head).filter(|head| {
                head.is_complete || head.length > self.header_bytes()
            }),
            () = self.until_evicted() => None,
            () = timer.until(Instant::now() + deadline) => {
                self.unanswered().refused(&Refusal::RequestTimeout);
                None
            }
        }
    }

    /// Waits for a header to begin, and returns whether it is complete. Line ends alone do not begin a header.
    async fn read_first(&self, stream: &mut Stream, head: &mut Head) -> Option<bool> {
        // Small: this buffer exists for as long as the connection is idle.
        let mut buffer = [0; 256];
        loop {
            let read = stream.read(&mut buffer).await.ok().filter(|&read| read > 0)?;
            let is_complete = head.push(&buffer[..read], self.header_bytes());
            if is_complete || head.has_begun() {
                return Some(is_complete);
            }
        }
    }

    /// Reads a header to its end, to [`MAX_READ`], or to the end of the connection.
    async fn read_rest(&self, stream: &mut Stream, mut head: Head) -> Head {
        // Large enough for most headers, and not zeroed for each request as an array would be.
        let mut buffer = BytesMut::with_capacity(1024);
        while head.length <= MAX_READ {
            buffer.clear();
            match stream.read_buf(&mut buffer).await {
                Ok(read) if read > 0 => {
                    if head.push(&buffer, self.header_bytes()) {
                        break;
                    }
                }
                _ => break,
            }
        }
        head
    }
}

impl Head {
    /// Adds received bytes, and returns whether the header is complete or can never become one. Bytes beyond `max_bytes` are
    /// searched for the header's end and not kept.
    fn push(&mut self, received: &[u8], max_bytes: usize) -> bool {
        self.is_complete = self.add(received, max_bytes);
        self.is_complete
    }

    fn add(&mut self, received: &[u8], max_bytes: usize) -> bool {
        if self.length > max_bytes {
            self.tail.extend_from_slice(received);
            self.length += received.len();
            let is_complete = section_end(&self.tail, 0).is_some();
            self.tail.drain(..self.tail.len().saturating_sub(3));
            return is_complete;
        }
        let had_begun = self.has_begun();
        let searched = self.bytes.len();
        self.bytes.extend_from_slice(received);
        if !had_begun {
            self.skip_line_ends();
        }
        let end = section_end(&self.bytes, if had_begun { searched } else { 0 });
        self.length = self.skipped + end.unwrap_or(self.bytes.len());
        if end.is_none() && self.length > max_bytes {
            self.tail = self.bytes[self.bytes.len().saturating_sub(3)..].to_vec();
            // Only line ends were received: there is no section whose end to search for.
            return !self.has_begun();
        }
        end.is_some() || self.is_no_request(if had_begun { searched } else { 0 })
    }

    /// Whether the bytes cannot become a request, whatever follows. The first `searched` bytes were checked before.
    fn is_no_request(&mut self, searched: usize) -> bool {
        if self.line_end.is_some() || !self.has_begun() {
            return false;
        }
        self.line_end = memchr(b'\n', &self.bytes[searched..]).map(|at| searched + at);
        head_check::is_no_request(&self.bytes, self.line_end)
    }

    /// Whether anything but line ends was received.
    fn has_begun(&self) -> bool {
        !matches!(self.bytes[..], [] | [b'\r'])
    }

    /// Skips empty lines before the request line (RFC 9112 section 2.2).
    fn skip_line_ends(&mut self) {
        let length_before = self.bytes.len();
        loop {
            match self.bytes[..] {
                [b'\n', ..] => self.bytes.advance(1),
                [b'\r', b'\n', ..] => self.bytes.advance(2),
                _ => break,
            }
        }
        self.skipped += length_before - self.bytes.len();
    }

    /// Takes the bytes after the section.
    fn take_rest(&mut self, max_bytes: usize) -> BytesMut {
        let end = self.length - self.skipped;
        // After an oversized section nothing is kept: its connection is closed.
        if self.length > max_bytes || end >= self.bytes.len() {
            return BytesMut::new();
        }
        self.bytes.split_off(end)
    }

    /// Returns the section for Pingora to parse. With a refusal, it is a stand-in for the invalid section.
    fn into_request(self, max_bytes: usize) -> (BytesMut, Option<Refusal>) {
        if self.length > max_bytes {
            let kept = &self.bytes[..self.bytes.len().min(max_bytes)];
            // Complete lines only: a truncated line may have another meaning.
            let lines = kept.iter().rposition(|&byte| byte == b'\n').map_or(&b""[..], |line| &kept[..=line]);
            return (head_check::stand_in(lines), Some(Refusal::HeaderTooLarge));
        }
        match head_check::check(&self.bytes) {
            Ok(None) => (self.bytes, None),
            Ok(Some(encoded)) => (encoded, None),
            Err(refusal) => (head_check::stand_in(&self.bytes), Some(refusal)),
        }
    }
}

/// Returns the end of the header section, after its empty line. The first `searched` bytes were searched before. Like Pingora,
/// accepts lines that end without CR.
fn section_end(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    memchr_iter(b'\n', bytes.get(from..)?).map(|at| from + at).find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::Head;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    /// Stand-in of a header without a complete line.
    const EMPTY_STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: -\r\n\r\n";

    /// Returns the section to be parsed, and whether it was accepted.
    fn request(head: Head, max_bytes: usize) -> (Vec<u8>, bool) {
        let (bytes, refused) = head.into_request(max_bytes);
        (bytes.to_vec(), refused.is_none())
    }

    #[test]
    fn header_end_is_found_in_reads_of_any_size() {
        for size in 1..HEAD.len() + 4 {
            let mut head = Head::default();
            let sent = [HEAD, b"body"].concat();
            let complete_at =
                sent.chunks(size).position(|received| head.push(received, 1000)).expect("complete");
            assert_eq!(complete_at, (HEAD.len() - 1) / size, "{size}");
            assert_eq!(head.length, HEAD.len());
            let read = sent.len().min((complete_at + 1) * size);
            assert_eq!(head.take_rest(1000)[..], sent[HEAD.len()..read]);
            assert_eq!(request(head, 1000), (HEAD.to_vec(), true));
        }
        assert!(Head::default().push(b"GET / HTTP/1.1\nHost: a\n\n", 1000));
    }

    #[test]
    fn line_ends_before_header_are_skipped_and_counted() {
        for before in [&b"\r\n"[..], b"\n", b"\n\n", b"\r\n\r\n", b"\r\n\n\r\n\r\n"] {
            let sent = [before, HEAD].concat();
            for size in 1..=sent.len() {
                let mut head = Head::default();
                let complete_at =
                    sent.chunks(size).position(|received| head.push(received, 1000)).expect("complete");
                assert_eq!(complete_at, (sent.len() - 1) / size, "{} by {size}", before.escape_ascii());
                assert_eq!(head.length, sent.len());
                assert_eq!(request(head, 1000), (HEAD.to_vec(), true));
            }
        }
        // CR CR LF is not a line end.
        let mut head = Head::default();
        assert!(head.push(b"\r\r\n\r\n", 1000));
        assert!(!request(head, 1000).1);

        // They count towards the limit: otherwise a client could send them forever.
        for size in [1, 2, 3, 7, 200] {
            let mut head = Head::default();
            let complete_at = b"\r\n"
                .repeat(100)
                .chunks(size)
                .position(|received| head.push(received, 64))
                .expect("complete");
            assert_eq!(complete_at, if size < 64 { 64 / size } else { 0 }, "{size}");
            assert!(head.length > 64 && head.bytes.len() <= 1);
            assert_eq!(request(head, 64), (EMPTY_STAND_IN.to_vec(), false));
        }
        let mut head = Head::default();
        let sent = [&b"\n".repeat(60)[..], HEAD].concat();
        assert!(sent.chunks(1).any(|received| head.push(received, 64)));
        assert!(head.length == sent.len() && head.bytes.len() < HEAD.len());
    }

    #[test]
    fn oversized_header_is_not_kept_but_its_end_is_found() {
        for size in [1, 2, 3, 7, 100] {
            let mut head = Head::default();
            let sent = [&HEAD[..HEAD.len() - 2], b"X: ", &[b'x'; 5000], b"\r\n\r\n"].concat();
            let complete_at =
                sent.chunks(size).position(|received| head.push(received, 64)).expect("complete");
            assert_eq!(complete_at, (sent.len() - 1) / size, "{size}");
            assert!(head.length > 5000 && head.bytes.len() < 64 + 101);
            assert_eq!(request(head, 64), (HEAD.to_vec(), false));
        }
        let mut head = Head::default();
        assert!(!head.push(&[b'x'; 100], 64));
        assert_eq!(request(head, 64), (EMPTY_STAND_IN.to_vec(), false), "no complete line");
    }
}
