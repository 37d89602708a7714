//! Kind and cookies of an app's response.

use http::header;
use pingora::http::ResponseHeader;

use crate::config::ResponseHeaders;
use crate::error::Refusal;
use crate::gateway::upstream::fields::{edit_response, set};
use crate::metrics::Stream;
use crate::policy::cookies;
use crate::text::has_prefix_ignoring_case;

/// Returns the kind of response that follows this header.
pub(crate) fn stream(response: &ResponseHeader) -> Stream {
    match response.status.as_u16() {
        101 => Stream::WebSocket,
        _ if is_event_stream(response) => Stream::EventStream,
        _ => Stream::Response,
    }
}

fn is_event_stream(response: &ResponseHeader) -> bool {
    let content_type = response.headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    content_type.is_some_and(|value| has_prefix_ignoring_case(value, b"text/event-stream"))
}

/// Changes the fields of an app's final response as its upstream says. A 101 and other informational responses stay as they are:
/// they belong to the protocol.
pub(crate) fn change_fields(response: &mut ResponseHeader, headers: &ResponseHeaders) -> Result<(), Refusal> {
    if (headers.set.is_empty() && headers.remove.is_empty()) || response.status.is_informational() {
        return Ok(());
    }
    edit_response(response, |fields| {
        for name in &headers.remove {
            fields.remove(name);
        }
        headers.set.iter().try_for_each(|(name, value)| set(fields, name.clone(), value.clone()))
    })
}

/// Removes `Set-Cookie` fields with names of the gateway's cookies: an app must not set them.
pub(crate) fn drop_our_cookies(response: &mut ResponseHeader) -> pingora::Result<()> {
    let all: Vec<_> = response.headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    if !all.iter().any(|value| cookies::sets_own_cookie(value.as_bytes())) {
        return Ok(());
    }
    response.remove_header(&header::SET_COOKIE);
    for value in all.into_iter().filter(|value| !cookies::sets_own_cookie(value.as_bytes())) {
        response.append_header(header::SET_COOKIE, value)?;
    }
    Ok(())
}
