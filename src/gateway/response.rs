//! The app's answer on its way to the client, and what a failure of the transport is to the client instead.

use http::header;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorSource, ErrorType};

use crate::error::Refusal;
use crate::policy::cookies;

/// Whether more will come for as long as the app likes.
pub(super) fn is_event_stream(response: &ResponseHeader) -> bool {
    let content_type = response.headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    content_type.is_some_and(|value| value.to_ascii_lowercase().starts_with(b"text/event-stream"))
}

/// What a failure of the transport means to the client; `None` when there is no client left.
pub(super) fn refusal_of(error: &Error) -> Option<Refusal> {
    use ErrorType::{
        ConnectTimedout, ConnectionClosed, HTTPStatus, ReadError, ReadTimedout, TLSHandshakeTimedout,
        WriteError, WriteTimedout,
    };
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(413)) => Some(Refusal::BodyTooLarge),
        (ErrorSource::Upstream, ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout) => {
            Some(Refusal::UpstreamTimeout)
        }
        (ErrorSource::Upstream, _) => Some(Refusal::UpstreamUnavailable),
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed) => None,
        (ErrorSource::Downstream, _) => Some(Refusal::RequestInvalid("the request could not be read".into())),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Refusal::Internal),
    }
}

/// An app cannot set our cookies (T07).
pub(super) fn drop_our_cookies(response: &mut ResponseHeader) -> pingora::Result<()> {
    let all: Vec<_> = response.headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    if !all.iter().any(|value| cookies::sets_ours(value.as_bytes())) {
        return Ok(());
    }
    response.remove_header(&header::SET_COOKIE);
    for value in all.into_iter().filter(|value| !cookies::sets_ours(value.as_bytes())) {
        response.append_header(header::SET_COOKIE, value)?;
    }
    Ok(())
}
