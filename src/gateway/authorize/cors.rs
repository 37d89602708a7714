//! CORS (Fetch standard): which other origins' scripts may call our endpoints and routes. Never with credentials: cookies are
//! for our own origins, scripts elsewhere send a bearer.
//!
//! On our own endpoints preflights are answered here, and responses are readable for `server.cors_origins`. On a route,
//! refusals are readable for its origins, so that a script sees "refresh" and not a network error; what else happens there is
//! the route's `cors`.

use http::{HeaderMap, HeaderValue, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::config::{Cors, Route, Server};
use crate::gateway::response::OwnResponse;
use crate::gateway::upstream::shared_caches;

/// How long a browser may remember a preflight, in seconds: long enough to be worth it, short enough that a
/// change of the configuration is felt the same hour.
const PREFLIGHT_MAX_AGE: &str = "600";

/// Whether this is a true preflight (Fetch standard, section 4.8): only that is answered without a look at
/// credentials.
pub(crate) fn is_preflight(request: &RequestHeader) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The method that a preflight of a route asks for. A browser sends no credential and no body with it.
pub(crate) fn preflight_method(request: &RequestHeader) -> Option<Method> {
    let headers = &request.headers;
    let is_more = [header::AUTHORIZATION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
        .iter()
        .any(|name| headers.get(name).is_some_and(|value| value != "0"));
    if !is_preflight(request) || is_more {
        return None;
    }
    let mut methods = headers.get_all(header::ACCESS_CONTROL_REQUEST_METHOD).iter();
    let method = methods.next().filter(|_| methods.next().is_none())?;
    Method::from_bytes(method.as_bytes()).ok()
}

/// What a route does with a preflight.
pub(crate) enum Preflight {
    /// This answer of ours.
    Answer(OwnResponse),
    /// It is forwarded, for nobody.
    Pass,
    /// It is a request like any other.
    Judge,
}

/// What `route`, which answers to `method`, does with a preflight for it.
pub(crate) fn preflight(request: &RequestHeader, method: &Method, route: &Route) -> Preflight {
    match route.cors {
        Cors::Off => Preflight::Judge,
        Cors::Pass => Preflight::Pass,
        Cors::Answer if allowed(&request.headers, &route.cors_origins).is_none() => Preflight::Judge,
        Cors::Answer => {
            let answer = readable(OwnResponse::preflight(), request, &route.cors_origins);
            let method = HeaderValue::from_str(method.as_str());
            let answer = match method {
                Ok(method) => answer.with(header::ACCESS_CONTROL_ALLOW_METHODS, method),
                Err(_) => answer,
            };
            // A star would leave `Authorization` out. Fields that nobody may send are taken out of the request itself.
            let asked = request.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
            let answer = match asked.filter(|asked| is_list_of_names(asked.as_bytes())) {
                Some(asked) => answer.with(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone()),
                None => answer,
            };
            let varies = "Access-Control-Request-Method, Access-Control-Request-Headers";
            Preflight::Answer(
                answer
                    .with(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE))
                    .with(header::VARY, HeaderValue::from_static(varies)),
            )
        }
    }
}

/// Whether it is a list of field names (RFC 9110 section 5.1).
fn is_list_of_names(list: &[u8]) -> bool {
    list.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(&byte))
}

/// The request's origin, if its scripts may call us.
pub(crate) fn allowed<'a>(headers: &'a HeaderMap, origins: &[String]) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then_some(origin)
}

/// Adds what lets an allowed origin's script read an answer of our own endpoints.
pub(crate) fn decorate(answer: OwnResponse, request: &RequestHeader, origins: &[String]) -> OwnResponse {
    let answer = readable(answer, request, origins);
    if !is_preflight(request) || allowed(&request.headers, origins).is_none() {
        return answer;
    }
    answer
        .with(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"))
        .with(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"))
        .with(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE))
}

/// The same for a refusal of a request to a route, or to none.
pub(crate) fn decorate_refusal(
    answer: OwnResponse,
    request: &RequestHeader,
    route: Option<&Route>,
    server: &Server,
) -> OwnResponse {
    readable(answer, request, route.map_or(&server.cors_origins, |route| &route.cors_origins))
}

fn readable(answer: OwnResponse, request: &RequestHeader, origins: &[String]) -> OwnResponse {
    if origins.is_empty() {
        return answer;
    }
    // What is answered depends on the origin, also for those that are not allowed.
    let answer = answer.with(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = allowed(&request.headers, origins) else { return answer };
    let answer = answer.with(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if is_preflight(request) {
        return answer;
    }
    answer.with(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("retry-after, www-authenticate, x-request-id"),
    )
}

/// Adds to the response of an app that says nothing of CORS what lets an allowed origin's script read it, where we answer the
/// preflights of its route.
pub(crate) fn expose(
    response: &mut ResponseHeader,
    request: &RequestHeader,
    route: &Route,
) -> pingora::Result<()> {
    if route.cors != Cors::Answer || response.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        return Ok(());
    }
    shared_caches::vary(response, &[header::ORIGIN])?;
    if let Some(origin) = allowed(&request.headers, &route.cors_origins) {
        response.insert_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())?;
    }
    Ok(())
}
