//! What a failure of the transport means: to the client, and for whoever is asked next.

use pingora::{Error, ErrorSource, ErrorType};

use super::context::Context;
use crate::clock::Clock;
use crate::error::Refusal;

/// What it means to the client; `None` when there is no client left.
pub(super) fn refusal_of(error: &Error) -> Option<Refusal> {
    use ErrorType::{ConnectionClosed, H2Error, HTTPStatus, ReadError, WriteError};
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(413)) => Some(Refusal::BodyTooLarge),
        (ErrorSource::Upstream, failed) if is_timeout(failed) => Some(Refusal::UpstreamTimeout),
        (ErrorSource::Upstream, _) => Some(Refusal::UpstreamUnavailable),
        // Over HTTP/2: the stream was reset, or its connection has gone.
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed | H2Error) => None,
        (ErrorSource::Downstream, _) => Some(Refusal::RequestInvalid("the request could not be read".into())),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Refusal::Internal),
    }
}

/// A connect failed; whether that was the server's doing.
pub(super) fn connect(context: &Context, error: &Error, clock: &dyn Clock) {
    // No descriptor or port left on this side says nothing about the other.
    let is_ours =
        matches!(error.etype(), ErrorType::InternalError | ErrorType::SocketError | ErrorType::BindError);
    if let Some(candidate) = &context.candidate {
        candidate.connect_failed(is_ours, clock);
    }
}

/// What had been sent when a request failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// All of it: the client had nothing more to send.
    pub(super) is_whole: bool,
    /// On a connection that had carried a request before.
    pub(super) is_reused: bool,
}

/// A request that was sent has failed; whether the server left it without an answer.
pub(super) fn sent(context: &Context, error: &Error, sent: Sent, clock: &dyn Clock) {
    let Some(candidate) = &context.candidate else { return };
    if *error.esource() != ErrorSource::Upstream || !context.account.awaits_answer() {
        return;
    }
    match error.etype() {
        // While the client has more to send, the app may be waiting for it, as we are: a client that stops midway must not
        // be able to put a server last.
        ErrorType::ReadTimedout if !sent.is_whole => {}
        failed if is_timeout(failed) => candidate.timed_out(clock),
        // A kept connection may end at any time (RFC 9112 section 9.3.1).
        _ if sent.is_reused => {}
        _ => candidate.broke_off(clock),
    }
}

const fn is_timeout(failed: &ErrorType) -> bool {
    use ErrorType::{ConnectTimedout, ReadTimedout, TLSHandshakeTimedout, WriteTimedout};
    matches!(failed, ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout)
}
