//! Cross-origin requests with the gateway's cookies (CSRF): browsers send cookies also for pages of other origins.
//!
//! `SameSite=Lax` keeps the cookies out of most cross-site requests, but not of those from another host or port of the same
//! site. The rest is detected by `Sec-Fetch-Site` (Fetch Metadata) and `Origin` (RFC 6454), which no script can set. No known
//! browser sends a request without both, so such a request passes.
//!
//! Safe methods (RFC 9110 section 9.2.1) pass: an app that changes state on `GET` cannot be protected here.

use http::{HeaderMap, Method, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::gateway::request::client;
use crate::gateway::upstream::upstream_request::is_websocket;
use crate::policy::same_origin::Destination;
use crate::snapshot::Snapshot;

/// Whether a request from a page of another origin could do harm: its method is not safe, or it opens a WebSocket (RFC 6455
/// section 10.2), on which that page could send and read messages.
pub(crate) fn is_guarded(request: &RequestHeader) -> bool {
    let is_safe = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
    !is_safe || is_websocket(&request.headers)
}

/// Whether the headers show that a page of another origin sent the request.
pub(crate) fn is_cross_origin(session: &Session, snapshot: &Snapshot) -> bool {
    let headers = &session.req_header().headers;
    let site = site(headers);
    match (site, origin(headers)) {
        (Site::Cross, _) | (_, Origin::Unreadable) => true,
        (Site::Own | Site::None | Site::Missing, Origin::Missing) => false,
        // Browsers send `null` after some redirects, and for pages with `Referrer-Policy: no-referrer`.
        (Site::Own, Origin::Hidden) => false,
        (Site::None | Site::Missing, Origin::Hidden) => true,
        (Site::Own | Site::None | Site::Missing, Origin::Value(origin)) => {
            !is_own_origin(origin, session, snapshot)
        }
    }
}

/// Whether the headers show that a page of the gateway's own origin sent the request. Without these headers it is not from a
/// page.
pub(crate) fn is_same_origin(session: &Session, snapshot: &Snapshot) -> bool {
    let headers = &session.req_header().headers;
    let is_from_page = headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(header::ORIGIN);
    // `none` is a typed address or a bookmark, which does not post a form.
    is_from_page && site(headers) != Site::None && !is_cross_origin(session, snapshot)
}

/// Returns `Origin` for logs and pages, if it is a valid origin.
pub(crate) fn logged_origin(headers: &HeaderMap) -> Option<&str> {
    let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
    is_origin(origin).then_some(origin)
}

/// Returns the reason why a request counts as cross-origin, for operators whose users cannot sign in.
pub(crate) fn cause(session: &Session, snapshot: &Snapshot) -> Option<String> {
    let headers = &session.req_header().headers;
    let site = headers.get(SEC_FETCH_SITE).and_then(|site| site.to_str().ok());
    let site =
        site.filter(|site| site.len() <= 16 && site.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
    if let Origin::Value(origin) = origin(headers)
        && is_own_origin(origin, session, snapshot)
    {
        return site
            .filter(|site| !matches!(*site, "same-origin" | "none"))
            .map(|site| format!("Sec-Fetch-Site is {site}"));
    }
    if !headers.contains_key(header::ORIGIN) {
        return site
            .filter(|site| !matches!(*site, "same-origin" | "none"))
            .map(|site| format!("Sec-Fetch-Site is {site}"));
    }
    let origin = logged_origin(headers).unwrap_or("(not one)");
    let is_listed = snapshot.server.public_urls.iter().any(|url| url == origin);
    Some(if is_listed {
        format!("the origin {origin} is not that of the requested host")
    } else {
        format!("the origin {origin} is not in server.public_urls")
    })
}

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// `Sec-Fetch-Site` (W3C Fetch Metadata section 2.4).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Site {
    /// `same-origin`
    Own,
    /// `none`: started by the user, not by a page.
    None,
    /// `same-site`, `cross-site`, or unknown.
    Cross,
    /// Not sent: an older browser, an address without https, or no browser.
    Missing,
}

fn site(headers: &HeaderMap) -> Site {
    let mut all = headers.get_all(SEC_FETCH_SITE).iter();
    match (all.next().map(|value| value.as_bytes()), all.next()) {
        (None, _) => Site::Missing,
        (Some(b"same-origin"), None) => Site::Own,
        (Some(b"none"), None) => Site::None,
        _ => Site::Cross,
    }
}

/// `Origin` field.
enum Origin<'a> {
    Missing,
    /// `null`
    Hidden,
    Value(&'a str),
    /// Repeated, or not text.
    Unreadable,
}

fn origin(headers: &HeaderMap) -> Origin<'_> {
    let mut all = headers.get_all(header::ORIGIN).iter();
    match (all.next().map(|value| value.to_str()), all.next()) {
        (None, _) => Origin::Missing,
        (Some(Ok("null")), None) => Origin::Hidden,
        (Some(Ok(origin)), None) => Origin::Value(origin),
        _ => Origin::Unreadable,
    }
}

fn is_own_origin(origin: &str, session: &Session, snapshot: &Snapshot) -> bool {
    let request = session.req_header();
    let client = client::origin(session, snapshot);
    let host = match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers.get(header::HOST).and_then(|host| host.to_str().ok()),
    };
    // Some proxies leave the port out of the host and send it in `X-Forwarded-Port`.
    let with_port = client.host.or(host).zip(client.port).map(|(host, port)| format!("{host}:{port}"));
    client.host.into_iter().chain(host).chain(with_port.as_deref()).any(|host| {
        let is_https = client.is_https;
        let destination = Destination { host, is_https, public_urls: &snapshot.server.public_urls };
        destination.is_origin(origin, |name| snapshot.routes.names_host(name))
    })
}

/// Whether the text is an origin as browsers serialize it (RFC 6454 section 6.1).
fn is_origin(text: &str) -> bool {
    // A scheme, a name of 253 characters and a port.
    const MAX_LENGTH: usize = 270;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let web = text.strip_prefix("http://").or(text.strip_prefix("https://"));
    text == "null" || web.is_some_and(|rest| text.len() <= MAX_LENGTH && rest.bytes().all(is_allowed))
}
