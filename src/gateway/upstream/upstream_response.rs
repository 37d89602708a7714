//! The app's answer, on its way to the client.

use http::header;
use pingora::http::ResponseHeader;

use crate::metrics::Stream;
use crate::policy::cookies;

/// What kind of answer follows this header.
pub(crate) fn stream(response: &ResponseHeader) -> Stream {
    match response.status.as_u16() {
        101 => Stream::WebSocket,
        _ if is_event_stream(response) => Stream::EventStream,
        _ => Stream::Response,
    }
}

fn is_event_stream(response: &ResponseHeader) -> bool {
    let content_type = response.headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    content_type.is_some_and(|value| value.to_ascii_lowercase().starts_with(b"text/event-stream"))
}

/// An app cannot set our cookies (T07).
pub(crate) fn drop_our_cookies(response: &mut ResponseHeader) -> pingora::Result<()> {
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
