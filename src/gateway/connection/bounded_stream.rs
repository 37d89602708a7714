//! Message-bounded stream: an HTTP/1.1 connection that a request can read up to the end of its body, and no further.
//!
//! While a client waits for its response, the connection is still read, so that a disconnect is noticed. Bytes received then
//! belong to the next request and are kept for it; Pingora would fail the current request instead.
//!
//! ```text
//! header (http1.rs) -> body, up to its length -> disconnect only; other bytes are kept -> header of the next request
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

/// Maximum size of a piece of a request body, in bytes. An app that takes less than one within the route's `timeout` is silent: with
/// 60 seconds that is 273 bytes a second. Larger pieces would count slower apps as silent, smaller ones cost a wake-up each.
const PIECE: u64 = 16 << 10;

/// Size of one read of the next request. No more is read once anything of it is there: enough for most of its header.
const AHEAD: usize = 1024;

/// Maximum number of bytes read and dropped before a connection is closed, so that the client can still read its response.
const MAX_DISCARDED: usize = 64 << 10;

/// A message-bounded stream. Its buffer may hold tokens and passwords, so `Debug` shows lengths only.
pub(crate) struct BoundedStream {
    stream: Stream,
    /// Bytes received early: they belong to the body or to the next request.
    ahead: BytesMut,
    /// Bytes that the request may still read; `u64::MAX` = unbounded.
    left: AtomicU64,
    /// Whether the client was last reported as not reading.
    is_blocked: bool,
    write_side: WriteSide,
}

/// Backlog that counts the bytes the client has not read yet.
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
    /// Creates the stream of an HTTP/1.1 connection. It reads no body until [`admit_body`].
    pub(crate) fn new(stream: Stream, backlog: Arc<Backlog>) -> Box<Self> {
        stream.get_socket_digest().into_iter().for_each(|socket| backlog.set_socket(socket));
        Box::new(Self {
            stream,
            ahead: BytesMut::new(),
            left: AtomicU64::new(0),
            is_blocked: false,
            write_side: WriteSide::Http1(backlog),
        })
    }

    /// Creates the stream of an HTTP/2 connection, without a bound.
    pub(crate) fn whole(stream: Stream, connection: Arc<Connection>) -> Box<Self> {
        stream.get_socket_digest().into_iter().for_each(|socket| connection.socket().set_socket(socket));
        Box::new(Self {
            stream,
            ahead: BytesMut::new(),
            left: AtomicU64::new(u64::MAX),
            is_blocked: false,
            write_side: WriteSide::Http2(connection),
        })
    }

    /// Send backlog of the connection.
    fn backlog(&self) -> &Backlog {
        match &self.write_side {
            WriteSide::Http1(backlog) => backlog,
            WriteSide::Http2(connection) => connection.socket(),
        }
    }

    /// Counts the result of a write of `size` bytes.
    fn count_write(&self, size: usize, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.backlog().was_blocked(size),
            Poll::Ready(Ok(accepted)) => self.backlog().was_accepted(*accepted, *accepted == size),
            Poll::Ready(Err(_)) => {}
        }
    }

    /// Takes the bytes that were received early.
    pub(crate) fn take_ahead(&mut self) -> BytesMut {
        std::mem::take(&mut self.ahead)
    }

    /// Starts a request: puts back the bytes received after its header.
    pub(crate) fn begin(&mut self, ahead: BytesMut) {
        self.ahead = ahead;
        *self.left.get_mut() = 0;
    }

    /// Underlying connection, without the bound; used to read a header.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Returns the underlying connection. Bytes received early are dropped.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Stream of a session; `None` over HTTP/2, where each request has a stream of its own.
    fn of(session: &Session) -> Option<&Self> {
        let stream = session.as_downstream().stream()?;
        (**stream).as_any().downcast_ref()
    }

    /// Whether the next request has begun. Empty lines before it do not count (RFC 9112 section 2.2).
    fn has_next(&self) -> bool {
        self.ahead.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// Resolves when the client disconnects. Other bytes are kept for the next request.
    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.has_next() && self.ahead.len() < AHEAD {
            let mut buffer = [0; AHEAD];
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(buffer.filled());
        }
        // The next request is here: the connection is not read again before the current response is complete.
        Poll::Pending
    }

    /// Reports whether the client reads. While it does not, the app's timeout does not run.
    fn report_blocked<T>(&mut self, written: Poll<T>) -> Poll<T> {
        if written.is_pending() != self.is_blocked {
            self.is_blocked = written.is_pending();
            current_request::client_blocks(self.is_blocked);
        }
        written
    }

    /// Reads and drops received bytes before a close. A socket closed with unread data is reset, which may lose the response.
    fn discard_received(&mut self, cx: &mut Context<'_>) {
        let mut discarded = self.ahead.len();
        let mut buffer = [0; 4096];
        while (1..MAX_DISCARDED).contains(&discarded) {
            let mut buffer = ReadBuf::new(&mut buffer);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            if !matches!(read, Poll::Ready(Ok(()))) || buffer.filled().is_empty() {
                break;
            }
            discarded += buffer.filled().len();
        }
        self.ahead.clear();
    }
}

/// Lets a request read its body. To be called when its header is parsed.
pub(crate) fn admit_body(session: &mut Session) {
    let headers = &session.req_header().headers;
    let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let Some(stream) = BoundedStream::of(session) else { return };
    // The end of a chunked body is known only to its parser, Pingora. It keeps the bytes after it, and closes the connection.
    stream.left.store(if is_chunked { u64::MAX } else { length.unwrap_or(0) }, Ordering::Relaxed);
    if is_chunked {
        session.as_mut().set_pipelining_enabled(true);
    }
}

/// Removes the bound: the request has become a tunnel.
pub(crate) fn admit_all(session: &Session) {
    if let Some(stream) = BoundedStream::of(session) {
        stream.left.store(u64::MAX, Ordering::Relaxed);
    }
}

/// Disables keepalive if the next request was received before this one's response. RFC 9112 section 9.3.2 allows pipelining,
/// but clients do not use it. Request smuggling through a proxy in front looks the same: it saw the body end elsewhere.
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
            let disconnect = this.poll_disconnect(cx);
            if disconnect.is_pending() && current_request::app_is_given_up() {
                return Poll::Ready(Err(silence::timed_out()));
            }
            return disconnect;
        }
        let filled_before = buf.filled().len();
        if this.ahead.is_empty() {
            let read = Pin::new(&mut (&mut this.stream).take((*left).min(PIECE))).poll_read(cx, buf);
            if read.is_pending() && current_request::app_is_given_up() {
                return Poll::Ready(Err(silence::timed_out()));
            }
            ready!(read)?;
        } else {
            let max_read = buf.remaining().min(usize::try_from(*left).unwrap_or(usize::MAX));
            let read = max_read.min(this.ahead.len());
            buf.put_slice(&this.ahead[..read]);
            this.ahead.advance(read);
        }
        // `u64::MAX` is unbounded: tunnels, chunked bodies, HTTP/2.
        if *left != u64::MAX {
            *left -= (buf.filled().len() - filled_before) as u64;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.count_write(buf.len(), &written);
        self.report_blocked(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        match flushed {
            Poll::Pending => self.backlog().was_blocked(0),
            Poll::Ready(_) => self.backlog().was_accepted(0, true),
        }
        self.report_blocked(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.discard_received(cx);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.count_write(bufs.iter().map(|buf| buf.len()).sum(), &written);
        self.report_blocked(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Implements the traits of Pingora's streams that only ask the wrapped `stream`.
macro_rules! delegate_to_stream {
    ($wrapper:ty) => {
        #[async_trait]
        impl Shutdown for $wrapper {
            async fn shutdown(&mut self) {
                Shutdown::shutdown(&mut *self.stream).await;
            }
        }

        impl UniqueID for $wrapper {
            fn id(&self) -> UniqueIDType {
                self.stream.id()
            }
        }

        impl Ssl for $wrapper {
            fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
                self.stream.get_ssl_digest()
            }

            fn selected_alpn_proto(&self) -> Option<ALPN> {
                self.stream.selected_alpn_proto()
            }
        }

        impl GetTimingDigest for $wrapper {
            fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
                self.stream.get_timing_digest()
            }
        }

        impl GetProxyDigest for $wrapper {
            fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
                self.stream.get_proxy_digest()
            }
        }

        impl GetSocketDigest for $wrapper {
            fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
                self.stream.get_socket_digest()
            }
        }
    };
}

pub(crate) use delegate_to_stream;

delegate_to_stream!(BoundedStream);

impl Peek for BoundedStream {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::super::backlog::Backlog;
    use super::{AHEAD, BoundedStream};

    fn bounded(server: tokio::io::DuplexStream) -> Box<BoundedStream> {
        BoundedStream::new(Box::new(server), Backlog::of_http1(&Arc::default(), None, false))
    }

    #[tokio::test]
    async fn request_reads_its_body_and_leaves_the_next_request() {
        let (mut client, server) = duplex(64);
        let mut stream = bounded(server);
        stream.begin((&b"bo"[..]).into());
        *stream.left.get_mut() = 4;
        client.write_all(b"dy\r\nGET /").await.expect("sent");
        let mut read = [0; 64];
        assert_eq!(stream.read(&mut read).await.expect("received early"), 2);
        assert_eq!(stream.read(&mut read[2..]).await.expect("the rest"), 2);
        assert_eq!(&read[..4], b"body");
        assert!(
            stream.read(&mut read).now_or_never().is_none(),
            "the body is complete, and the client still connected"
        );
        assert!(stream.has_next());
        assert_eq!(stream.take_ahead()[..], b"\r\nGET /"[..]);
    }

    #[tokio::test]
    async fn disconnect_is_noticed_after_empty_lines() {
        let (mut client, server) = duplex(2 * AHEAD);
        let mut stream = bounded(server);
        let mut read = [0; 1];
        client.write_all(b"\r\n").await.expect("sent");
        assert!(stream.read(&mut read).now_or_never().is_none());
        assert!(!stream.has_next());
        drop(client);
        assert_eq!(stream.read(&mut read).await.expect("the end"), 0);
    }

    #[tokio::test]
    async fn bytes_kept_for_next_request_are_bounded() {
        let (mut client, server) = duplex(8 * AHEAD);
        let mut stream = bounded(server);
        client.write_all(&b"\n".repeat(4 * AHEAD)).await.expect("sent");
        for _ in 0..8 {
            assert!(stream.read(&mut [0; 1]).now_or_never().is_none());
        }
        assert!(stream.ahead.len() <= 2 * AHEAD);
    }

    #[tokio::test]
    async fn debug_output_hides_received_bytes() {
        let backlog = Backlog::of_http1(&Arc::default(), None, false);
        let mut stream = BoundedStream::new(Box::new(duplex(64).0), backlog);
        stream.begin((&b"Authorization: Bearer secret"[..]).into());
        let printed = format!("{stream:?}");
        assert!(printed.contains("28") && !printed.contains("secret"), "{printed}");
    }
}
