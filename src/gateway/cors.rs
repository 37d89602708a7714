//! CORS for our own endpoints: which other origins' scripts may call them. Never with credentials: cookies are
//! for our own origins, scripts elsewhere send a bearer.

use http::{HeaderMap, HeaderValue, Method, header};
use pingora::http::RequestHeader;

use super::respond::Answer;

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
