//! Framing of the request towards the app.

use bytes::Bytes;

/// Drops the last piece of a body when it is empty: the end itself is written by the transport.
///
/// Pingora 0.9.1 writes an empty piece that ends a body as a chunk of length zero, and then the last chunk again
/// (cloudflare/pingora#935). RFC 9112 section 7.1 has one last chunk; an app reads the second one as a request, and answers it
/// to whoever is next on the connection. To be removed with a Pingora that has the fix; `tests/framing/last_chunk.rs` tells.
pub(super) fn end_once(body: &mut Option<Bytes>) {
    if body.as_ref().is_some_and(Bytes::is_empty) {
        *body = None;
    }
}
