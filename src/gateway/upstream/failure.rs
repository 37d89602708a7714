//! What a failure of the transport means: to the client, and for whoever is asked next.

use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};

use crate::clock::Clock;
use crate::error::Refusal;
use crate::gateway::request::context::Context;

/// What it means to the client; `None` when there is no client left.
pub(crate) fn refusal_of(error: &Error) -> Option<Refusal> {
    use ErrorType::{ConnectionClosed, H2Error, HTTPStatus, ReadError, WriteError};
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(413)) => Some(Refusal::BodyTooLarge),
        (ErrorSource::Upstream, failed) if is_timeout(failed) => Some(Refusal::UpstreamTimeout),
        (ErrorSource::Upstream, _) => Some(Refusal::UpstreamUnavailable),
        // Over HTTP/2: the stream was reset, or its connection has gone.
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed | H2Error) => None,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(Refusal::RequestTimeout),
        (ErrorSource::Downstream, _) => Some(Refusal::RequestInvalid("the request could not be read".into())),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Refusal::Internal),
    }
}

/// A connect failed; whether that was the server's doing.
pub(crate) fn connect(context: &Context, error: &Error, clock: &dyn Clock) {
    // No descriptor or port left on this side says nothing about the other.
    let is_ours =
        matches!(error.etype(), ErrorType::InternalError | ErrorType::SocketError | ErrorType::BindError);
    if let Some(candidate) = &context.candidate {
        candidate.connect_failed(is_ours, clock);
    }
}

/// What had been sent when a request failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// All of it: the client had nothing more to send.
    pub(crate) is_whole: bool,
    /// On a connection that had carried a request before.
    pub(crate) is_reused: bool,
}

/// A request that was sent has failed; whether the server left it without an answer.
pub(crate) fn sent(context: &mut Context, error: &Error, sent: Sent, clock: &dyn Clock) {
    let Some(candidate) = &context.candidate else { return };
    if context.silence.has_expired() {
        // The connection may be dead, with its other end gone without a word.
        candidate.abandon_connections();
        if context.account.awaits_answer() {
            candidate.timed_out(clock);
        }
        context.refusal = Some(Refusal::UpstreamTimeout);
        return;
    }
    if *error.esource() != ErrorSource::Upstream || !context.account.awaits_answer() {
        return;
    }
    match error.etype() {
        // While the client has more to send, the app may be waiting for it, as we are: a client that stops midway must not
        // be able to put a server last.
        ErrorType::ReadTimedout if !sent.is_whole => {}
        failed if is_timeout(failed) => candidate.timed_out(clock),
        // A kept connection may end at any time (RFC 9112 section 9.3.1), and a server may refuse what it has no room for.
        _ if sent.is_reused || was_not_processed(error, context, sent.is_reused) => {}
        _ => candidate.connection_broke(clock),
    }
}

/// Decides whether a request that failed is sent again: where it is certain that the app has done nothing with it, whatever
/// the method (RFC 9110 section 9.2.2); and where doing it twice does no harm, if only a kept connection had ended.
pub(crate) fn decide_retry(error: &mut Error, session: &Session, context: &Context, is_reused: bool) {
    // What is no longer there cannot be sent again.
    if context.refusal.is_some() || session.as_ref().retry_buffer_truncated() {
        error.set_retry(false);
    } else if was_not_processed(error, context, is_reused) {
        error.set_retry(true);
    } else if session.req_header().method.is_idempotent() {
        error.retry.decide_reuse(is_reused);
    } else {
        error.set_retry(false);
    }
}

/// Whether it is certain that the app has not begun to process what it was sent.
fn was_not_processed(error: &Error, context: &Context, is_reused: bool) -> bool {
    if *error.esource() != ErrorSource::Upstream || !context.account.awaits_answer() {
        return false;
    }
    if let Some(error) = error.root_cause().downcast_ref::<h2::Error>() {
        // RFC 9113 sections 8.7 and 6.8. Of a GOAWAY only the streams above its last are told, so whatever its code.
        let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        return error.is_remote() && (is_refused || error.is_go_away());
    }
    // A header that could not be written whole is no request. Of the body nothing is sent before it.
    is_reused && *error.etype() == ErrorType::WriteError && !context.body_was_sent
}

/// Whether a connect has failed because a connection that was kept has ended.
pub(crate) fn was_kept(error: &Error) -> bool {
    error.root_cause().is::<h2::Error>()
}

const fn is_timeout(failed: &ErrorType) -> bool {
    use ErrorType::{ConnectTimedout, ReadTimedout, TLSHandshakeTimedout, WriteTimedout};
    matches!(failed, ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout)
}
