//! Results that the RFCs allow for client and app, derived from the shapes alone.

use crate::app::{CASE, NAMED, Seen};
use crate::client::{Ended, Exchange, Got};
use crate::shapes::{Framing, Particular, Sends, Speaks};

/// Checks the response that the client received.
pub(crate) fn judge_client(of: Exchange<'_>, client: Speaks, got: &Got) -> Result<(), String> {
    let (response, method) = (of.response, of.request.method);
    let wrong = |what: &str| Err(format!("client: {what}: {got:?}"));
    // RFC 9110 section 15.6.3; RFC 9112 section 6.1 calls any transfer coding of HTTP/1.0 faulty. For a repeated length
    // RFC 9110 section 8.6 allows either.
    let may_be_faulty = response.is_faulty
        || matches!(response.framing, Framing::Length(&["11", "11"] | &["11, 11"]))
        || of.upstream == Speaks::Http10 && matches!(response.framing, Framing::Coding(_));
    let is_truncated = response.particular == Particular::Truncated && method != "HEAD";
    if got.status == 502 && (may_be_faulty || is_truncated) {
        let is_ours = got.head.first("content-type") == Some("application/problem+json");
        return if is_ours && got.ended == Ended::Whole {
            Ok(())
        } else {
            wrong("a refusal of its own form")
        };
    }
    if response.is_faulty {
        return wrong("a faulty response was forwarded");
    }
    if got.status != response.status {
        return wrong("the status");
    }
    if got.head.all(CASE) != [of.name] {
        return wrong("the response to another request");
    }
    if got.head.all("x-kept") != ["as it is"] {
        return wrong("a field was lost");
    }
    // RFC 9110 section 7.6.1, RFC 9113 section 8.2.2.
    for field in ["keep-alive", "proxy-connection", "te", "upgrade", NAMED] {
        if got.head.first(field).is_some() {
            return wrong(field);
        }
    }
    let both_http2 = client == Speaks::Http2 && of.upstream == Speaks::Http2;
    let has_trailers = response.framing == Framing::Trailers && both_http2;
    if got.has_trailers != has_trailers || got.head.first("trailer").is_some() != has_trailers {
        return wrong("trailers");
    }
    if got.head.first("connection").is_some_and(|value| !matches!(value, "close" | "keep-alive")) {
        return wrong("Connection");
    }
    // RFC 9110 section 7.6.3.
    if got.head.all("via") != [format!("{} doorward", version(of.upstream))] {
        return wrong("Via");
    }
    // RFC 9112 section 5.2.
    if response.particular == Particular::Folded && got.head.all("x-folded") != ["one two"] {
        return wrong("a folded field");
    }
    // RFC 9110 section 8.6, RFC 9112 section 6.1.
    let (length, coding) = (got.head.first("content-length"), got.head.first("transfer-encoding"));
    if got.status == 204 && (length.is_some() || coding.is_some()) {
        return wrong("framing of 204");
    }
    let content = if response.is_empty_to(method) || got.status == 205 { &b""[..] } else { response.content };
    if got.ended != Ended::Broken
        && method != "HEAD"
        && got.status != 304
        && length.is_some_and(|length| length != got.content.len().to_string())
    {
        return wrong("Content-Length");
    }
    if is_truncated {
        // Only a response framed by its connection cannot signal an abort.
        let is_told = got.ended == Ended::Broken || client == Speaks::Http10 && got.ended == Ended::ByClosing;
        return if is_told && content.starts_with(&got.content) {
            Ok(())
        } else {
            wrong("a truncated response")
        };
    }
    if got.content != content {
        return wrong("the content");
    }
    // HTTP/1.1 uses chunks when there is no length: no response is framed by closing (RFC 9112 section 9.6).
    let may_close = client == Speaks::Http10;
    if !(got.ended == Ended::Whole || may_close && got.ended == Ended::ByClosing) {
        return wrong("its end");
    }
    if client != Speaks::Http2 && got.informational != informational(of, client) {
        return wrong("informational responses");
    }
    Ok(())
}

/// RFC 9110 section 15.2: an HTTP/1.0 client gets no interim responses; others get all that the library delivers.
/// Pingora 0.9.1 delivers none over HTTP/2, on either side.
fn informational(of: Exchange<'_>, client: Speaks) -> Vec<u16> {
    if client == Speaks::Http10 {
        return Vec::new();
    }
    let mut expected = Vec::new();
    let is_early = matches!(of.response.particular, Particular::Early | Particular::EarlyClose);
    let says_continue = match of.upstream {
        Speaks::Http10 => false,
        // The app sends it, unless it responds early.
        Speaks::Http11 => !is_early,
        // The gateway sends it: the library would not deliver the app's.
        Speaks::Http2 => true,
    };
    if of.request.sends == Sends::AfterContinue && says_continue {
        expected.push(100);
    }
    if let (Particular::After(statuses), Speaks::Http11) = (of.response.particular, of.upstream) {
        expected.extend(statuses);
    }
    expected
}

/// Checks the request that the app received.
pub(crate) fn judge_app(of: Exchange<'_>, client: Speaks, seen: &[Seen]) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("app: {what}: {seen:?}"));
    let [seen] = seen else { return wrong("not one request") };
    if (seen.method.as_str(), seen.speaks) != (of.request.method, of.upstream) {
        return wrong("the method, or the version");
    }
    if seen.head.all("via") != [format!("{} doorward", version(client))] {
        return wrong("Via");
    }
    let content = of.request.content();
    let is_early = matches!(of.response.particular, Particular::Early | Particular::EarlyClose);
    let is_right = if seen.is_whole { seen.content == content } else { content.starts_with(&seen.content) };
    // A request with an early response may stay incomplete.
    if !is_right || !(seen.is_whole || is_early) {
        return wrong("the content");
    }
    if of.request.sends == Sends::Nothing && seen.head.first("transfer-encoding").is_some() {
        return wrong("a body where there is none");
    }
    if seen.head.first("content-length").is_some_and(|length| length != content.len().to_string()) {
        return wrong("Content-Length");
    }
    Ok(())
}

const fn version(speaks: Speaks) -> &'static str {
    match speaks {
        Speaks::Http10 => "1.0",
        Speaks::Http11 => "1.1",
        Speaks::Http2 => "2",
    }
}
