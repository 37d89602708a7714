//! Rewrites fields of an app's response that contain its own addresses to public ones (`rewrite_location`,
//! `rewrite_cookie_path`).

use http::{HeaderName, HeaderValue, header};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::config::Route;
use crate::gateway::request::request_target::path_of;
use crate::policy::public_path::PublicPath;

/// Maps `Location`, `Content-Location` and `Refresh`, and the path of `Set-Cookie`, if the route enables it.
///
/// `forwarded_host` is the `X-Forwarded-Host` of a trusted proxy, `server` the host of the app's server.
///
/// # Errors
/// None in practice: a mapped value stays valid.
pub(crate) fn rewrite(
    response: &mut ResponseHeader,
    request: &RequestHeader,
    route: &Route,
    forwarded_host: Option<&str>,
    server: Option<&str>,
) -> pingora::Result<()> {
    let public_path = path_of(request);
    let app_path = route.stripped(public_path);
    let prefix = if app_path.is_some() { route.path.as_str() } else { "" };
    let host = match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers.get(header::HOST).and_then(|host| host.to_str().ok()),
    };
    // An empty host matches nothing.
    let hosts = [host.unwrap_or_default(), forwarded_host.unwrap_or_default()];
    let base = app_path.unwrap_or(public_path);
    let public = PublicPath { prefix, base, hosts: &hosts, internal: server };
    if route.rewrite_location {
        each(response, &header::LOCATION, "Location", |value| public.reference(value))?;
        each(response, &header::CONTENT_LOCATION, "Content-Location", |value| public.reference(value))?;
        each(response, &header::REFRESH, "Refresh", |value| refresh(value, &public))?;
    }
    if route.rewrite_cookie_path {
        each(response, &header::SET_COOKIE, "Set-Cookie", |value| public.set_cookie(value, public_path))?;
    }
    Ok(())
}

/// Replaces the values of a field that `map` changes. Their order stays.
fn each(
    response: &mut ResponseHeader,
    name: &HeaderName,
    written_name: &'static str,
    map: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> pingora::Result<()> {
    let mapped =
        |value: &HeaderValue| map(value.as_bytes()).and_then(|value| HeaderValue::from_bytes(&value).ok());
    let all: Vec<(HeaderValue, bool)> = response
        .headers
        .get_all(name)
        .iter()
        .map(|value| mapped(value).map_or_else(|| (value.clone(), false), |value| (value, true)))
        .collect();
    if !all.iter().any(|(_, is_mapped)| *is_mapped) {
        return Ok(());
    }
    response.remove_header(name);
    for (value, _) in all {
        response.append_header(written_name, value)?;
    }
    Ok(())
}

/// Maps the URL in a `Refresh` value such as `5; url=/x`, parsed as browsers do (HTML standard, shared declarative refresh steps).
fn refresh(value: &[u8], public: &PublicPath<'_>) -> Option<Vec<u8>> {
    let at = value.iter().position(|byte| b";,".contains(byte))? + 1;
    let skip =
        |from: usize| from + value[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut start = skip(at);
    if value[start..].get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"url")) {
        let after = skip(start + 3);
        if value.get(after) == Some(&b'=') {
            start = skip(after + 1);
        }
    }
    let quote = value.get(start).copied().filter(|byte| b"'\"".contains(byte));
    start += usize::from(quote.is_some());
    let end = match quote {
        Some(quote) => {
            value[start..].iter().position(|&byte| byte == quote).map_or(value.len(), |at| start + at)
        }
        None => value.len(),
    };
    let mapped = public.reference(value[start..end].trim_ascii_end())?;
    Some([&value[..start], &mapped, &value[end..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_is_mapped_as_browsers_parse_it() {
        let public = PublicPath { prefix: "/shop", base: b"/a", hosts: &["shop.example"], internal: None };
        for (value, expected) in [
            ("0; url=/x", Some("0; url=/shop/x")),
            ("5;URL='/x'; y", Some("5;URL='/shop/x'; y")),
            ("5, url = \"/x\"", Some("5, url = \"/shop/x\"")),
            ("5; /x", Some("5; /shop/x")),
            ("5;url=b", Some("5;url=/shop/b")),
            ("5; url=http://shop.example/x", Some("5; url=http://shop.example/shop/x")),
            ("5; url=http://example.org/x", None),
            ("5; url=", None),
            ("5; url", Some("5; /shop/url")),
            ("5;", None),
            ("5", None),
            ("", None),
        ] {
            let mapped = refresh(value.as_bytes(), &public).map(|value| String::from_utf8(value).unwrap());
            assert_eq!(mapped.as_deref(), expected, "{value}");
        }
    }
}
