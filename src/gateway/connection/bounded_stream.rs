//! A connection that speaks HTTP/1.1, as one request may read it: to the end of its body, and no further.
//!
//! Whoever waits for an answer is listened to, so that its end is heard. What comes instead is the next request's: it is kept
//! for it, where Pingora would fail the request that is under way.
//!
//! ```text
//! header (http1.rs) -> as much as its body has -> only the end; the rest is kept -> header of the next
//! ```

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use http::header;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora::proxy::Session;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use crate::gateway::connection::backlog::{Backlog, Connection};
use crate::gateway::request::current_request;
use crate::gateway::request::silence;

/// What is read ahead of a request is no more than this: enough to tell that there is something, and for most of its header.
const AHEAD: usize = 1024;

/// What is read of a connection that is closed, so that the client still reads its answer.
const LEFTOVER: usize = 64 << 10;

/// Such a connection. What is kept of it may hold tokens and passwords: `Debug` tells only how much there is.
pub(crate) struct BoundedStream {
    stream: Stream,
    /// Came before its turn.
    ahead: BytesMut,
    /// What the request may still read.
    left: AtomicU64,
    /// The client does not take what it is sent, which was said.
    blocks: bool,
    written: WriteSide,
}

/// Where it is counted what the client has not taken.
enum WriteSide {
    Http1(Arc<Backlog>),
    Http2(Arc<Connection>),
}

impl fmt::Debug for BoundedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ahead, left) = (self.ahead.len(), &self.left);
        f.debug_struct("BoundedStream").field("ahead", &ahead).field("left", left).finish_non_exhaustive()
    }
}

impl BoundedStream {
    /// For a request that has no body yet.
    pub(crate) fn new(stream: Stream, backlog: Arc<Backlog>) -> Box<Self> {
        stream.get_socket_digest().into_iter().for_each(|socket| backlog.set_socket(socket));
        let written = WriteSide::Http1(backlog);
        Box::new(Self { stream, ahead: BytesMut::new(), left: AtomicU64::new(0), blocks: false, written })
    }

    /// For HTTP/2, which reads all of it.
    pub(crate) fn whole(stream: Stream, connection: Arc<Connection>) -> Box<Self> {
        stream.get_socket_digest().into_iter().for_each(|socket| connection.socket().set_socket(socket));
        let written = WriteSide::Http2(connection);
        Box::new(Self {
            stream,
            ahead: BytesMut::new(),
            left: AtomicU64::new(u64::MAX),
            blocks: false,
            written,
        })
    }

    /// The backlog of its write side.
    fn backlog(&self) -> &Backlog {
        match &self.written {
            WriteSide::Http1(backlog) => backlog,
            WriteSide::Http2(connection) => connection.socket(),
        }
    }

    /// Counts what came of a write of `size` bytes.
    fn count_write(&self, size: usize, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.backlog().was_blocked(size),
            Poll::Ready(Ok(accepted)) => self.backlog().was_accepted(*accepted, *accepted == size),
            Poll::Ready(Err(_)) => {}
        }
    }

    /// What came before its turn, taken.
    pub(crate) fn take_ahead(&mut self) -> BytesMut {
        std::mem::take(&mut self.ahead)
    }

    /// Puts back what is not of the header that was read, for the request to read what is its own.
    pub(crate) fn begin(&mut self, ahead: BytesMut) {
        self.ahead = ahead;
        *self.left.get_mut() = 0;
    }

    /// The connection itself, for who reads a header of it.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The connection itself, with what came before its turn lost.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Of a session; `None` over HTTP/2, whose requests cannot be in each other's way.
    fn of(session: &Session) -> Option<&Self> {
        let stream = session.as_downstream().stream()?;
        (**stream).as_any().downcast_ref()
    }

    /// Whether the next request has begun. Empty lines are none (RFC 9112 section 2.2).
    fn has_next(&self) -> bool {
        self.ahead.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// Waits for the end, and keeps what comes instead.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.has_next() && self.ahead.len() < AHEAD {
            let mut more = [0; AHEAD];
            let mut more = ReadBuf::new(&mut more);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut more))?;
            if more.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(more.filled());
        }
        // The request's answer is what it waits for now.
        Poll::Pending
    }

    /// Notes whether the client takes what it is sent: while it does not, the app is not waited for.
    fn note<T>(&mut self, sent: Poll<T>) -> Poll<T> {
        if sent.is_pending() != self.blocks {
            self.blocks = sent.is_pending();
            current_request::client_blocks(self.blocks);
        }
        sent
    }

    /// A socket that is closed with something unread is reset, and the answer may be lost with it.
    fn drop_leftover(&mut self, cx: &mut Context<'_>) {
        let mut read = self.ahead.len();
        let mut more = [0; 4096];
        while (1..LEFTOVER).contains(&read) {
            let mut more = ReadBuf::new(&mut more);
            let came = Pin::new(&mut self.stream).poll_read(cx, &mut more);
            if !matches!(came, Poll::Ready(Ok(()))) || more.filled().is_empty() {
                break;
            }
            read += more.filled().len();
        }
        self.ahead.clear();
    }
}

/// A request's header is read: it may read its body.
pub(crate) fn admit_body(session: &mut Session) {
    let headers = &session.req_header().headers;
    let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let Some(portion) = BoundedStream::of(session) else { return };
    // Chunks tell their end to who reads them. Then Pingora is to keep what follows, and its connection is not used again.
    portion.left.store(if is_chunked { u64::MAX } else { length.unwrap_or(0) }, Ordering::Relaxed);
    if is_chunked {
        session.as_mut().set_pipelining_enabled(true);
    }
}

/// A request has become a tunnel.
pub(crate) fn admit_all(session: &Session) {
    if let Some(portion) = BoundedStream::of(session) {
        portion.left.store(u64::MAX, Ordering::Relaxed);
    }
}

/// Ends a connection on which the next request has come before this one's answer. RFC 9112 section 9.3.2 allows it, and clients
/// do not do it; what a proxy in front takes for the end of this one's body may look like that.
pub(crate) fn end_if_pipelined(session: &mut Session) {
    if BoundedStream::of(session).is_some_and(BoundedStream::has_next) {
        session.set_keepalive(None);
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = this.left.get_mut();
        if *left == 0 {
            let end = this.poll_end(cx);
            if end.is_pending() && current_request::app_is_given_up() {
                return Poll::Ready(Err(silence::timed_out()));
            }
            return end;
        }
        let before = buf.filled().len();
        if this.ahead.is_empty() {
            let read = Pin::new(&mut (&mut this.stream).take(*left)).poll_read(cx, buf);
            if read.is_pending() && current_request::app_is_given_up() {
                return Poll::Ready(Err(silence::timed_out()));
            }
            ready!(read)?;
        } else {
            let most = buf.remaining().min(usize::try_from(*left).unwrap_or(usize::MAX));
            let given = most.min(this.ahead.len());
            buf.put_slice(&this.ahead[..given]);
            this.ahead.advance(given);
        }
        // A tunnel has no end.
        if *left != u64::MAX {
            *left -= (buf.filled().len() - before) as u64;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.count_write(buf.len(), &written);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        match flushed {
            Poll::Pending => self.backlog().was_blocked(0),
            Poll::Ready(_) => self.backlog().was_accepted(0, true),
        }
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.drop_leftover(cx);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.count_write(bufs.iter().map(|buf| buf.len()).sum(), &written);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for BoundedStream {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

impl UniqueID for BoundedStream {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for BoundedStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for BoundedStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for BoundedStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for BoundedStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Peek for BoundedStream {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::super::backlog::Backlog;
    use super::{AHEAD, BoundedStream};

    fn portion(server: tokio::io::DuplexStream) -> Box<BoundedStream> {
        BoundedStream::new(Box::new(server), Backlog::of_http1(&Arc::default(), None, false))
    }

    #[tokio::test]
    async fn a_request_reads_its_body_and_the_rest_waits_for_the_next() {
        let (mut client, server) = duplex(64);
        let mut portion = portion(server);
        portion.begin((&b"bo"[..]).into());
        *portion.left.get_mut() = 4;
        client.write_all(b"dy\r\nGET /").await.expect("sent");
        let mut read = [0; 64];
        assert_eq!(portion.read(&mut read).await.expect("what was ahead"), 2);
        assert_eq!(portion.read(&mut read[2..]).await.expect("the rest"), 2);
        assert_eq!(&read[..4], b"body");
        assert!(portion.read(&mut read).now_or_never().is_none(), "it is over, and nobody has gone");
        assert!(portion.has_next());
        assert_eq!(portion.take_ahead()[..], b"\r\nGET /"[..]);
    }

    #[tokio::test]
    async fn empty_lines_are_no_request_and_the_end_is_heard_behind_them() {
        let (mut client, server) = duplex(2 * AHEAD);
        let mut portion = portion(server);
        let mut read = [0; 1];
        client.write_all(b"\r\n").await.expect("sent");
        assert!(portion.read(&mut read).now_or_never().is_none());
        assert!(!portion.has_next());
        drop(client);
        assert_eq!(portion.read(&mut read).await.expect("the end"), 0);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_tells_that_there_is_something() {
        let (mut client, server) = duplex(8 * AHEAD);
        let mut portion = portion(server);
        client.write_all(&b"\n".repeat(4 * AHEAD)).await.expect("sent");
        for _ in 0..8 {
            assert!(portion.read(&mut [0; 1]).now_or_never().is_none());
        }
        assert!(portion.ahead.len() <= 2 * AHEAD);
    }

    #[tokio::test]
    async fn what_was_read_ahead_is_not_printed() {
        let backlog = Backlog::of_http1(&Arc::default(), None, false);
        let mut portion = BoundedStream::new(Box::new(duplex(64).0), backlog);
        portion.begin((&b"Authorization: Bearer secret"[..]).into());
        let printed = format!("{portion:?}");
        assert!(printed.contains("28") && !printed.contains("secret"), "{printed}");
    }
}
