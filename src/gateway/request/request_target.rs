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
                return Ok(absolute_authority(request.raw_path()));
            }
            let value = sent.ok_or_else(missing)?;
            let value = value.to_str().ok().filter(|value| !value.is_empty());
            value.ok_or_else(|| Refusal::RequestInvalid("Host: not a host name".into()))
        }
    }
}

/// Returns the authority of a target in absolute form (RFC 9112 section 3.2.2), or an empty string.
fn absolute_authority(target: &[u8]) -> &str {
    let target = std::str::from_utf8(target).unwrap_or_default();
    let is_http = |scheme: &str| matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https");
    let Some((_, rest)) = target.split_once("://").filter(|(scheme, _)| is_http(scheme)) else { return "" };
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::Version;
    use pingora::http::RequestHeader;

    use super::host_of;

    fn host(target: &str, host: Option<&str>, version: Version) -> Option<String> {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).expect("a request");
        request.set_version(version);
        if let Some(host) = host {
            request.insert_header("Host", host).expect("a header field");
        }
        host_of(&request).ok()
    }

    #[test]
    fn absolute_form_names_the_host_in_http_1_0() {
        let host = |target| host(target, None, Version::HTTP_10);
        assert_eq!(host("http://app.test/x").as_deref(), Some("app.test"));
        assert_eq!(host("HTTPS://app.test:8443?x").as_deref(), Some("app.test"));
        assert_eq!(host("/http://app.test/").as_deref(), Some(""), "an ordinary path");
        assert_eq!(host("/").as_deref(), Some(""));
    }

    #[test]
    fn port_beyond_16_bits_is_refused() {
        for (sent, is_taken) in
            [("a:0", true), ("a:65535", true), ("a:65536", false), ("a:99999", false), ("[::1]", true)]
        {
            assert_eq!(host("/", Some(sent), Version::HTTP_11).is_some(), is_taken, "{sent}");
        }
    }
}
