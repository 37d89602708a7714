//! Framing of the request to the app.

use bytes::Bytes;
use http::{HeaderValue, Method, Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::gateway::upstream::response_framing::via;

/// Drops an empty last part of a body: Pingora writes the end itself.
///
/// Pingora 0.9.1 writes an empty part that ends a body as a chunk of length zero, and then the last chunk again
/// (cloudflare/pingora#935). RFC 9112 section 7.1 allows one last chunk. An app reads the second one as a request, and its
/// response goes to the next client on the connection. Remove this with a Pingora that has the fix;
/// `tests/framing/last_chunk.rs` shows when.
pub(crate) fn end_once(body: &mut Option<Bytes>) {
    if body.as_ref().is_some_and(Bytes::is_empty) {
        *body = None;
    }
}

/// Removes `Expect` from HTTP/1.0 requests: the client does not know status 100 (RFC 9110 section 10.1.1).
pub(crate) fn normalize(request: &mut RequestHeader) {
    if request.version < Version::HTTP_11 {
        request.remove_header(&header::EXPECT);
    }
}

/// Completes the header of a request that is about to be sent. Its version is the one used with the app.
///
/// # Errors
///
/// The client's connection failed.
pub(crate) async fn complete(session: &mut Session, request: &mut RequestHeader) -> pingora::Result<()> {
    // RFC 9110 section 7.6.3.
    request.append_header("via", via(session.req_header().version))?;
    // Trailers are not forwarded (RFC 9110 section 6.6.2).
    request.remove_header(&header::TRAILER);
    if request.version == Version::HTTP_2 {
        if session.req_header().version == Version::HTTP_2 {
            // Pingora does this for every other pair of versions (RFC 9110 section 11.7, RFC 9113 section 8.2.2).
            request.remove_header(&header::PROXY_AUTHORIZATION);
            request.remove_header(&header::PROXY_AUTHENTICATE);
        }
        return continue_for_http2(session, request).await;
    }
    // RFC 9110 section 8.6: with methods that define content, a missing body is declared. Otherwise some apps respond 411.
    if matches!(request.method, Method::POST | Method::PUT | Method::PATCH)
        && !request.headers.contains_key(header::CONTENT_LENGTH)
        && session.is_body_empty()
    {
        request.insert_header(header::CONTENT_LENGTH, HeaderValue::from_static("0"))?;
    }
    Ok(())
}

/// Responds to `Expect: 100-continue` in place of an HTTP/2 app: Pingora does not forward its 100, and the client would wait for
/// it (RFC 9110 section 10.1.1 allows it to wait without limit).
async fn continue_for_http2(session: &mut Session, request: &mut RequestHeader) -> pingora::Result<()> {
    if session.req_header().version == Version::HTTP_2 || !expects_continue(request) {
        return Ok(());
    }
    request.remove_header(&header::EXPECT);
    if session.as_mut().is_body_done() {
        return Ok(());
    }
    send_continue(session).await.map_err(|error| error.into_down())
}

/// Whether the client waits for 100 before it sends the body. HTTP/1.0 requests have no `Expect` here ([`normalize`]).
pub(crate) fn expects_continue(request: &RequestHeader) -> bool {
    let expected = request.headers.get(header::EXPECT);
    expected.is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Sends 100 to an HTTP/1.1 client. Its connection may be reused.
pub(crate) async fn send_continue(session: &mut Session) -> pingora::Result<()> {
    keep_after_informational(session, true);
    let sent = session.write_continue_response().await;
    keep_after_informational(session, false);
    sent
}

/// Keeps the connection open after an informational response (RFC 9110 section 15.2). Pingora closes a connection whose response
/// begins before the request's body is complete.
pub(crate) fn keep_after_informational(session: &mut Session, is_informational: bool) {
    session.as_mut().set_close_on_response_before_downstream_finish(!is_informational);
}
