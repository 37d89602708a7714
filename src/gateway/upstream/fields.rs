//! Header fields of a request to the app, and of its response.
//!
//! Pingora's headers keep a second map with the spelling of each name: every field is hashed, inserted, cloned and dropped twice,
//! and every name is parsed again. Names do not depend on case (RFC 9110 section 5.1), and over HTTP/2 they have none. So the
//! spelling is dropped when a header arrives: both sides see the same names over HTTP/1.1 as over HTTP/2.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, response};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::error::Refusal;

/// Number of fields that the gateway adds to a request, without those that an upstream's own settings add: room for them is made
/// once.
const ADDED: usize = 14;

/// Number of fields that are commonly added to a response: `Via`, the request id, `Cache-Control`, `Vary`, `Date`, `Connection`.
const ADDED_TO_RESPONSE: usize = 6;

/// Drops the spelling of the names.
pub(crate) fn drop_spelling(request: &mut RequestHeader) {
    if request.has_case() {
        with_parts(request, |_| ());
    }
}

/// Drops the spelling of the names of a response, and makes room for the gateway's fields and Pingora's.
pub(crate) fn drop_response_spelling(response: &mut ResponseHeader) {
    if response.has_case() {
        edit_response(response, |headers| headers.reserve(ADDED_TO_RESPONSE));
    }
}

/// Changes the fields of a response without a spelling.
pub(crate) fn edit_response<T>(response: &mut ResponseHeader, change: impl FnOnce(&mut HeaderMap) -> T) -> T {
    // `Parts` has no place for an app's own reason phrase.
    let (reason, usual) = (response.get_reason_phrase(), response.status.canonical_reason());
    let reason = reason.filter(|_| reason != usual).map(str::to_owned);
    let empty = ResponseHeader::from(http::Response::new(()).into_parts().0);
    let mut parts = response::Parts::from(std::mem::replace(response, empty));
    let result = change(&mut parts.headers);
    *response = ResponseHeader::from(parts);
    if reason.is_some() {
        // Cannot fail: this phrase was parsed before.
        let _ = response.set_reason_phrase(reason.as_deref());
    }
    result
}

/// Changes the fields of a request without a spelling.
pub(crate) fn edit<T>(request: &mut RequestHeader, change: impl FnOnce(&mut HeaderMap) -> T) -> T {
    with_parts(request, |parts| {
        parts.headers.reserve(ADDED);
        change(&mut parts.headers)
    })
}

fn with_parts<T>(request: &mut RequestHeader, change: impl FnOnce(&mut Parts) -> T) -> T {
    // `Parts` has no place for a target that a URI cannot hold: another form, or bytes that are not UTF-8.
    let raw = request.raw_path();
    let target = (!raw.starts_with(b"/") || !request.raw_path_is_utf8()).then(|| raw.to_vec());
    let empty = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts = Parts::from(std::mem::replace(request, empty));
    let result = change(&mut parts);
    *request = RequestHeader::from(parts);
    if let Some(target) = target {
        // Cannot fail: this target was parsed before.
        let _ = request.set_raw_path(&target);
    }
    result
}

/// Sets a field.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Refusal> {
    // Fails only with 32,768 fields, which do not get here.
    headers.try_insert(name, value).map(drop).map_err(|_| Refusal::Internal)
}

#[cfg(test)]
mod tests {
    use http::{StatusCode, Version};

    use super::*;

    #[test]
    fn target_version_and_fields_stay_whatever_the_form() {
        for target in [
            &b"/"[..],
            b"/a?b",
            b"*",
            b"http://a.test/x?y",
            b"http://a.test",
            b"/caf\xe9",
            b"/x?\xff",
            "/é".as_bytes(),
        ] {
            let mut request = RequestHeader::build("OPTIONS", target, None).expect("a request");
            request.set_version(Version::HTTP_10);
            request.append_header("X-One", "1").expect("a field");
            request.append_header("x-oNE", "2").expect("a field");
            let before = (request.raw_path().to_vec(), request.raw_path_is_utf8(), request.uri.clone());
            drop_spelling(&mut request);
            edit(&mut request, |headers| {
                set(headers, HeaderName::from_static("x-two"), HeaderValue::from_static("3"))
            })
            .expect("room");
            assert!(!request.has_case());
            let after = (request.raw_path().to_vec(), request.raw_path_is_utf8(), request.uri.clone());
            assert_eq!(after, before);
            assert_eq!((request.version, request.method.as_str()), (Version::HTTP_10, "OPTIONS"));
            let mut wire = Vec::new();
            request.header_to_h1_wire(&mut wire);
            assert_eq!(wire, b"x-one: 1\r\nx-one: 2\r\nx-two: 3\r\n");
        }
    }

    #[test]
    fn status_reason_and_fields_of_a_response_stay() {
        for (status, reason) in [(200, None), (200, Some("Fine")), (599, Some("Odd")), (599, None)] {
            let mut response = ResponseHeader::build(status, None).expect("a status");
            response.set_version(Version::HTTP_10);
            response.set_reason_phrase(reason).expect("a phrase");
            response.append_header("X-One", "1").expect("a field");
            let before = response.get_reason_phrase().map(str::to_owned);
            drop_response_spelling(&mut response);
            edit_response(&mut response, |headers| {
                set(headers, HeaderName::from_static("x-two"), HeaderValue::from_static("2"))
            })
            .expect("room");
            assert_eq!(response.get_reason_phrase(), before.as_deref());
            assert_eq!(response.status, StatusCode::from_u16(status).expect("a status"));
            assert_eq!(response.version, Version::HTTP_10);
            let mut wire = Vec::new();
            response.header_to_h1_wire(&mut wire);
            assert_eq!(wire, b"x-one: 1\r\nx-two: 2\r\n");
        }
    }
}
