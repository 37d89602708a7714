//! CORS for our own endpoints: which other origins' scripts may call them. Never with credentials: cookies are
//! for our own origins, scripts elsewhere send a bearer.

use http::{HeaderMap, HeaderValue, Method, header};
use pingora::http::RequestHeader;

use super::respond::Answer;
use crate::config::Server;

/// How long a browser may remember a preflight, in seconds: long enough to be worth it, short enough that a
/// change of the configuration is felt the same hour.
const PREFLIGHT_MAX_AGE: &str = "600";

/// Whether this is a true preflight (Fetch standard, section 4.8): only that is answered without a look at
/// credentials.
pub(super) fn is_preflight(request: &RequestHeader) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The request's origin, if its scripts may call us.
pub(super) fn allowed<'a>(headers: &'a HeaderMap, origins: &[String]) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then_some(origin)
}

/// Whether a browser says that a script of neither our own nor an allowed origin is asking. Callers that are no
/// browsers send no `Origin`.
pub(super) fn is_foreign(headers: &HeaderMap, server: &Server) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let ours = |known: &String| known.as_bytes() == origin.as_bytes();
    !server.public_urls.iter().chain(&server.cors_origins).any(ours)
}

/// Which origin was taken for another's, for whoever has to find out why nobody can sign in. What is none is not repeated: it
/// may be anything.
pub(super) fn stranger(headers: &HeaderMap, server: &Server) -> Option<String> {
    let origin = headers.get(header::ORIGIN)?.as_bytes();
    if server.public_urls.iter().any(|known| known.as_bytes() == origin) {
        return None;
    }
    let shown = std::str::from_utf8(origin).ok().filter(|text| is_origin(text)).unwrap_or("(not one)");
    Some(format!("the origin {shown} is not in server.public_urls"))
}

/// Whether it is what a browser sends (RFC 6454 section 6.1).
fn is_origin(text: &str) -> bool {
    // A scheme, a name of 253 characters and a port.
    const MOST: usize = 270;
    let place = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let web = text.strip_prefix("http://").or(text.strip_prefix("https://"));
    text == "null" || web.is_some_and(|rest| text.len() <= MOST && rest.bytes().all(place))
}

/// Adds what lets an allowed origin's script read the answer.
pub(super) fn decorate(answer: Answer, request: &RequestHeader, origins: &[String]) -> Answer {
    if origins.is_empty() {
        return answer;
    }
    // What is answered depends on the origin, also for those that are not allowed.
    let answer = answer.with(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = allowed(&request.headers, origins) else { return answer };
    let answer = answer.with(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if is_preflight(request) {
        answer
            .with(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"))
            .with(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("authorization, content-type"),
            )
            .with(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE))
    } else {
        answer.with(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("retry-after, www-authenticate, x-request-id"),
        )
    }
}
