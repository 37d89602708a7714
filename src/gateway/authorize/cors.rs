//! CORS (Fetch standard): lets scripts of other origins call the gateway's endpoints and routes. Never with credentials: cookies
//! are for the gateway's own origins, scripts of other origins send a bearer token.
//!
//! For the gateway's endpoints, this module responds to preflights and makes responses readable for `server.cors_origins`. On a
//! route, refusals are readable for its origins, so that a script sees "refresh" instead of a network error. The route's `cors`
//! decides the rest.

use http::{HeaderMap, HeaderValue, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::config::{Cors, Route};
use crate::error::Refusal;
use crate::gateway::authorize::path_routes::routes_of_path;
use crate::gateway::response::OwnResponse;
use crate::gateway::upstream::shared_caches;
use crate::snapshot::Snapshot;

/// Time that a browser may cache a preflight, in seconds: long enough to be useful, short enough for a configuration change to
/// take effect within the hour.
const PREFLIGHT_MAX_AGE: &str = "600";

/// Whether this is a preflight (Fetch standard, section 4.8). Only preflights get a response without a credential check.
pub(crate) fn is_preflight(request: &RequestHeader) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Returns the requested method of a preflight. `None` if it has a credential or a body, which browsers do not send with it.
pub(crate) fn preflight_method(request: &RequestHeader) -> Option<Method> {
    let headers = &request.headers;
    let has_more = [header::AUTHORIZATION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
        .iter()
        .any(|name| headers.get(name).is_some_and(|value| value != "0"));
    if !is_preflight(request) || has_more {
        return None;
    }
    let mut methods = headers.get_all(header::ACCESS_CONTROL_REQUEST_METHOD).iter();
    let method = methods.next().filter(|_| methods.next().is_none())?;
    Method::from_bytes(method.as_bytes()).ok()
}

/// Handling of a preflight.
pub(crate) enum Preflight {
    /// The gateway sends this response.
    Respond(OwnResponse),
    /// Forwarded without an identity.
    Forward,
    /// Authorized like any other request.
    Authorize,
}

/// Returns how `route`, which matches `method`, handles a preflight for it.
pub(crate) fn preflight(request: &RequestHeader, method: &Method, route: &Route) -> Preflight {
    match route.cors {
        Cors::Off => Preflight::Authorize,
        Cors::Pass => Preflight::Forward,
        Cors::Answer if allowed(&request.headers, &route.cors_origins).is_none() => Preflight::Authorize,
        Cors::Answer => {
            let response = readable(OwnResponse::preflight(), request, &route.cors_origins);
            let method = HeaderValue::from_str(method.as_str());
            let response = match method {
                Ok(method) => response.with(header::ACCESS_CONTROL_ALLOW_METHODS, method),
                Err(_) => response,
            };
            // `*` would not include `Authorization`. Fields that clients must not set are removed from the request itself.
            let requested = request.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
            let response = match requested.filter(|requested| is_list_of_names(requested.as_bytes())) {
                Some(requested) => response.with(header::ACCESS_CONTROL_ALLOW_HEADERS, requested.clone()),
                None => response,
            };
            let varies = "Access-Control-Request-Method, Access-Control-Request-Headers";
            Preflight::Respond(
                response
                    .with(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE))
                    .with(header::VARY, HeaderValue::from_static(varies)),
            )
        }
    }
}

/// Whether the value is a list of field names (RFC 9110 section 5.1).
fn is_list_of_names(list: &[u8]) -> bool {
    list.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(&byte))
}

/// Returns the request's origin, if it is in `origins`.
pub(crate) fn allowed<'a>(headers: &'a HeaderMap, origins: &[String]) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then_some(origin)
}

/// Adds the CORS fields to a response of the gateway's endpoints.
pub(crate) fn decorate(response: OwnResponse, request: &RequestHeader, origins: &[String]) -> OwnResponse {
    let response = readable(response, request, origins);
    if !is_preflight(request) || allowed(&request.headers, origins).is_none() {
        return response;
    }
    response
        .with(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"))
        .with(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"))
        .with(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE))
}

/// Adds the CORS fields to a refusal. Before a route is chosen, the origins are those of the routes at the request's host and
/// path, and those of the server. Of a refused method, only those of the routes.
pub(crate) fn decorate_refusal(
    response: OwnResponse,
    refusal: &Refusal,
    request: &RequestHeader,
    route: Option<&Route>,
    snapshot: &Snapshot,
) -> OwnResponse {
    if let Some(route) = route {
        return readable(response, request, &route.cors_origins);
    }
    let routes = routes_of_path(request, snapshot);
    let server = &snapshot.server.cors_origins;
    let is_theirs = matches!(refusal, Refusal::MethodNotAllowed(_)) && !routes.is_empty();
    let of_server = if is_theirs { &[][..] } else { server };
    let origins = routes.iter().flat_map(|route| &route.cors_origins).chain(of_server).cloned();
    readable(response, request, &origins.collect::<Vec<_>>())
}

fn readable(response: OwnResponse, request: &RequestHeader, origins: &[String]) -> OwnResponse {
    if origins.is_empty() {
        return response;
    }
    // The response depends on the origin, also for origins that are not allowed.
    let response = response.with(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = allowed(&request.headers, origins) else { return response };
    let response = response.with(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if is_preflight(request) {
        return response;
    }
    response.with(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("retry-after, www-authenticate, x-request-id"),
    )
}

/// Adds the CORS fields to an app's response without any, if the gateway responds to the preflights of its route.
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
