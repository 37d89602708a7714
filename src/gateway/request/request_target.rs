//! The target of a request: its forms, its path and its host.

use pingora::http::RequestHeader;

use crate::error::Refusal;
use crate::policy;

/// The request target in origin form, with the bytes as they came: an absolute form (RFC 9112 section 3.2.2) loses
/// its scheme and authority, which the transport has found to agree with `Host`.
pub(crate) fn origin_form(request: &RequestHeader) -> &[u8] {
    let raw = request.raw_path();
    let is_http =
        |scheme: &&[u8]| raw.len() > scheme.len() && raw[..scheme.len()].eq_ignore_ascii_case(scheme);
    let Some(scheme) = [&b"http://"[..], b"https://"].into_iter().find(is_http) else { return raw };
    let rest = &raw[scheme.len()..];
    // RFC 3986 section 3.2: here the authority ends. Without a path the root is meant.
    rest.iter().position(|b| b"/?#".contains(b)).map_or(b"/", |end| &rest[end..])
}

/// The path of a request target, without its query.
pub(crate) fn path_of(request: &RequestHeader) -> &[u8] {
    origin_form(request).split(|&b| b == b'?').next().unwrap_or_default()
}

/// The canonical host: of the `Host` field, or of `:authority`, or of an absolute-form target (RFC 9112 section
/// 3.2.2), which the transport has found to agree where there are two.
pub(crate) fn host_of(request: &RequestHeader) -> Result<String, Refusal> {
    canonical(authority_of(request)?)
}

/// Nothing stays nothing: HTTP/1.0 may name no host.
pub(crate) fn canonical(authority: &str) -> Result<String, Refusal> {
    if authority.is_empty() { Ok(String::new()) } else { policy::route::canonical_host(authority) }
}

/// The host and port, as they were sent.
pub(crate) fn authority_of(request: &RequestHeader) -> Result<&str, Refusal> {
    let missing = || Refusal::RequestInvalid("Host: missing".into());
    match request.uri.authority() {
        Some(authority) => Ok(authority.as_str()),
        None => {
            let sent = request.headers.get(http::header::HOST);
            // RFC 9112 section 3.2 asks for Host in HTTP/1.1. Without one it is the host of routes that are for any.
            if sent.is_none() && request.version < http::Version::HTTP_11 {
                return Ok("");
            }
            let value = sent.ok_or_else(missing)?;
            let value = value.to_str().ok().filter(|value| !value.is_empty());
            value.ok_or_else(|| Refusal::RequestInvalid("Host: not a host name".into()))
        }
    }
}
