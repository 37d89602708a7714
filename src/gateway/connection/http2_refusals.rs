//! Requests that the HTTP/2 library refuses before any callback: detected in the frames of the connection, counted and logged.
//!
//! RFC 9113 section 8.1.1: a malformed request ends its stream (`PROTOCOL_ERROR`). A header block that cannot be decoded ends
//! the connection (section 4.3), because all later blocks depend on its compression state. A header section that is too long gets a
//! response of one field (431). Requests that the library accepts get their response from the gateway, and are in the access log.
//!
//! A reset does not say which of the two its request was. The library accepts requests in the order of their streams, so a stream is
//! undecided until it is refused, or until as many requests are accepted as came before it.

mod frames;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Refusal;
use crate::gateway::connection::bounded_stream::delegate_to_stream;
use crate::gateway::connection::http2_refusals::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PAYLOAD_KEPT, Parser, RST_STREAM,
};
use crate::gateway::connection::unanswered::UnansweredRequests;

/// Connection preface (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// `:status: 400` in the static table (RFC 7541 appendix A) as a whole header block. The gateway's responses have more fields.
const BARE_400: u8 = 0x80 | 12;

/// State of an HTTP/2 connection that its requests and its task share.
#[derive(Debug, Default)]
pub(crate) struct Http2State {
    /// Requests that the library has accepted.
    accepted: AtomicU64,
    /// Whether the client has begun a preface or a header section and not ended it.
    is_header_open: AtomicBool,
}

impl Http2State {
    /// Counts a request that the library has accepted.
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the client has begun a preface or a header section and not ended it. False once it has closed the connection.
    pub(crate) fn is_header_open(&self) -> bool {
        self.is_header_open.load(Ordering::Acquire)
    }
}

/// Both directions of a connection.
#[derive(Debug, Default)]
struct Frames {
    state: Arc<Http2State>,
    /// Length of the received part of the preface.
    preface: usize,
    received: Parser,
    written: Parser,
    /// Whether the received header block goes on in another frame.
    continues: bool,
    /// Latest stream that the client has opened.
    latest_stream: u32,
    /// Streams whose request is neither refused nor known to be accepted.
    undecided: VecDeque<u32>,
    /// Requests that are known to be accepted.
    accepted: u64,
    /// Streams whose response has begun and not ended: a short header block on them holds trailers.
    responding: Vec<u32>,
    /// Whether the connection was refused.
    is_refused: bool,
}

impl Frames {
    /// Parses received bytes, and calls `refused` if they are not HTTP/2.
    fn received(&mut self, mut bytes: &[u8], refused: &mut impl FnMut(Refusal)) {
        if self.is_refused {
            return;
        }
        if self.preface < PREFACE.len() {
            let taken = bytes.len().min(PREFACE.len() - self.preface);
            if bytes[..taken] != PREFACE[self.preface..self.preface + taken] {
                self.refuse_connection();
                return refused(malformed("the connection preface is broken"));
            }
            self.preface += taken;
            bytes = &bytes[taken..];
        }
        let Self { received, continues, latest_stream, undecided, responding, .. } = self;
        received.parse(bytes, &mut |frame| match frame.kind {
            HEADERS => {
                *continues = !frame.has(END_HEADERS);
                // A later header block on the same stream holds trailers.
                if frame.stream > *latest_stream {
                    *latest_stream = frame.stream;
                    undecided.push_back(frame.stream);
                }
            }
            CONTINUATION => *continues = !frame.has(END_HEADERS),
            RST_STREAM => responding.retain(|&stream| stream != frame.stream),
            _ => {}
        });
        self.settle();
        let is_preface_open = (1..PREFACE.len()).contains(&self.preface);
        let is_block_open =
            self.continues || matches!(self.received.incomplete(), Some(HEADERS | CONTINUATION));
        self.state.is_header_open.store(is_preface_open || is_block_open, Ordering::Release);
    }

    /// Parses written bytes, and calls `refused` for every refusal in them.
    fn wrote(&mut self, bytes: &[u8], refused: &mut impl FnMut(Refusal)) {
        let mut written = std::mem::take(&mut self.written);
        written.parse(bytes, &mut |frame| {
            if let Some(refusal) = self.refusal(frame) {
                refused(refusal);
            }
        });
        self.written = written;
    }

    /// Returns the refusal that a written frame stands for, if any.
    fn refusal(&mut self, frame: &Frame<'_>) -> Option<Refusal> {
        // Data frames, the many, need no search.
        let was_responding = frame.kind == HEADERS && self.responding.contains(&frame.stream);
        if frame.kind == RST_STREAM || (frame.has(END_STREAM) && frame.kind <= HEADERS) {
            self.responding.retain(|&stream| stream != frame.stream);
        } else if frame.kind == HEADERS && !was_responding {
            self.responding.push(frame.stream);
        }
        match frame.kind {
            // The library's responses have one field.
            HEADERS if frame.has(END_STREAM) && frame.length <= PAYLOAD_KEPT && !was_responding => {
                self.decide(frame.stream);
                let is_bare_400 = frame.payload.last() == Some(&BARE_400);
                Some(if is_bare_400 { malformed("authority or framing") } else { Refusal::HeaderTooLarge })
            }
            RST_STREAM => match frame.number(0)? {
                // Otherwise the stream's request is in the access log, or was refused before.
                code @ (PROTOCOL_ERROR | REFUSED_STREAM) if self.decide(frame.stream) => {
                    let is_malformed = code == PROTOCOL_ERROR;
                    Some(if is_malformed { malformed("the stream was reset") } else { Refusal::Overloaded })
                }
                _ => None,
            },
            GOAWAY => {
                let refusal = match frame.number(4)? {
                    NO_ERROR => return None,
                    ENHANCE_YOUR_CALM => Refusal::Overloaded,
                    _ => malformed("the connection was closed"),
                };
                self.refuse_connection();
                Some(refusal)
            }
            _ => None,
        }
    }

    /// Takes the streams of accepted requests out of the undecided ones, which bounds these by the streams that are open.
    fn settle(&mut self) {
        let accepted = self.state.accepted.load(Ordering::Acquire);
        let newly = usize::try_from(accepted - self.accepted).unwrap_or(usize::MAX);
        self.undecided.drain(..newly.min(self.undecided.len()));
        self.accepted = accepted;
    }

    /// Takes a stream out of the undecided ones. Returns whether it was one of them.
    fn decide(&mut self, stream: u32) -> bool {
        self.settle();
        let at = self.undecided.iter().position(|&undecided| undecided == stream);
        at.is_some_and(|at| self.undecided.remove(at).is_some())
    }

    /// Records that the connection was refused: nothing more is expected of the client.
    fn refuse_connection(&mut self) {
        self.is_refused = true;
        self.state.is_header_open.store(false, Ordering::Release);
    }

    /// Records that the client has closed the connection: it has broken off its header section itself.
    fn ended(&self) {
        self.state.is_header_open.store(false, Ordering::Release);
    }
}

fn malformed(detail: &str) -> Refusal {
    Refusal::RequestInvalid(detail.to_owned())
}

/// A connection whose frames are parsed.
pub(crate) struct Watched {
    stream: Stream,
    frames: Frames,
    unanswered: Arc<UnansweredRequests>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Watched {
    pub(crate) fn new(stream: Stream, state: Arc<Http2State>, unanswered: Arc<UnansweredRequests>) -> Self {
        Self { stream, frames: Frames { state, ..Frames::default() }, unanswered }
    }

    fn received(&mut self, bytes: &[u8]) {
        let unanswered = &self.unanswered;
        self.frames.received(bytes, &mut |refusal| unanswered.refused(&refusal));
    }

    fn wrote(&mut self, bytes: &[u8]) {
        let unanswered = &self.unanswered;
        self.frames.wrote(bytes, &mut |refusal| unanswered.refused(&refusal));
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        match &polled {
            Poll::Ready(Ok(())) if buf.filled().len() > filled => self.received(&buf.filled()[filled..]),
            Poll::Ready(_) => self.frames.ended(),
            Poll::Pending => {}
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.wrote(&buf[..wrote]);
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        let mut left = wrote;
        for buf in bufs {
            let taken = buf.len().min(left);
            self.wrote(&buf[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(wrote))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

delegate_to_stream!(Watched);

#[async_trait]
impl Peek for Watched {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(buf).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    fn refusal_codes(frames: &mut Frames, written: &[u8], size: usize) -> Vec<&'static str> {
        let mut refused = Vec::new();
        for piece in written.chunks(size) {
            frames.wrote(piece, &mut |refusal| refused.push(refusal.code()));
        }
        refused
    }

    /// Returns the frames of a client that has opened these streams.
    fn opened(streams: &[u8]) -> Frames {
        let mut frames = Frames::default();
        let requests = streams.iter().map(|&stream| frame(HEADERS, END_HEADERS, stream, &[0x82; 20]));
        let sent = [PREFACE.to_vec()].into_iter().chain(requests).collect::<Vec<_>>().concat();
        frames.received(&sent, &mut |refusal| panic!("{refusal:?}"));
        frames
    }

    #[test]
    fn streams_of_accepted_requests_are_forgotten() {
        let mut frames = opened(&[1]);
        for stream in (3..=101).step_by(2) {
            frames.state.accepted();
            let sent = frame(HEADERS, END_HEADERS, stream, &[0x82; 20]);
            frames.received(&sent, &mut |refusal| panic!("{refusal:?}"));
            assert_eq!(frames.undecided, [u32::from(stream)]);
        }
    }

    #[test]
    fn refusals_are_found_in_writes_of_any_size() {
        let code = |code: u8| [0, 0, 0, code];
        let goaway = |error: u8, more: &[u8]| [&[0, 0, 0, 9], &code(error)[..], more].concat();
        let bytes = [
            frame(4, 0, 0, &[0; 30]),
            frame(HEADERS, 4, 1, &[0x88; 200]),
            // A response, its data, and trailers of one indexed field.
            frame(0, 0, 1, &[BARE_400; 20]),
            frame(HEADERS, 5, 1, &[0xBE]),
            frame(RST_STREAM, 0, 3, &code(1)),
            frame(RST_STREAM, 0, 5, &code(0)),
            frame(RST_STREAM, 0, 5, &code(8)),
            frame(HEADERS, 5, 7, &[BARE_400]),
            frame(HEADERS, 5, 9, &[0x48, 0x82, 0x68, 0x01]),
            frame(RST_STREAM, 0, 9, &code(1)),
            frame(HEADERS, 5, 11, &[0xBE]),
            frame(RST_STREAM, 0, 13, &code(7)),
            frame(0, 1, 15, &[]),
            frame(GOAWAY, 0, 0, &goaway(0, b"")),
            frame(GOAWAY, 0, 0, &goaway(11, b"too_many_resets")),
        ]
        .concat();
        let expected = [
            "request_invalid",
            "request_invalid",
            "header_too_large",
            "header_too_large",
            "overloaded",
            "overloaded",
        ];
        for size in 1..=bytes.len() {
            let mut frames = opened(&[1, 3, 5, 7, 9, 11, 13, 15]);
            assert_eq!(refusal_codes(&mut frames, &bytes, size), expected, "by {size}");
        }
    }

    #[test]
    fn reset_of_an_accepted_stream_is_no_refusal() {
        let reset = |stream: u8| frame(RST_STREAM, 0, stream, &[0, 0, 0, 1]);
        let mut frames = opened(&[1, 3, 5]);
        assert_eq!(refusal_codes(&mut frames, &reset(1), 100), ["request_invalid"]);
        // Streams 3 and 5.
        frames.state.accepted();
        frames.state.accepted();
        assert_eq!(refusal_codes(&mut frames, &[reset(5), reset(3), reset(1)].concat(), 100), [""; 0]);
        frames.received(&frame(HEADERS, END_HEADERS, 7, &[0x82]), &mut |refusal| panic!("{refusal:?}"));
        // Trailers.
        frames.received(&frame(HEADERS, 5, 5, &[0x82]), &mut |refusal| panic!("{refusal:?}"));
        assert_eq!(refusal_codes(&mut frames, &[reset(5), reset(7)].concat(), 100), ["request_invalid"]);
    }

    #[test]
    fn broken_preface_is_refused_once() {
        for (sent, expected) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], 0),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 1),
            (b"GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n", 1),
        ] {
            for size in 1..=sent.len() {
                let (mut frames, mut refused) = (Frames::default(), 0);
                for piece in sent.chunks(size) {
                    frames.received(piece, &mut |_| refused += 1);
                }
                assert_eq!(refused, expected, "{} by {size}", sent.escape_ascii());
            }
        }
    }

    #[test]
    fn header_section_is_open_from_its_first_frame_to_its_last() {
        let mut frames = Frames::default();
        let mut is_open_after = |bytes: &[u8]| {
            frames.received(bytes, &mut |refusal| panic!("{refusal:?}"));
            frames.state.is_header_open()
        };
        assert!(is_open_after(&PREFACE[..20]));
        assert!(!is_open_after(&PREFACE[20..]));
        assert!(!is_open_after(&frame(4, 0, 0, &[])));
        let block = frame(HEADERS, END_STREAM, 1, &[0x82; 20]);
        assert!(is_open_after(&block[..15]) && is_open_after(&block[15..]));
        assert!(is_open_after(&frame(CONTINUATION, 0, 1, &[0x82; 20])));
        assert!(!is_open_after(&frame(CONTINUATION, END_HEADERS, 1, &[])));
        assert!(is_open_after(&block[..15]));
        frames.ended();
        assert!(!frames.state.is_header_open());
    }
}
