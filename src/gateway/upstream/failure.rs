//! Upstream failures: the client's error response, outlier detection, and retries.

use http::Method;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};

use crate::clock::Clock;
use crate::error::Refusal;
use crate::gateway::request::context::Context;

/// Returns the refusal to send to the client; `None` when the client has gone.
pub(crate) fn refusal_of(error: &Error) -> Option<Refusal> {
    use ErrorType::{ConnectionClosed, H2Error, HTTPStatus, ReadError, WriteError};
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(413)) => Some(Refusal::BodyTooLarge),
        (ErrorSource::Upstream, failed) if is_timeout(failed) => Some(Refusal::UpstreamTimeout),
        (ErrorSource::Upstream, _) => Some(Refusal::UpstreamUnavailable),
        // RFC 9113 section 8.1.1: the body or the trailers are malformed, and the library has reset the stream.
        (ErrorSource::Downstream, _) if is_malformed(error) => {
            Some(Refusal::RequestInvalid("the request broke the rules of HTTP/2".into()))
        }
        // `H2Error`: the stream was reset, or its connection closed.
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed | H2Error) => None,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(Refusal::RequestTimeout),
        (ErrorSource::Downstream, _) => Some(Refusal::RequestInvalid("the request could not be read".into())),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Refusal::Internal),
    }
}

/// Whether the HTTP/2 library has reset the client's stream for an error in the request.
fn is_malformed(error: &Error) -> bool {
    let error = error.root_cause().downcast_ref::<h2::Error>();
    error.is_some_and(|error| {
        error.is_reset() && !error.is_remote() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR)
    })
}

/// Records a failed connect for outlier detection.
pub(crate) fn connect(context: &mut Context, error: &Error, clock: &dyn Clock) {
    // A lack of descriptors or ports on this side says nothing about the server. The client may try again.
    let is_local_error =
        matches!(error.etype(), ErrorType::InternalError | ErrorType::SocketError | ErrorType::BindError);
    if is_local_error {
        context.pending_refusal = Some(Refusal::Overloaded);
    }
    if let Some(candidate) = context.candidate() {
        candidate.connect_failed(is_local_error, clock);
    }
}

/// State of a request that failed after it was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Whether all of the request was sent.
    pub(crate) is_whole: bool,
    /// Whether the connection had carried a request before.
    pub(crate) is_reused: bool,
}

/// Records a failed request for outlier detection: a timeout, or a connection that broke before the response.
pub(crate) fn sent(context: &mut Context, error: &Error, sent: Sent, clock: &dyn Clock) {
    let Some(candidate) = context.candidate() else { return };
    if context.silence.has_expired() {
        // The peer may have gone without closing the connection.
        candidate.abandon_connections();
        if context.log.awaits_response() {
            candidate.timed_out(clock);
        }
        context.pending_refusal = Some(Refusal::UpstreamTimeout);
        return;
    }
    if *error.esource() != ErrorSource::Upstream || !context.log.awaits_response() {
        return;
    }
    match error.etype() {
        // The app may be waiting for the rest of the body: a client that stops sending must not be able to eject a server.
        ErrorType::ReadTimedout if !sent.is_whole => {}
        failed if is_timeout(failed) => candidate.timed_out(clock),
        // An idle connection may close at any time (RFC 9112 section 9.3.1), and an overloaded server may refuse a stream.
        _ if sent.is_reused || was_not_processed(error, context, sent.is_reused) => {}
        _ => candidate.connection_broke(clock),
    }
}

/// Decides whether a failed request is retried. With any method, if the app certainly has not processed it (RFC 9110 section
/// 9.2.2). With an idempotent method, also if a reused connection had closed.
pub(crate) fn decide_retry(error: &mut Error, session: &Session, context: &mut Context, is_reused: bool) {
    if context.pending_refusal.is_some() {
        error.set_retry(false);
    } else if session.as_ref().retry_buffer_truncated() {
        // Pingora buffers 64 KiB of a body. A longer one cannot be sent again here, but its client may repeat the request.
        if was_not_processed(error, context, is_reused) {
            context.pending_refusal = Some(Refusal::Overloaded);
        }
        error.set_retry(false);
    } else if was_not_processed(error, context, is_reused) {
        error.set_retry(true);
    } else if is_idempotent(&session.req_header().method) {
        if is_reused && has_ended(error) && context.log.awaits_response() {
            error.set_retry(true);
        } else {
            error.retry.decide_reuse(is_reused);
        }
    } else {
        error.set_retry(false);
    }
}

/// Whether a method may be repeated: RFC 9110 section 9.2.2, and safe methods beyond it.
fn is_idempotent(method: &Method) -> bool {
    // RFC 4918 section 9.1 (PROPFIND), RFC 3253 section 3.6 (REPORT), RFC 5323 section 2 (SEARCH); QUERY as registered with IANA.
    method.is_idempotent() || matches!(method.as_str(), "PROPFIND" | "REPORT" | "SEARCH" | "QUERY")
}

/// Whether the app closed the connection. Many servers close TLS connections without `close_notify`, and the end may be met while the
/// request body is written.
fn has_ended(error: &Error) -> bool {
    *error.esource() == ErrorSource::Upstream
        && matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError)
}

/// Whether the app certainly has not begun to process the request.
fn was_not_processed(error: &Error, context: &Context, is_reused: bool) -> bool {
    if *error.esource() != ErrorSource::Upstream || !context.log.awaits_response() {
        return false;
    }
    if let Some(error) = error.root_cause().downcast_ref::<h2::Error>() {
        // RFC 9113 sections 8.7 and 6.8. A GOAWAY fails only streams above its last stream id, whatever its error code.
        let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        return error.is_remote() && (is_refused || error.is_go_away());
    }
    // An incomplete header is not a request, and no body is sent before it.
    is_reused
        && *error.etype() == ErrorType::WriteError
        && context.attempt().is_some_and(|attempt| !attempt.body_was_sent)
}

/// Whether a connect failed because a pooled HTTP/2 connection had closed.
pub(crate) fn was_pooled(error: &Error) -> bool {
    error.root_cause().is::<h2::Error>()
}

const fn is_timeout(failed: &ErrorType) -> bool {
    use ErrorType::{ConnectTimedout, ReadTimedout, TLSHandshakeTimedout, WriteTimedout};
    matches!(failed, ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout)
}
