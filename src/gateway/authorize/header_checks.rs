//! Checks of the request's framing that Pingora does not make.

use http::{HeaderValue, Version, header};
use pingora::proxy::Session;

use crate::config::Limits;
use crate::error::Refusal;

/// Refuses what RFC 9112 forbids and Pingora accepts: a missing `Host` (section 3.2), two framings, or codings that would be lost
/// (6.1), and a length that is not one plain number (6.3). Also refuses a header section beyond the limit.
pub(crate) fn check(session: &Session, limits: &Limits) -> Result<(), Refusal> {
    let request = session.req_header();
    if request.version == Version::HTTP_11 && !request.headers.contains_key(header::HOST) {
        return Err(Refusal::RequestInvalid("Host: missing".into()));
    }
    if request.headers.len() > limits.header_fields {
        return Err(Refusal::HeaderTooLarge);
    }
    // Pingora accepts equal lengths, also `05` and `5`, and forwards both; the app may read them differently.
    let mut lengths = request.headers.get_all(header::CONTENT_LENGTH).iter();
    if lengths.next().is_some_and(|length| !is_number(length.as_bytes())) || lengths.next().is_some() {
        return Err(Refusal::RequestInvalid("Content-Length: not one number".into()));
    }
    // RFC 9113 section 8.2.1. In HTTP/1.1 this white space is not part of the value.
    if request.version == Version::HTTP_2 && request.headers.values().any(has_white_space_at_an_end) {
        return Err(Refusal::RequestInvalid("a field's value begins or ends with white space".into()));
    }
    // Pingora has checked the length of HTTP/2 headers already.
    let Some(http1) = session.as_downstream().as_http1() else { return Ok(()) };
    let raw = http1.get_headers_raw_bytes();
    if raw.len() > limits.header_bytes {
        return Err(Refusal::HeaderTooLarge);
    }
    if !request.headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    let mut codings = request.headers.get_all(header::TRANSFER_ENCODING).iter();
    if codings.next().is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
    {
        return Err(Refusal::RequestInvalid("Transfer-Encoding: only chunked is understood".into()));
    }
    // Pingora removes Content-Length beside Transfer-Encoding; the raw header still has it.
    if names_content_length(&raw) {
        return Err(Refusal::RequestInvalid("Content-Length: beside Transfer-Encoding".into()));
    }
    Ok(())
}

/// Refuses a request whose declared length exceeds the limit, before its body is read.
pub(crate) fn check_length(session: &Session, limit: u64) -> Result<(), Refusal> {
    let declared = session.req_header().headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit) { Err(Refusal::BodyTooLarge) } else { Ok(()) }
}

/// Whether the text is a decimal number without leading zeros, which some parsers read as octal.
fn is_number(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit) && (text == b"0" || text.first().is_some_and(|first| *first != b'0'))
}

fn has_white_space_at_an_end(value: &HeaderValue) -> bool {
    let is_white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_white(value.as_bytes().first()) || is_white(value.as_bytes().last())
}

fn names_content_length(raw: &[u8]) -> bool {
    let name = b"content-length";
    let field = |line: &[u8]| {
        line.split(|&b| b == b':').next().is_some_and(|n| n.trim_ascii().eq_ignore_ascii_case(name))
    };
    raw.split(|&b| b == b'\n').any(field)
}
