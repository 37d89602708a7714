//! A connection that speaks HTTP/1.1: while it waits for a request it is little more than a socket.
//!
//! Pingora's own loop enters a request's whole future to wait for its first byte, some 45 KiB for as long as a connection is
//! idle, and keeps up to 1 MiB of a header that does not end. Here a header is read first, within its bounds, and then a
//! request is made of it.
//!
//! ```text
//! wait for a byte (keepalive_timeout) -> read to the header's end (header_deadline, header_bytes) -> Pingora -> again
//!                                                                                                   (portion.rs)
//! ```

use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use memchr::{memchr, memchr_iter};
use pingora::apps::HttpPersistentSettings;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncReadExt as _;

use crate::error::Refusal;
use crate::gateway::connection::bounded_stream::BoundedStream;
use crate::gateway::connection::client_connection::ClientConnection;
use crate::gateway::connection::{h2c, head_check};

/// What is read to find the end of a header that is too long, so that it is answered: as far as Pingora reads.
const LONGEST: usize = 1 << 20;

/// A header section, or as much of it as may be kept. It holds tokens and is not to be printed.
#[derive(Default)]
struct Head {
    /// With what came of the body in the same read.
    bytes: BytesMut,
    /// Of the section alone, with the line ends before it.
    length: usize,
    /// Those line ends; they are not kept.
    skipped: usize,
    /// The last of what is not kept: the end may begin in it.
    last: Vec<u8>,
    /// Where the request line ends, once that is known.
    line_end: Option<usize>,
    /// The end of the section has come, or nothing can make a request of it any more.
    is_complete: bool,
}

impl ClientConnection {
    /// Serves it to its end.
    pub(crate) async fn serve_http1(self: Arc<Self>, stream: Stream, stopping: &ShutdownWatch) {
        let backlog = self.http1_backlog();
        let mut stream = BoundedStream::new(stream, Arc::clone(&backlog));
        let mut before = None;
        loop {
            let Some(mut head) = self.next_head(&mut stream, before.is_none()).await else { return };
            if before.is_none() && self.speaks_h2c() && h2c::is_preface(&head.bytes) {
                let Some(stream) = h2c::unread(stream.into_stream(), &head.bytes) else { return };
                return self.serve_http2(stream, stopping).await;
            }
            let rest = head.take_rest(self.header_bytes());
            let (request, refused) = head.into_request(self.header_bytes());
            let refused = self.refuses().or(refused);
            let session = self.session(stream, (request, rest), before.take(), stopping);
            let reused = self.serve(session, stopping, &backlog, refused).await;
            let Some((kept, Some(settings))) = reused.map(|reused| reused.consume()) else { return };
            let Ok(kept) = kept.into_any().downcast() else { return };
            (stream, before) = (kept, Some(settings));
        }
    }

    /// A request of its header, and of what settings the one before has left.
    fn session(
        &self,
        mut stream: Box<BoundedStream>,
        (request, rest): (BytesMut, BytesMut),
        before: Option<HttpPersistentSettings>,
        stopping: &ShutdownWatch,
    ) -> ServerSession {
        stream.begin(rest);
        let mut session = ServerSession::new_http1(stream);
        match before {
            Some(settings) => settings.apply_to_session(&mut session),
            None => {
                // On, unless it is the last; each request says for how long.
                session.set_keepalive((!*stopping.borrow()).then_some(60));
                session.set_keepalive_reuses_remaining(Some(self.most() - 1));
            }
        }
        session.set_pipelined_prefix(request);
        session
    }

    /// The header of the next request; `None` when there is none to come, or not in time.
    async fn next_head(&self, stream: &mut BoundedStream, is_first: bool) -> Option<Head> {
        let (deadline, idle) = self.patience();
        let wait = if is_first { deadline } else { idle };
        let mut head = Head::default();
        let mut is_whole = head.take(&stream.take_ahead(), self.header_bytes());
        let stream = stream.stream();
        if !is_whole && !head.has_begun() {
            is_whole = tokio::select! {
                biased;
                is_whole = self.begin(stream, &mut head) => is_whole?,
                () = self.until_unwanted() => return None,
                () = tokio::time::sleep(wait) => return None,
            };
        }
        if is_whole {
            return Some(head);
        }
        tokio::select! {
            biased;
            // One that ended before its end is nobody's request any more.
            head = self.rest(stream, head) => Some(head).filter(|head| {
                head.is_complete || head.length > self.header_bytes()
            }),
            () = self.until_evicted() => None,
            () = tokio::time::sleep(deadline) => {
                self.unanswered().refused(&Refusal::RequestTimeout);
                None
            }
        }
    }

    /// Waits for a header to begin; whether all of it came. Line ends alone begin none.
    async fn begin(&self, stream: &mut Stream, head: &mut Head) -> Option<bool> {
        // Small: it is there for as long as the connection is idle.
        let mut first = [0; 256];
        loop {
            let came = stream.read(&mut first).await.ok().filter(|&read| read > 0)?;
            let is_whole = head.take(&first[..came], self.header_bytes());
            if is_whole || head.has_begun() {
                return Some(is_whole);
            }
        }
    }

    /// Reads a header to its end. One that does not come to it is judged as it is.
    async fn rest(&self, stream: &mut Stream, mut head: Head) -> Head {
        // Most headers end in it; it is not zeroed first, as an array would be for each request.
        let mut more = BytesMut::with_capacity(1024);
        while head.length <= LONGEST {
            more.clear();
            match stream.read_buf(&mut more).await {
                Ok(read) if read > 0 => {
                    if head.take(&more, self.header_bytes()) {
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
    /// Adds what has come; whether the header is there, or no header can come of it. What is too long is looked at, and not
    /// kept.
    fn take(&mut self, came: &[u8], most: usize) -> bool {
        self.is_complete = self.add(came, most);
        self.is_complete
    }

    fn add(&mut self, came: &[u8], most: usize) -> bool {
        if self.length > most {
            self.last.extend_from_slice(came);
            self.length += came.len();
            let is_whole = end(&self.last, 0).is_some();
            self.last.drain(..self.last.len().saturating_sub(3));
            return is_whole;
        }
        let has_begun = self.has_begun();
        let seen = self.bytes.len();
        self.bytes.extend_from_slice(came);
        if !has_begun {
            self.skip();
        }
        let end = end(&self.bytes, if has_begun { seen } else { 0 });
        self.length = self.skipped + end.unwrap_or(self.bytes.len());
        if end.is_none() && self.length > most {
            self.last = self.bytes[self.bytes.len().saturating_sub(3)..].to_vec();
            // Nothing but line ends: there is no end to look for.
            return !self.has_begun();
        }
        end.is_some() || self.is_no_request(if has_begun { seen } else { 0 })
    }

    /// Whether nothing that may still come makes it a request. `seen` bytes were looked at before.
    fn is_no_request(&mut self, seen: usize) -> bool {
        if self.line_end.is_some() || !self.has_begun() {
            return false;
        }
        self.line_end = memchr(b'\n', &self.bytes[seen..]).map(|at| seen + at);
        head_check::is_no_request(&self.bytes, self.line_end)
    }

    /// Whether there is more than line ends.
    fn has_begun(&self) -> bool {
        !matches!(self.bytes[..], [] | [b'\r'])
    }

    /// RFC 9112 section 2.2: an empty line before a request is no part of it.
    fn skip(&mut self) {
        let before = self.bytes.len();
        loop {
            match self.bytes[..] {
                [b'\n', ..] => self.bytes.advance(1),
                [b'\r', b'\n', ..] => self.bytes.advance(2),
                _ => break,
            }
        }
        self.skipped += before - self.bytes.len();
    }

    /// What came behind it.
    fn take_rest(&mut self, most: usize) -> BytesMut {
        let end = self.length - self.skipped;
        // A longer one has none, and its connection has no next.
        if self.length > most || end >= self.bytes.len() {
            return BytesMut::new();
        }
        self.bytes.split_off(end)
    }

    /// The section to be parsed, and why it is refused, if it is: then another stands in for it.
    fn into_request(self, most: usize) -> (BytesMut, Option<Refusal>) {
        if self.length > most {
            let kept = &self.bytes[..self.bytes.len().min(most)];
            // A line that was cut says something else than the whole.
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

/// Where a header section ends of which `seen` bytes were looked at before: after an empty line. Pingora takes lines that end
/// without CR, too.
fn end(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
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
    /// What stands in for nothing.
    const NONE: &[u8] = b"GET / HTTP/1.1\r\nHost: -\r\n\r\n";

    /// What is parsed, and whether it is taken.
    fn request(head: Head, most: usize) -> (Vec<u8>, bool) {
        let (bytes, refused) = head.into_request(most);
        (bytes.to_vec(), refused.is_none())
    }

    #[test]
    fn a_header_ends_with_an_empty_line_however_it_is_cut() {
        for size in 1..HEAD.len() + 4 {
            let mut head = Head::default();
            let sent = [HEAD, b"body"].concat();
            let whole = sent.chunks(size).position(|came| head.take(came, 1000)).expect("it ends");
            assert_eq!(whole, (HEAD.len() - 1) / size, "{size}");
            assert_eq!(head.length, HEAD.len());
            let read = sent.len().min((whole + 1) * size);
            assert_eq!(head.take_rest(1000)[..], sent[HEAD.len()..read]);
            assert_eq!(request(head, 1000), (HEAD.to_vec(), true));
        }
        assert!(Head::default().take(b"GET / HTTP/1.1\nHost: a\n\n", 1000));
    }

    #[test]
    fn line_ends_before_a_header_are_no_header_and_no_part_of_it() {
        for before in [&b"\r\n"[..], b"\n", b"\n\n", b"\r\n\r\n", b"\r\n\n\r\n\r\n"] {
            let sent = [before, HEAD].concat();
            for size in 1..=sent.len() {
                let mut head = Head::default();
                let whole = sent.chunks(size).position(|came| head.take(came, 1000)).expect("it ends");
                assert_eq!(whole, (sent.len() - 1) / size, "{} by {size}", before.escape_ascii());
                assert_eq!(head.length, sent.len());
                assert_eq!(request(head, 1000), (HEAD.to_vec(), true));
            }
        }
        // Not a line's end.
        let mut head = Head::default();
        assert!(head.take(b"\r\r\n\r\n", 1000));
        assert!(!request(head, 1000).1);

        // They count, or they would come for ever.
        for size in [1, 2, 3, 7, 200] {
            let mut head = Head::default();
            let whole =
                b"\r\n".repeat(100).chunks(size).position(|came| head.take(came, 64)).expect("it ends");
            assert_eq!(whole, if size < 64 { 64 / size } else { 0 }, "{size}");
            assert!(head.length > 64 && head.bytes.len() <= 1);
            assert_eq!(request(head, 64), (NONE.to_vec(), false));
        }
        let mut head = Head::default();
        let sent = [&b"\n".repeat(60)[..], HEAD].concat();
        assert!(sent.chunks(1).any(|came| head.take(came, 64)));
        assert!(head.length == sent.len() && head.bytes.len() < HEAD.len());
    }

    #[test]
    fn what_is_too_long_is_not_kept_and_its_end_is_found() {
        for size in [1, 2, 3, 7, 100] {
            let mut head = Head::default();
            let sent = [&HEAD[..HEAD.len() - 2], b"X: ", &[b'x'; 5000], b"\r\n\r\n"].concat();
            let whole = sent.chunks(size).position(|came| head.take(came, 64)).expect("it ends");
            assert_eq!(whole, (sent.len() - 1) / size, "{size}");
            assert!(head.length > 5000 && head.bytes.len() < 64 + 101);
            assert_eq!(request(head, 64), (HEAD.to_vec(), false));
        }
        let mut head = Head::default();
        assert!(!head.take(&[b'x'; 100], 64));
        assert_eq!(request(head, 64), (NONE.to_vec(), false), "not even a line");
    }
}
