//! Framing of the response: the app's response header is checked and rebuilt for the client.
//!
//! Nothing is forwarded that concerns the connection to the app, or the framing of its message:
//!
//! | part of the header | rule |
//! |---|---|
//! | version | HTTP/1.1 towards HTTP/1 clients (RFC 9112 section 2.3) |
//! | `Transfer-Encoding` | `chunked` alone, or 502: the request allowed no other coding (RFC 9112 sections 6.1 and 6.3) |
//! | `Content-Length` | one number; equal ones become one, different ones are 502 (RFC 9110 section 8.6) |
//! | both, on 1xx and 204 | removed (RFC 9110 section 8.6, RFC 9112 section 6.1) |
//! | `Content-Length` on 304 | removed where both sides are HTTP/2 |
//! | content of 1xx, 204, 205, 304 and of HEAD | none, whatever the app sends (RFC 9110 sections 6.4.1 and 15.3.6) |
//! | `Connection`, the fields it names, and hop-by-hop fields | removed (RFC 9110 section 7.6.1, RFC 9113 section 8.2.2) |
//! | `Trailer` | removed, unless both sides are HTTP/2: HTTP/1.1 trailers are not forwarded (RFC 9110 section 6.6.2) |
//! | `Via` | with the version that the app spoke (RFC 9110 section 7.6.3) |

use http::{HeaderMap, HeaderValue, Method, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use crate::gateway::upstream::fields::edit_response;

const CONNECTION: u8 = 1;
const CONTENT_LENGTH: u8 = 1 << 1;
const TRANSFER_ENCODING: u8 = 1 << 2;
const UPGRADE: u8 = 1 << 3;
const TRAILER: u8 = 1 << 4;
const KEEP_ALIVE: u8 = 1 << 5;
const PROXY_CONNECTION: u8 = 1 << 6;
const TE: u8 = 1 << 7;

/// Reason why a response cannot be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// RFC 9112 section 6.3: the end of the content is unknown.
    #[error("Transfer-Encoding: not chunked")]
    TransferCoding,
    /// RFC 9110 section 8.6.
    #[error("Content-Length: not one number")]
    ContentLength,
    /// RFC 9110 section 15.2: HTTP/1.0 has no 1xx.
    #[error("101 in HTTP/1.0")]
    Upgrade,
}

/// Whether a response has content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Forwarded as the app sends it.
    Forwarded,
    /// None: bytes that the app sends are dropped.
    None,
}

/// Rebuilds the header of an app's response to `request`.
///
/// # Errors
///
/// [`Fault`] if its framing is ambiguous or unknown: the client gets 502.
pub(crate) fn rebuild(response: &mut ResponseHeader, request: &RequestHeader) -> Result<Content, Fault> {
    let (status, received) = (response.status.as_u16(), response.version);
    let is_upgrade = status == 101;
    if is_upgrade && received != Version::HTTP_11 {
        return Err(Fault::Upgrade);
    }
    let is_informational = response.status.is_informational();
    let has_content =
        !is_informational && !matches!(status, 204 | 205 | 304) && request.method != Method::HEAD;
    let mut present = hop_by_hop_fields(&response.headers);
    if present & CONNECTION != 0 {
        present = remove_connection(response, present, is_informational, is_upgrade);
    }
    if present & TRANSFER_ENCODING != 0 {
        check_coding(response)?;
        if !has_content {
            response.remove_header(&header::TRANSFER_ENCODING);
        }
    }
    if present & CONTENT_LENGTH != 0 {
        check_length(response)?;
        if is_informational || status == 204 {
            response.remove_header(&header::CONTENT_LENGTH);
        }
    }
    let is_http2_only = received == Version::HTTP_2 && request.version == Version::HTTP_2;
    if status == 304 && is_http2_only {
        // Optional (RFC 9110 section 15.4.5). If the header section does not end the stream, some clients take the length for that of
        // missing content.
        response.remove_header(&header::CONTENT_LENGTH);
    }
    if status == 205 {
        // One of the three ways to send a 205 without content (RFC 9110 section 15.3.6).
        let _ = response.insert_header(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    for (flag, name, is_kept) in [
        (UPGRADE, "upgrade", is_upgrade),
        (TRAILER, "trailer", is_http2_only),
        (KEEP_ALIVE, "keep-alive", false),
        (PROXY_CONNECTION, "proxy-connection", false),
        (TE, "te", false),
    ] {
        if present & flag != 0 && !is_kept {
            response.remove_header(name);
        }
    }
    response.set_version(Version::HTTP_11);
    // Fails only with 32,768 fields, which do not get here.
    let _ = edit_response(response, |headers| headers.try_append(header::VIA, via(received)));
    // The bytes after 101 are not content, and are forwarded.
    Ok(if has_content || is_upgrade { Content::Forwarded } else { Content::None })
}

/// Returns `Via` for a message received in `version` (RFC 9110 section 7.6.3).
pub(crate) fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_2 => "2 doorward",
        Version::HTTP_10 | Version::HTTP_09 => "1.0 doorward",
        _ => "1.1 doorward",
    })
}

/// Removes the chunked coding from a response to an HTTP/1.0 client, which does not know it (RFC 9112 section 6.1). Without
/// `Content-Length`, the response ends with its connection.
pub(crate) fn without_chunks(session: &mut Session, response: &mut ResponseHeader, is_empty: bool) {
    response.remove_header(&header::TRANSFER_ENCODING);
    if !is_empty && !response.headers.contains_key(header::CONTENT_LENGTH) {
        session.set_keepalive(None);
    }
}

/// Whether the header of a final response was written. Informational ones do not count (RFC 9110 section 15.2); 101 is final.
pub(crate) fn has_begun(session: &Session) -> bool {
    session.response_written().is_some_and(|response| is_final(response.status.as_u16()))
}

/// Whether a status is final: no other response follows it.
pub(crate) const fn is_final(status: u16) -> bool {
    status == 101 || status >= 200
}

/// Returns the framing and hop-by-hop fields that are present, as flags.
fn hop_by_hop_fields(headers: &HeaderMap) -> u8 {
    headers.keys().fold(0, |present, name| {
        present
            | match name.as_str() {
                "connection" => CONNECTION,
                "content-length" => CONTENT_LENGTH,
                "transfer-encoding" => TRANSFER_ENCODING,
                "upgrade" => UPGRADE,
                "trailer" => TRAILER,
                "keep-alive" => KEEP_ALIVE,
                "proxy-connection" => PROXY_CONNECTION,
                "te" => TE,
                _ => 0,
            }
    })
}

/// Removes the fields that `Connection` names, and rewrites `Connection`. Returns the flags of the remaining fields.
fn remove_connection(
    response: &mut ResponseHeader,
    present: u8,
    is_informational: bool,
    is_upgrade: bool,
) -> u8 {
    let is_plain = |value: &HeaderValue| {
        let value = value.as_bytes();
        [&b"close"[..], b"keep-alive", b"upgrade"].iter().any(|plain| value.eq_ignore_ascii_case(plain))
    };
    let mut left = present;
    if !response.headers.get_all(header::CONNECTION).iter().all(is_plain) {
        let values: Vec<HeaderValue> = response.headers.get_all(header::CONNECTION).iter().cloned().collect();
        let names = values.iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
        for name in names.filter_map(|name| std::str::from_utf8(name.trim_ascii()).ok()) {
            // Framing fields stay until they are checked. `Upgrade` stays for a 101, `Connection` is handled below.
            if !["content-length", "transfer-encoding", "upgrade", "connection"]
                .iter()
                .any(|kept| name.eq_ignore_ascii_case(kept))
            {
                response.remove_header(name);
            }
        }
        left = hop_by_hop_fields(&response.headers);
    }
    if is_upgrade {
        let _ = response.insert_header(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    } else if is_informational {
        response.remove_header(&header::CONNECTION);
    }
    // For other responses Pingora writes its own `Connection`, and over HTTP/2 none.
    left
}

/// Checks that the coding is `chunked` alone, in one field, as Pingora has read it.
fn check_coding(response: &mut ResponseHeader) -> Result<(), Fault> {
    let mut codings = response.headers.get_all(header::TRANSFER_ENCODING).iter();
    let (Some(coding), None) = (codings.next(), codings.next()) else { return Err(Fault::TransferCoding) };
    match coding.as_bytes() {
        b"chunked" => Ok(()),
        other if other.eq_ignore_ascii_case(b"chunked") => response
            .insert_header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))
            .map_err(|_| Fault::TransferCoding),
        _ => Err(Fault::TransferCoding),
    }
}

/// Checks that all lengths are the same number, and writes it as one field.
fn check_length(response: &mut ResponseHeader) -> Result<(), Fault> {
    let lengths = response.headers.get_all(header::CONTENT_LENGTH);
    let mut values = lengths.iter();
    if let (Some(one), None) = (values.next(), values.next())
        && is_plain_number(one.as_bytes())
    {
        return Ok(());
    }
    let mut length = None;
    for text in lengths.iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b',')) {
        let number = number(text.trim_ascii()).ok_or(Fault::ContentLength)?;
        if length.is_some_and(|length| length != number) {
            return Err(Fault::ContentLength);
        }
        length = Some(number);
    }
    let length = length.ok_or(Fault::ContentLength)?;
    response.insert_header(header::CONTENT_LENGTH, length).map_err(|_| Fault::ContentLength)
}

/// Whether the text is a number without leading zeros that fits.
fn is_plain_number(text: &[u8]) -> bool {
    let begins_well = text == b"0" || text.first().is_some_and(|first| *first != b'0');
    begins_well && text.len() < 19 && text.iter().all(u8::is_ascii_digit)
}

fn number(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use pingora::http::{RequestHeader, ResponseHeader};

    use super::*;

    fn head(status: u16, version: Version, fields: &[(&'static str, &str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).expect("a status");
        response.set_version(version);
        for (name, value) in fields {
            response.append_header(*name, *value).expect("a field");
        }
        response
    }

    fn request(method: &str, version: Version) -> RequestHeader {
        let mut request = RequestHeader::build(method, b"/", None).expect("a request");
        request.set_version(version);
        request
    }

    /// Rebuilds a response to an HTTP/1.1 GET, and returns the content and all fields except `Via`.
    fn rebuilt(status: u16, fields: &[(&'static str, &str)]) -> Result<(Content, Vec<String>), Fault> {
        let mut response = head(status, Version::HTTP_11, fields);
        let content = rebuild(&mut response, &request("GET", Version::HTTP_11))?;
        Ok((content, fields_of(&response)))
    }

    fn fields_of(response: &ResponseHeader) -> Vec<String> {
        let mut fields: Vec<String> = response
            .headers
            .iter()
            .filter(|(name, _)| *name != "via")
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        fields.sort();
        fields
    }

    #[test]
    fn content_length_becomes_one_number_or_a_fault() {
        for values in [&["11"][..], &["11", "11"], &["11, 11"], &["011"], &["11,\t0011 "], &["11", "11, 11"]]
        {
            let fields: Vec<_> = values.iter().map(|value| ("Content-Length", *value)).collect();
            let expected = (Content::Forwarded, vec!["content-length: 11".to_owned()]);
            assert_eq!(rebuilt(200, &fields), Ok(expected), "{values:?}");
        }
        for values in [
            &["11", "12"][..],
            &["11, 12"],
            &[""],
            &["11,"],
            &["+11"],
            &["-11"],
            &["0x11"],
            &["1 1"],
            &["99999999999999999999"],
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("Content-Length", *value)).collect();
            assert_eq!(rebuilt(200, &fields), Err(Fault::ContentLength), "{values:?}");
        }
    }

    #[test]
    fn transfer_coding_other_than_chunked_is_a_fault() {
        for value in ["chunked", "Chunked"] {
            assert!(rebuilt(200, &[("Transfer-Encoding", value)]).is_ok(), "{value}");
        }
        for value in
            ["gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "identity", "", "chunked,"]
        {
            let result = rebuilt(200, &[("Transfer-Encoding", value)]);
            assert_eq!(result, Err(Fault::TransferCoding), "{value}");
        }
        let twice = [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")];
        assert_eq!(rebuilt(200, &twice), Err(Fault::TransferCoding));
    }

    #[test]
    fn response_without_content_has_no_framing() {
        let both = [("Content-Length", "11"), ("Transfer-Encoding", "chunked")];
        let none = |fields: &[&str]| Ok((Content::None, fields.iter().map(ToString::to_string).collect()));
        for status in [100, 102, 103, 204] {
            assert_eq!(rebuilt(status, &both), none(&[]), "{status}");
        }
        assert_eq!(rebuilt(205, &both), none(&["content-length: 0"]));
        // The length that a 200 would have (RFC 9110 section 8.6).
        assert_eq!(rebuilt(304, &both), none(&["content-length: 11"]));
        let mut response = head(304, Version::HTTP_2, &both[..1]);
        assert_eq!(rebuild(&mut response, &request("GET", Version::HTTP_2)), Ok(Content::None));
        assert_eq!(fields_of(&response), [""; 0]);
        let mut response = head(200, Version::HTTP_11, &both);
        assert_eq!(rebuild(&mut response, &request("HEAD", Version::HTTP_11)), Ok(Content::None));
        assert_eq!(fields_of(&response), ["content-length: 11"]);
    }

    #[test]
    fn hop_by_hop_and_connection_nominated_fields_are_removed() {
        let fields = [
            ("Connection", "Keep-Alive, X-Internal , x-other,content-length,@,"),
            ("Connection", "x-third"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Trailer", "X-Checksum"),
            ("Upgrade", "h2c"),
            ("X-Internal", "1"),
            ("X-Other", "1"),
            ("X-Other", "2"),
            ("X-Third", "1"),
            ("X-Fourth", "1"),
            ("Content-Length", "2"),
        ];
        let (_, left) = rebuilt(200, &fields).expect("framed");
        let left: Vec<_> = left.iter().filter(|field| !field.starts_with("connection:")).collect();
        assert_eq!(left, ["content-length: 2", "x-fourth: 1"]);
        let (_, left) = rebuilt(103, &fields).expect("framed");
        assert_eq!(left, ["x-fourth: 1"], "an informational response has no Connection");
        let switching =
            [("Connection", "upgrade, x-internal"), ("Upgrade", "websocket"), ("X-Internal", "1")];
        let left = ["connection: Upgrade", "upgrade: websocket"].map(str::to_owned).to_vec();
        assert_eq!(rebuilt(101, &switching), Ok((Content::Forwarded, left)));
    }

    #[test]
    fn version_is_rewritten_and_via_names_the_received_one() {
        for (received, via) in [
            (Version::HTTP_10, "1.0 doorward"),
            (Version::HTTP_11, "1.1 doorward"),
            (Version::HTTP_2, "2 doorward"),
        ] {
            let mut response = head(200, received, &[("Via", "1.1 inner"), ("Trailer", "a")]);
            assert_eq!(rebuild(&mut response, &request("GET", Version::HTTP_2)), Ok(Content::Forwarded));
            assert_eq!(response.version, Version::HTTP_11);
            let all: Vec<_> = response.headers.get_all("via").iter().collect();
            assert_eq!(all, ["1.1 inner", via]);
            assert_eq!(response.headers.contains_key("trailer"), received == Version::HTTP_2);
        }
        let mut old = head(101, Version::HTTP_10, &[("Upgrade", "websocket")]);
        assert_eq!(rebuild(&mut old, &request("GET", Version::HTTP_11)), Err(Fault::Upgrade));
    }
}
