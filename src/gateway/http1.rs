//! A connection that speaks HTTP/1.1: while it waits for a request it is little more than a socket.
//!
//! Pingora's own loop enters a request's whole future to wait for its first byte, some 45 KiB for as long as a connection is
//! idle, and keeps up to 1 MiB of a header that does not end. Here a header is read first, within its bounds, and then a
//! request is made of it.
//!
//! ```text
//! wait for a byte (keepalive_timeout) -> read to the header's end (header_deadline, header_bytes) -> Pingora -> again
//! ```

use std::sync::Arc;

use bytes::BytesMut;
use pingora::apps::HttpPersistentSettings;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncReadExt as _;

use super::requests::Requests;

/// What is read to find the end of a header that is too long, so that it is answered: as far as Pingora reads.
const LONGEST: usize = 1 << 20;

/// A header section, or as much of it as may be kept.
#[derive(Debug, Default)]
struct Head {
    /// With what came of the body in the same read.
    bytes: BytesMut,
    /// Of the section alone.
    length: usize,
    /// The last of what is not kept: the end may begin in it.
    last: Vec<u8>,
}

impl Requests {
    /// Serves it to its end.
    pub(super) async fn serve_http1(self: Arc<Self>, mut stream: Stream, stopping: &ShutdownWatch) {
        let mut before = None;
        loop {
            let Some(head) = self.next_head(&mut stream, before.is_none()).await else { return };
            let is_too_long = head.length > self.header_bytes();
            let session = self.session(stream, head, before.take(), stopping);
            let reused = self.serve(session, stopping, is_too_long).await;
            let Some((kept, settings)) = reused.map(|reused| reused.consume()) else { return };
            (stream, before) = (kept, settings);
            if before.is_none() {
                return;
            }
        }
    }

    /// A request of its header, and of what settings the one before has left.
    fn session(
        &self,
        stream: Stream,
        head: Head,
        before: Option<HttpPersistentSettings>,
        stopping: &ShutdownWatch,
    ) -> ServerSession {
        let mut session = ServerSession::new_http1(stream);
        match before {
            Some(settings) => settings.apply_to_session(&mut session),
            None => {
                // On, unless it is the last; each request says for how long.
                session.set_keepalive((!*stopping.borrow()).then_some(60));
                session.set_keepalive_reuses_remaining(Some(self.most() - 1));
            }
        }
        session.set_pipelined_prefix(head.into_request(self.header_bytes()));
        session
    }

    /// The header of the next request; `None` when there is none to come, or not in time.
    async fn next_head(&self, stream: &mut Stream, is_first: bool) -> Option<Head> {
        let (deadline, idle) = self.patience();
        let wait = if is_first { deadline } else { idle };
        // Small: it is there for as long as the connection is idle.
        let mut first = [0; 256];
        let came = tokio::select! {
            biased;
            read = stream.read(&mut first) => read.ok().filter(|&read| read > 0)?,
            () = self.until_unwanted() => return None,
            () = tokio::time::sleep(wait) => return None,
        };
        let mut head = Head::default();
        if head.take(&first[..came], self.header_bytes()) {
            return Some(head);
        }
        tokio::select! {
            biased;
            head = self.rest(stream, head) => Some(head),
            () = self.until_displaced() => None,
            () = tokio::time::sleep(deadline) => None,
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
    /// Adds what has come; whether the header is there. What is too long is looked at, and not kept.
    fn take(&mut self, came: &[u8], most: usize) -> bool {
        if self.length > most {
            self.last.extend_from_slice(came);
            self.length += came.len();
            let is_whole = end(&self.last, 0).is_some();
            self.last.drain(..self.last.len().saturating_sub(3));
            return is_whole;
        }
        let seen = self.bytes.len();
        self.bytes.extend_from_slice(came);
        let end = end(&self.bytes, seen);
        self.length = end.unwrap_or(self.bytes.len());
        if end.is_none() && self.length > most {
            self.last = self.bytes[self.length - 3..].to_vec();
        }
        end.is_some()
    }

    /// As it came; of one that is too long the lines that were kept: it is refused, but it is a request.
    fn into_request(self, most: usize) -> BytesMut {
        let mut bytes = self.bytes;
        if self.length > most {
            match bytes[..most].iter().rposition(|&byte| byte == b'\n') {
                Some(line) => bytes.truncate(line + 1),
                None => bytes = BytesMut::from(&b"GET / HTTP/1.1\r\n"[..]),
            }
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }
}

/// Where a header section ends of which `seen` bytes were looked at before: after an empty line. Pingora takes lines that end
/// without CR, too.
fn end(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
    let mut feeds = (from..bytes.len()).filter(|&at| bytes[at] == b'\n');
    feeds.find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::Head;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn a_header_ends_with_an_empty_line_however_it_is_cut() {
        for size in 1..HEAD.len() + 4 {
            let mut head = Head::default();
            let sent = [HEAD, b"body"].concat();
            let whole = sent.chunks(size).position(|came| head.take(came, 1000)).expect("it ends");
            assert_eq!(whole, (HEAD.len() - 1) / size, "{size}");
            assert_eq!(head.length, HEAD.len());
            assert!(head.into_request(1000).starts_with(HEAD));
        }
        assert!(Head::default().take(b"GET / HTTP/1.1\nHost: a\n\n", 1000));
    }

    #[test]
    fn what_is_too_long_is_not_kept_and_its_end_is_found() {
        for size in [1, 2, 3, 7, 100] {
            let mut head = Head::default();
            let sent = [&HEAD[..HEAD.len() - 2], b"X: ", &[b'x'; 5000], b"\r\n\r\n"].concat();
            let whole = sent.chunks(size).position(|came| head.take(came, 64)).expect("it ends");
            assert_eq!(whole, (sent.len() - 1) / size, "{size}");
            assert!(head.length > 5000 && head.bytes.len() < 64 + 101);
            assert_eq!(&head.into_request(64)[..], HEAD);
        }
        let mut head = Head::default();
        assert!(!head.take(&[b'x'; 100], 64));
        assert_eq!(&head.into_request(64)[..], b"GET / HTTP/1.1\r\n\r\n", "not even a line");
    }
}
