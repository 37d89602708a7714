//! HTTP/2 in clear with prior knowledge (RFC 9113 section 3.3): recognised by its preface, and handed on unread.
//!
//! `Upgrade: h2c` is not offered: RFC 9113 section 3.1 has taken it out of HTTP/2.

use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Socket;

/// The connection preface (RFC 9113 section 3.4) as far as its first empty line, where a header section would end.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Whether a connection begins so. Nothing else does: HTTP/1 has no such version.
pub(crate) fn is_preface(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE)
}

/// Puts back what was read of a connection; `None` when it is no socket.
pub(crate) fn unread(stream: Stream, bytes: &[u8]) -> Option<Stream> {
    let mut socket = stream.into_any().downcast::<Socket>().ok()?;
    socket.rewind(bytes);
    Some(socket)
}
