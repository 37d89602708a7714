//! Cross-origin requests that carry our cookies (CSRF): browsers send cookies along for the pages of other origins.
//!
//! `SameSite=Lax` keeps our cookies out of most cross-site requests, and of none that another host or port of the same site
//! sends. What is left is decided by what only browsers say: `Sec-Fetch-Site` (Fetch Metadata) and `Origin` (RFC 6454; no
//! script can set either). A request without both comes from no browser that we know of, and passes.
//!
//! Safe methods (RFC 9110 section 9.2.1) pass: an app that changes something on `GET` cannot be protected here.

use http::{HeaderMap, Method, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::gateway::request::client;
use crate::gateway::upstream::upstream_request::is_websocket;
use crate::policy::same_origin::Destination;
use crate::snapshot::Snapshot;

/// Whether a request could do harm if a page of another origin sent it: its method is not safe, or it opens a WebSocket
/// (RFC 6455 section 10.2), whose messages that page would send and read.
pub(crate) fn is_guarded(request: &RequestHeader) -> bool {
    let is_safe = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
    !is_safe || is_websocket(&request.headers)
}

/// Whether a browser says that a page of another origin sent this.
pub(crate) fn is_cross_origin(session: &Session, snapshot: &Snapshot) -> bool {
    let headers = &session.req_header().headers;
    let site = site(headers);
    match (site, origin(headers)) {
        (Site::Cross, _) | (_, Origin::Unreadable) => true,
        (Site::Own | Site::None | Site::Unsaid, Origin::Unsaid) => false,
        // Browsers hide it after some redirects, and for pages with `Referrer-Policy: no-referrer`.
        (Site::Own, Origin::Hidden) => false,
        (Site::None | Site::Unsaid, Origin::Hidden) => true,
        (Site::Own | Site::None | Site::Unsaid, Origin::Said(origin)) => {
            !is_own_origin(origin, session, snapshot)
        }
    }
}

/// Whether a browser says that a page of our own sent this. A request that says nothing is not from a page.
pub(crate) fn is_same_origin(session: &Session, snapshot: &Snapshot) -> bool {
    let headers = &session.req_header().headers;
    let is_said = headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(header::ORIGIN);
    // An address that somebody has typed posts no form.
    is_said && site(headers) != Site::None && !is_cross_origin(session, snapshot)
}

/// The origin that sent a request, for the log and for people: nothing else that the field may hold.
pub(crate) fn shown(headers: &HeaderMap) -> Option<&str> {
    let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
    is_origin(origin).then_some(origin)
}

/// Why a request counts as another origin's, for an operator whose users cannot sign in.
pub(crate) fn cause(session: &Session, snapshot: &Snapshot) -> Option<String> {
    let headers = &session.req_header().headers;
    let site = headers.get(SEC_FETCH_SITE).and_then(|site| site.to_str().ok());
    let site =
        site.filter(|site| site.len() <= 16 && site.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
    if let Origin::Said(origin) = origin(headers)
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
    let shown = shown(headers).unwrap_or("(not one)");
    let is_listed = snapshot.server.public_urls.iter().any(|url| url == shown);
    Some(if is_listed {
        format!("the origin {shown} is not that of the host that was asked")
    } else {
        format!("the origin {shown} is not in server.public_urls")
    })
}

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// `Sec-Fetch-Site` (W3C Fetch Metadata section 2.4).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Site {
    /// `same-origin`
    Own,
    /// `none`: a person, not a page.
    None,
    /// `same-site`, `cross-site`, or what is unknown.
    Cross,
    /// Not sent: an older browser, an address without https, or no browser.
    Unsaid,
}

fn site(headers: &HeaderMap) -> Site {
    let mut all = headers.get_all(SEC_FETCH_SITE).iter();
    match (all.next().map(|value| value.as_bytes()), all.next()) {
        (None, _) => Site::Unsaid,
        (Some(b"same-origin"), None) => Site::Own,
        (Some(b"none"), None) => Site::None,
        _ => Site::Cross,
    }
}

/// The `Origin` field.
enum Origin<'a> {
    Unsaid,
    /// `null`
    Hidden,
    Said(&'a str),
    Unreadable,
}

fn origin(headers: &HeaderMap) -> Origin<'_> {
    let mut all = headers.get_all(header::ORIGIN).iter();
    match (all.next().map(|value| value.to_str()), all.next()) {
        (None, _) => Origin::Unsaid,
        (Some(Ok("null")), None) => Origin::Hidden,
        (Some(Ok(origin)), None) => Origin::Said(origin),
        _ => Origin::Unreadable,
    }
}

fn is_own_origin(origin: &str, session: &Session, snapshot: &Snapshot) -> bool {
    let request = session.req_header();
    let seen = client::origin(session, snapshot);
    let host = match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers.get(header::HOST).and_then(|host| host.to_str().ok()),
    };
    // Proxies that leave the port out of the host have a field of its own for it.
    let with_port = seen.host.or(host).zip(seen.port).map(|(host, port)| format!("{host}:{port}"));
    seen.host.into_iter().chain(host).chain(with_port.as_deref()).any(|host| {
        let is_https = seen.is_https;
        let destination = Destination { host, is_https, public_urls: &snapshot.server.public_urls };
        destination.is_origin(origin, |name| snapshot.routes.names_host(name))
    })
}

/// Whether it is what a browser sends (RFC 6454 section 6.1).
fn is_origin(text: &str) -> bool {
    // A scheme, a name of 253 characters and a port.
    const LONGEST: usize = 270;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let web = text.strip_prefix("http://").or(text.strip_prefix("https://"));
    text == "null" || web.is_some_and(|rest| text.len() <= LONGEST && rest.bytes().all(is_allowed))
}
