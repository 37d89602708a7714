//! After an answer that came before its request's body: the client is heard out, or it might not hear the answer.
//!
//! A connection that is closed while something is on its way is reset, and what the client has not read is lost with it
//! (RFC 9112 section 9.6). A stream that is reset after its answer has none in clients that do not heed RFC 9113 section
//! 8.1; curl 7.88 is one.

use std::time::Duration;

use http::header;
use pingora::Error;
use pingora::proxy::Session;

use crate::gateway::request::context::Context;

/// How long somebody is heard out: some round trips around the world, until the answer is read and the sending stops.
/// Longer would hold places for those who do not stop.
const HEARING: Duration = Duration::from_secs(1);

/// How many bytes of it: what may be on its way. More would be work for nothing.
const HEARD: usize = 16 << 20;

/// Takes what the client still sends of its body, where its whole answer is out.
pub(crate) async fn drain_request_body_after_response(
    session: &mut Session,
    error: Option<&Error>,
    context: &mut Context,
) {
    let is_whole = error.is_none() || context.response_sent;
    if !is_whole || session.as_mut().is_body_done() || sends_nothing_more(session, context.account.status) {
        return;
    }
    context.is_over();
    let reading = async {
        session.finish_body().await.ok()?;
        let mut left = HEARD;
        while left > 0 {
            let chunk = session.read_request_body().await.ok()??;
            left = left.saturating_sub(chunk.len());
        }
        Some(())
    };
    // However it ends: the answer is out, and there is nobody to tell.
    let _ = tokio::time::timeout(HEARING, reading).await;
}

/// Whether there is nothing to be heard, or nothing gained by it.
fn sends_nothing_more(session: &Session, status: u16) -> bool {
    if session.is_http2() {
        // Told of success, curl 7.88 goes on, and does not see that its window opens: a reset ends it, where it would hang.
        return status < 300;
    }
    // A tunnel has ended with its answer; and who waits to be asked for a body sends none once it is answered.
    let waits = session.req_header().headers.contains_key(header::EXPECT);
    status == 101 || waits && session.body_bytes_read() == 0
}
