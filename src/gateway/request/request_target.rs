//! Target of a request: its forms, path and host.

use pingora::http::RequestHeader;

use crate::error::Refusal;
use crate::policy;

/// Returns the request target in origin form, byte for byte as received. An absolute form (RFC 9112 section 3.2.2) loses its
/// scheme and authority; Pingora has checked that the authority matches `Host`.
pub(crate) fn origin_form(request: &RequestHeader) -> &[u8] {
    let raw = request.raw_path();
    let is_http =
        |scheme: &&[u8]| raw.len() > scheme.len() && raw[..scheme.len()].eq_ignore_ascii_case(scheme);
    let Some(scheme) = [&b"http://"[..], b"https://"].into_iter().find(is_http) else { return raw };
    let rest = &raw[scheme.len()..];
    // End of the authority (RFC 3986 section 3.2). An empty path means the root.
    rest.iter().position(|b| b"/?#".contains(b)).map_or(b"/", |end| &rest[end..])
}

/// Returns the path of a request target, without its query.
pub(crate) fn path_of(request: &RequestHeader) -> &[u8] {
    origin_form(request).split(|&b| b == b'?').next().unwrap_or_default()
}

/// Returns the canonical host, from `Host`, `:authority` or an absolute-form target (RFC 9112 section 3.2.2). If there are two,
/// Pingora has checked that they match.
pub(crate) fn host_of(request: &RequestHeader) -> Result<String, Refusal> {
    canonical(authority_of(request)?)
}

/// Returns the canonical host of an authority. An empty one stays empty: HTTP/1.0 requests may have none.
pub(crate) fn canonical(authority: &str) -> Result<String, Refusal> {
    if authority.is_empty() { Ok(String::new()) } else { policy::route::canonical_host(authority) }
}

/// Returns host and port as received.
pub(crate) fn authority_of(request: &RequestHeader) -> Result<&str, Refusal> {
    let missing = || Refusal::RequestInvalid("Host: missing".into());
    match request.uri.authority() {
        Some(authority) => Ok(authority.as_str()),
        None => {
            let sent = request.headers.get(http::header::HOST);
            // RFC 9112 section 3.2 requires Host in HTTP/1.1 only. A request without it matches routes without a host.
            if sent.is_none() && request.version < http::Version::HTTP_11 {
                return Ok("");
            }
            let value = sent.ok_or_else(missing)?;
            let value = value.to_str().ok().filter(|value| !value.is_empty());
            value.ok_or_else(|| Refusal::RequestInvalid("Host: not a host name".into()))
        }
    }
}
