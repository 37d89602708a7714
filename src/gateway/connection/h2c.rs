//! Cleartext HTTP/2 with prior knowledge (RFC 9113 section 3.3): recognised by its connection preface.
//!
//! `Upgrade: h2c` is not supported: RFC 9113 section 3.1 removed it from HTTP/2.

use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Socket;

/// First line of the connection preface (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Whether a connection begins with the preface. No HTTP/1 request does: HTTP/1 has no such version.
pub(crate) fn is_preface(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE)
}

/// Puts `bytes` back in front of the stream's data. `None` if the stream is not a socket.
pub(crate) fn rewind(stream: Stream, bytes: &[u8]) -> Option<Stream> {
    let mut socket = stream.into_any().downcast::<Socket>().ok()?;
    socket.rewind(bytes);
    Some(socket)
}
