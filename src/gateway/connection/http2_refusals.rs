//! Requests that the HTTP/2 library refuses before any callback: detected in the frames it writes, counted and logged.
//!
//! RFC 9113 section 8.1.1: a malformed request ends its stream (`PROTOCOL_ERROR`). A header block that cannot be decoded ends
//! the connection (section 4.3), because all later blocks depend on its compression state. The library sends no error response
//! for either. Requests that it accepts get their response from the gateway, and are in the access log.
//!
//! Only frame headers and the first bytes of payloads are read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
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
use crate::gateway::connection::unanswered::UnansweredRequests;

/// Length of a frame header: length, type, flags and stream (RFC 9113 section 4.1).
const FRAME_HEADER: usize = 9;

/// Bytes of a payload that are kept: the stream and the error code of a GOAWAY.
const PAYLOAD_KEPT: usize = 8;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// `:status: 400` in the static table (RFC 7541 appendix A) as a whole header block. The gateway's responses have more fields.
const BARE_400: u8 = 0x80 | 12;

/// Incremental parser of written frames.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; FRAME_HEADER],
    header_length: usize,
    payload: [u8; PAYLOAD_KEPT],
    payload_length: usize,
    payload_left: usize,
    /// Latest stream whose response ended with a header block of at most [`PAYLOAD_KEPT`] bytes: sent by the library.
    library_response_on: u32,
}

impl Frames {
    /// Parses written bytes, and calls `refused` for every refusal in them.
    fn wrote(&mut self, mut bytes: &[u8], refused: &mut impl FnMut(Refusal)) {
        while !bytes.is_empty() {
            if self.header_length < FRAME_HEADER {
                let taken = bytes.len().min(FRAME_HEADER - self.header_length);
                self.header[self.header_length..self.header_length + taken].copy_from_slice(&bytes[..taken]);
                self.header_length += taken;
                bytes = &bytes[taken..];
                if self.header_length < FRAME_HEADER {
                    return;
                }
                self.payload_length = 0;
                let [high, middle, low, ..] = self.header;
                self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            }
            let taken = bytes.len().min(self.payload_left);
            let kept = taken.min(PAYLOAD_KEPT - self.payload_length);
            self.payload[self.payload_length..self.payload_length + kept].copy_from_slice(&bytes[..kept]);
            self.payload_length += kept;
            self.payload_left -= taken;
            bytes = &bytes[taken..];
            if self.payload_left == 0 {
                self.header_length = 0;
                if let Some(refusal) = self.refusal() {
                    refused(refusal);
                }
            }
        }
    }

    /// Returns the refusal that the complete frame stands for, if any.
    fn refusal(&mut self) -> Option<Refusal> {
        let length = usize::from(self.header[1]) << 8 | usize::from(self.header[2]);
        let [.., a, b, c, d] = self.header;
        let stream = u32::from_be_bytes([a & 0x7F, b, c, d]);
        let code = |at: usize| {
            let bytes = self.payload.get(at..at + 4).filter(|_| self.payload_length >= at + 4);
            bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
        };
        match self.header[3] {
            HEADERS if self.header[4] & END_STREAM != 0 && length <= PAYLOAD_KEPT => {
                self.library_response_on = stream;
                let is_bare = length > 0 && self.payload[length - 1] == BARE_400;
                is_bare.then(|| malformed("authority or framing"))
            }
            RST_STREAM => match code(0)? {
                PROTOCOL_ERROR => Some(malformed("the stream was reset")),
                // The library sends a 431 of one field, and then resets the stream.
                REFUSED_STREAM if self.library_response_on == stream => Some(Refusal::HeaderTooLarge),
                REFUSED_STREAM => Some(Refusal::Overloaded),
                _ => None,
            },
            GOAWAY => match code(4)? {
                NO_ERROR => None,
                ENHANCE_YOUR_CALM => Some(Refusal::Overloaded),
                _ => Some(malformed("the connection was closed")),
            },
            _ => None,
        }
    }
}

fn malformed(detail: &str) -> Refusal {
    Refusal::RequestInvalid(detail.to_owned())
}

/// A connection whose written frames are parsed.
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
    pub(crate) fn new(stream: Stream, unanswered: Arc<UnansweredRequests>) -> Self {
        Self { stream, frames: Frames::default(), unanswered }
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
        Pin::new(&mut self.stream).poll_read(cx, buf)
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

    fn refusal_codes(bytes: &[u8], size: usize) -> Vec<&'static str> {
        let (mut frames, mut refused) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(size) {
            frames.wrote(piece, &mut |refusal| refused.push(refusal.code()));
        }
        refused
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
            frame(RST_STREAM, 0, 9, &code(7)),
            frame(RST_STREAM, 0, 11, &code(7)),
            frame(0, 1, 13, &[]),
            frame(GOAWAY, 0, 0, &goaway(0, b"")),
            frame(GOAWAY, 0, 0, &goaway(11, b"too_many_resets")),
            frame(GOAWAY, 0, 0, &goaway(1, b"")),
        ]
        .concat();
        let expected = [
            "request_invalid",
            "request_invalid",
            "header_too_large",
            "overloaded",
            "overloaded",
            "request_invalid",
        ];
        for size in 1..=bytes.len() {
            assert_eq!(refusal_codes(&bytes, size), expected, "by {size}");
        }
    }
}
