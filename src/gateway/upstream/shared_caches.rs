//! Keeps responses for one user out of shared caches (RFC 9111).
//!
//! RFC 9111 section 3.5 forbids shared caches to store responses to requests with `Authorization`, but not with a cookie. The
//! directives `public`, `s-maxage` and `must-revalidate` lift even that, nginx ignores it, and an app without logins of its own
//! sends all three. So on a route that is not public, every response to an authenticated request (cookie or bearer) becomes
//! `private` and varies by `Cookie`. The browser may still cache it as `max-age` and `Expires` allow.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::ResponseHeader;

use crate::config::Access;
use crate::gateway::upstream::fields::edit_response;
use crate::policy::Permit;

/// Targeted fields that override `Cache-Control` in one kind of cache (RFC 9213, Edge Architecture 1.0, nginx). All names ending
/// in `-cache-control` count too, the form that RFC 9213 defines.
const TARGETED: [&str; 4] = ["surrogate-control", "x-accel-expires", "edge-control", "x-surrogate-control"];

/// Keeps an app's response out of shared caches if it is for one user. With `has_cookies`, it sets the gateway's cookies, and no
/// setting can make it shared.
pub(crate) fn protect(
    response: &mut ResponseHeader,
    permit: &Permit,
    has_cookies: bool,
) -> pingora::Result<()> {
    let route = permit.route();
    let is_always_private = has_cookies || permit.needs_other_routes();
    if !is_always_private && (route.shared_cache || route.access == Access::Public) {
        return Ok(());
    }
    if is_always_private || permit.identity().is_some() {
        make_private(response)?;
        return vary(response, &[header::COOKIE]);
    }
    // Response to an anonymous request, on a route that also serves authenticated ones: must not be served to those.
    vary(response, &[header::COOKIE, header::AUTHORIZATION])
}

fn make_private(response: &mut ResponseHeader) -> pingora::Result<()> {
    if response.headers.keys().any(is_targeted) {
        let targeted: Vec<HeaderName> =
            response.headers.keys().filter(|name| is_targeted(name)).cloned().collect();
        for name in &targeted {
            response.remove_header(name);
        }
    }
    if let Some(merged) = private(&response.headers) {
        edit_response(response, |headers| headers.insert(header::CACHE_CONTROL, merged));
    }
    Ok(())
}

fn is_targeted(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("-cache-control") || TARGETED.contains(&name)
}

/// Returns `Cache-Control` with `private`, without directives that contradict it (RFC 9111 section 5.2.2). `None` if the current
/// value is private already.
fn private(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut fields = headers.get_all(header::CACHE_CONTROL).iter();
    let first = fields.next();
    if first.is_none() {
        return Some(HeaderValue::from_static("private"));
    }
    let fields = first.into_iter().chain(fields).filter_map(|value| value.to_str().ok());
    let whole = fields.collect::<Vec<_>>().join(", ");
    let name = |directive: &str| directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
    let all: Vec<&str> = directives(&whole);
    let is_shared = |one: &&str| matches!(name(one).as_str(), "public" | "s-maxage");
    // `private="field"` applies to that field only.
    let is_private = |one: &&str| name(one) == "no-store" || one.eq_ignore_ascii_case("private");
    if all.iter().any(is_private) && !all.iter().any(is_shared) {
        return None;
    }
    let kept = all.into_iter().filter(|one| !is_shared(one) && !one.eq_ignore_ascii_case("private"));
    let merged = ["private"].into_iter().chain(kept).collect::<Vec<_>>().join(", ");
    Some(HeaderValue::from_str(&merged).unwrap_or(HeaderValue::from_static("private")))
}

/// Splits a list at its commas, except those in quotes.
fn directives(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
    .filter(|one| !one.is_empty())
    .collect()
}

/// Adds missing field names to `Vary` (RFC 9110 section 12.5.5), in one field line: nginx before 1.23 reads only the last line.
pub(crate) fn vary(response: &mut ResponseHeader, names: &[HeaderName]) -> pingora::Result<()> {
    if let [name] = names
        && !response.headers.contains_key(header::VARY)
    {
        let name = HeaderValue::from(name.clone());
        edit_response(response, |headers| headers.insert(header::VARY, name));
        return Ok(());
    }
    let missing: Vec<&str> =
        names.iter().filter(|name| !varies_by(&response.headers, name)).map(HeaderName::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let present = response.headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    let merged = present.chain(missing).filter(|value| !value.is_empty()).collect::<Vec<_>>().join(", ");
    let merged = HeaderValue::from_str(&merged).unwrap_or(HeaderValue::from_static("*"));
    response.insert_header(header::VARY, merged)
}

fn varies_by(headers: &HeaderMap, name: &HeaderName) -> bool {
    let fields = headers.get_all(header::VARY).iter();
    let mut listed =
        fields.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    listed.any(|listed| listed == b"*" || listed.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(fields: &[(&'static str, &'static str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in fields {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    #[test]
    fn private_replaces_shared_directives() {
        for (sent, merged) in [
            (&[][..], Some("private")),
            (&["max-age=60"], Some("private, max-age=60")),
            (&["public, max-age=60, s-maxage=600"], Some("private, max-age=60")),
            (&["PUBLIC", "Max-Age=60"], Some("private, Max-Age=60")),
            (&["public, max-age=60, must-revalidate"], Some("private, max-age=60, must-revalidate")),
            (&["no-cache=\"a, public\", public"], Some("private, no-cache=\"a, public\"")),
            (&["private=\"x-a\""], Some("private, private=\"x-a\"")),
            (&["private, public"], Some("private")),
            (&["no-store, s-maxage=60"], Some("private, no-store")),
            (&["s-maxage = 60"], Some("private")),
            (&[""], Some("private")),
            (&["private"], None),
            (&["max-age=60", "Private"], None),
            (&["no-store"], None),
        ] {
            let mut headers = HeaderMap::new();
            for field in sent {
                headers.append(header::CACHE_CONTROL, HeaderValue::from_static(field));
            }
            assert_eq!(private(&headers).as_ref().map(|v| v.to_str().unwrap()), merged, "{sent:?}");
        }
    }

    #[test]
    fn targeted_cache_control_is_removed() {
        let mut shared = response(&[
            ("CDN-Cache-Control", "max-age=60"),
            ("Cloudflare-CDN-Cache-Control", "max-age=60"),
            ("Netlify-CDN-Cache-Control", "public, durable"),
            ("X-LiteSpeed-Cache-Control", "public"),
            ("Surrogate-Control", "max-age=60"),
            ("Edge-Control", "cache-maxage=60"),
            ("X-Accel-Expires", "60"),
            ("Expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
            ("Cache-Control", "no-store"),
            ("ETag", "\"1\""),
        ]);
        make_private(&mut shared).unwrap();
        let mut left: Vec<&str> = shared.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cache-control", "etag", "expires"]);
    }

    #[test]
    fn vary_lists_each_field_once() {
        for (sent, listed) in [
            (&[][..], &["cookie"][..]),
            (&["Accept-Encoding"], &["Accept-Encoding, cookie"]),
            (&["Accept-Encoding", "Accept"], &["Accept-Encoding, Accept, cookie"]),
            (&["accept, COOKIE"], &["accept, COOKIE"]),
            (&["*"], &["*"]),
        ] {
            let mut response = response(&sent.iter().map(|value| ("Vary", *value)).collect::<Vec<_>>());
            vary(&mut response, &[header::COOKIE]).unwrap();
            let all: Vec<_> = response.headers.get_all(header::VARY).iter().collect();
            assert_eq!(all, listed, "{sent:?}");
        }
    }
}
