//! Lingering close: after an early response, the rest of the request body is read before the connection or stream is closed.
//!
//! A connection that is closed with unread data is reset, and the client loses the part of the response that it has not read yet
//! (RFC 9112 section 9.6). Clients that do not follow RFC 9113 section 8.1, such as curl 7.88, also drop the response of an
//! HTTP/2 stream that is reset after it.

use std::time::Duration;

use http::header;
use pingora::Error;
use pingora::proxy::Session;

use crate::gateway::request::context::Context;

/// Time limit of a lingering close: some round trips around the world, until the client has read the response and stops sending.
/// Longer would let clients that do not stop hold connections.
const MAX_LINGER: Duration = Duration::from_secs(1);

/// Maximum number of bytes drained: what may be in flight. More would be wasted work.
const MAX_DRAINED: usize = 16 << 20;

/// Drains the request body before the connection or stream is closed, if the response was sent completely.
pub(crate) async fn close(session: &mut Session, error: Option<&Error>, context: &mut Context) {
    let is_complete = error.is_none() || context.response_sent;
    if !is_complete || session.as_mut().is_body_done() || needs_no_drain(session, context.log.status) {
        return;
    }
    context.end();
    let draining = async {
        session.finish_body().await.ok()?;
        let mut left = MAX_DRAINED;
        while left > 0 {
            let chunk = session.read_request_body().await.ok()??;
            left = left.saturating_sub(chunk.len());
        }
        Some(())
    };
    // The result does not matter: the response was sent.
    let _ = tokio::time::timeout(MAX_LINGER, draining).await;
}

/// Whether no more body is expected, or draining it would not help.
fn needs_no_drain(session: &Session, status: u16) -> bool {
    if session.is_http2() {
        // After a success status, curl 7.88 keeps sending and misses the window update: it would hang, and a reset ends it.
        return status < 300;
    }
    // A tunnel has no body to drain, and a client that waits for 100 sends none after a final response.
    let waits_for_continue = session.req_header().headers.contains_key(header::EXPECT);
    status == 101 || waits_for_continue && session.body_bytes_read() == 0
}
