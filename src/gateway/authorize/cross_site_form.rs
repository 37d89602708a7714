//! Forms posted by pages of other sites: the return from a payment, SAML, `response_mode=form_post`.
//!
//! Browsers send them without the gateway's cookies (`SameSite=Lax`), so the user is unknown even when signed in. The response
//! explains that. With `cross_origin = "confirm"` (or `"allow"`) on the route, its page shows the fields, the origin and the
//! target, and a button that posts the same fields again. That post comes from the gateway's origin, with the cookies. Nothing is
//! stored, and the body read is bounded.
//!
//! The button turns a request of another site into one of the same origin. So it requires a click, on a page that no frame may
//! show and that names the other site, and a route that allows forms of other sites.

use std::time::Duration;

use bytes::BytesMut;
use http::{Method, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::config::{Access, CrossOrigin};
use crate::error::Refusal;
use crate::gateway::authorize::cross_origin;
use crate::gateway::authorize::form_encoding;
use crate::gateway::authorize::navigation;
use crate::gateway::authorize::navigation::Audience;
use crate::gateway::request::context::Context;
use crate::gateway::request::request_target::origin_form;
use crate::gateway::response::OwnResponse;
use crate::pages::{self, CrossSite, NotForwarded, Page, Resend};
use crate::policy::return_to;
use crate::request_id::RequestId;

/// Maximum size of a form to resend, in bytes. A signed SAML response with many attributes has half of it. Each such request of
/// an unknown client may hold this much memory, and its page six times as much.
const MAX_FORM: usize = 64 << 10;
/// Maximum number of fields.
const MAX_FIELDS: usize = 1000;
/// Maximum time to receive the form; a slow phone needs a second.
const DEADLINE: Duration = Duration::from_secs(10);

/// Returns the page for a refused form of another site; `None` for every other request. The outer error is Pingora's.
pub(crate) async fn response(
    session: &mut Session,
    refusal: &Refusal,
    context: &Context,
) -> pingora::Result<Option<OwnResponse>> {
    let Some(route) = &context.log.route else { return Ok(None) };
    let is_refused_form = match refusal {
        Refusal::OriginNotAllowed => route.cross_origin == CrossOrigin::Confirm,
        refusal => navigation::is_answered_by_sign_in(refusal),
    };
    let request = session.req_header();
    let audience = navigation::audience(request);
    if !is_refused_form
        || route.access == Access::Public
        || request.method != Method::POST
        || !matches!(audience, Audience::Page | Audience::Frame)
        || !cross_origin::is_cross_origin(session, &context.snapshot)
    {
        return Ok(None);
    }
    let is_framed = audience == Audience::Frame;
    // Clickjacking: the page around a frame can hide what the button does.
    let may_resend = route.cross_origin != CrossOrigin::Refuse && !is_framed;
    let limit = MAX_FORM.min(usize::try_from(route.body_limit).unwrap_or(usize::MAX));
    let fields = if may_resend && is_urlencoded(request) { fields(session, limit).await? } else { None };
    let request = session.req_header();
    let action = std::str::from_utf8(origin_form(request)).ok().filter(|target| return_to::is_local(target));
    let origin = cross_origin::logged_origin(&request.headers).filter(|origin| *origin != "null");
    let reason = reason(refusal, request);
    let page = match (&fields, action) {
        (Some(fields), Some(action)) => Page::Resend(Resend { origin, reason, action, home: "/", fields }),
        _ => Page::CrossSite(CrossSite { origin, reason, home: "/", is_framed }),
    };
    let html = pages::render(&page, &context.snapshot.brand, navigation::language(&request.headers));
    let id: Option<&RequestId> = context.log.request_id.as_ref();
    let answer = OwnResponse::refused_page(refusal, id, html);
    Ok(Some(if is_framed { answer.in_frames() } else { answer }))
}

/// Why the form was not sent on, as far as the browser gives it away.
fn reason(refusal: &Refusal, request: &RequestHeader) -> NotForwarded {
    let is_same_site = request.headers.get("sec-fetch-site").is_some_and(|site| site == "same-site");
    match refusal {
        Refusal::OriginNotAllowed => NotForwarded::OtherOrigin,
        // Browsers send our cookies with the forms of other hosts of the same site.
        Refusal::TokenMissing if !is_same_site => NotForwarded::CookiesOmitted,
        _ => NotForwarded::NotSignedIn,
    }
}

/// Whether the form's fields can be put into a page. Files (`multipart/form-data`) cannot.
fn is_urlencoded(request: &RequestHeader) -> bool {
    let text = |name| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && !request.headers.contains_key(header::CONTENT_ENCODING)
        // Browsers do not send `Expect` with a form.
        && !request.headers.contains_key(header::EXPECT)
}

/// Reads the fields of the body; `None` if it is too large, too slow, or cannot be resent unchanged.
async fn fields(session: &mut Session, limit: usize) -> pingora::Result<Option<Vec<(String, String)>>> {
    let body = tokio::time::timeout(DEADLINE, collect(session, limit)).await.unwrap_or(Ok(None))?;
    Ok(body.and_then(|body| parse(&body)))
}

async fn collect(session: &mut Session, limit: usize) -> pingora::Result<Option<BytesMut>> {
    let mut body = BytesMut::new();
    while let Some(chunk) = session.read_request_body().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Parses the pairs of a form in order (WHATWG URL, `application/x-www-form-urlencoded`); names may repeat. `None` if a page could
/// not post it again byte for byte.
fn parse(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    for pair in bytes.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let (name, value) = (decode(&pair[..at])?, decode(pair.get(at + 1..).unwrap_or_default())?);
        // Browsers omit fields without a name, and overwrite one called `_charset_` with the encoding of the page.
        let is_overwritten = name.eq_ignore_ascii_case("_charset_") && !value.eq_ignore_ascii_case("utf-8");
        if name.is_empty() || is_overwritten || fields.len() == MAX_FIELDS {
            return None;
        }
        fields.push((name, value));
    }
    Some(fields)
}

fn decode(bytes: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(bytes.len());
    form_encoding::decode(bytes, &mut out)?;
    // HTML cannot express NUL.
    String::from_utf8(out).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_parsed_in_order_with_repeated_names() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let read = parse(b"SAMLResponse=PHg%2B%0D%0A&a[]=1&a[]=2+3&empty=&flag&").unwrap();
        let all = [
            pair("SAMLResponse", "PHg+\r\n"),
            pair("a[]", "1"),
            pair("a[]", "2 3"),
            pair("empty", ""),
            pair("flag", ""),
        ];
        assert_eq!(read, all);
        let charset = parse(b"a=1&_charset_=utf-8&_CHARSET_=UTF-8").unwrap();
        assert_eq!(charset[1..], [pair("_charset_", "utf-8"), pair("_CHARSET_", "UTF-8")]);
    }

    #[test]
    fn form_that_cannot_be_resent_is_refused() {
        for bad in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", b"=x", b"a=%00", b"_charset_=latin1"] {
            assert_eq!(parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(parse(&b"a=1&".repeat(MAX_FIELDS)).map(|fields| fields.len()), Some(MAX_FIELDS));
        assert_eq!(parse(&b"a=1&".repeat(MAX_FIELDS + 1)), None);
    }
}
