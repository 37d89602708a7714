//! Forms that a page of another site sends: the return from a payment, SAML, `response_mode=form_post`.
//!
//! Browsers leave our cookies out of them (`SameSite=Lax`), so who sent one is not known, though they may well be signed in. They
//! are told so. Where the route has `cross_origin = "confirm"` (or `"allow"`), they are shown what was sent, by whom and
//! where to, and a button that posts the same fields once more: that post comes from our own origin, with the cookies. Nothing
//! is stored, and what is read is bounded.
//!
//! The button turns a request of another site into one of our own. So it takes a click, in a page that is shown in no frame
//! and names the other site, and a route that says that its forms may come from elsewhere.

use std::time::Duration;

use bytes::BytesMut;
use http::{Method, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::config::{Access, CrossOrigin};
use crate::error::Refusal;
use crate::gateway::authorize::cross_origin;
use crate::gateway::authorize::navigation;
use crate::gateway::authorize::navigation::Audience;
use crate::gateway::request::context::Context;
use crate::gateway::request::request_target::origin_form;
use crate::gateway::response::OwnResponse;
use crate::pages::{self, CrossSite, Page, Resend};
use crate::policy::return_to;
use crate::request_id::RequestId;

/// Largest form that is shown, in bytes: a signed SAML response with many attributes has half of it, and each such request of
/// a stranger may hold this much, and its page six times as much.
const LARGEST: usize = 64 << 10;
/// Most fields of such a form.
const MOST_FIELDS: usize = 1000;
/// Longest time that it may take to arrive: on a slow phone a second.
const DEADLINE: Duration = Duration::from_secs(10);

/// The page for a form of another site that was refused; `None` for every other request. The outer error is the
/// transport's.
pub(crate) async fn answer(
    session: &mut Session,
    refusal: &Refusal,
    context: &Context,
) -> pingora::Result<Option<OwnResponse>> {
    let Some(route) = &context.account.route else { return Ok(None) };
    let is_refused_form = match refusal {
        Refusal::OriginNotAllowed => route.cross_origin == CrossOrigin::Confirm,
        refusal => navigation::is_answered_by_sign_in(refusal),
    };
    let request = session.req_header();
    if !is_refused_form
        || route.access == Access::Public
        || request.method != Method::POST
        || navigation::audience(request) != Audience::Page
        || !cross_origin::is_cross_origin(session, &context.snapshot)
    {
        return Ok(None);
    }
    let may_resend = route.cross_origin != CrossOrigin::Refuse;
    let limit = LARGEST.min(usize::try_from(route.body_limit).unwrap_or(usize::MAX));
    let fields = if may_resend && is_urlencoded(request) { fields(session, limit).await? } else { None };
    let request = session.req_header();
    let action = std::str::from_utf8(origin_form(request)).ok().filter(|target| return_to::is_local(target));
    let origin = cross_origin::shown(&request.headers).filter(|origin| *origin != "null");
    let page = match (&fields, action) {
        (Some(fields), Some(action)) => Page::Resend(Resend { origin, action, home: "/", fields }),
        _ => Page::CrossSite(CrossSite { origin, home: "/" }),
    };
    let html = pages::render(&page, &context.snapshot.brand, navigation::language(&request.headers));
    let id: Option<&RequestId> = context.account.request_id.as_ref();
    Ok(Some(OwnResponse::refused_page(refusal, id, html)))
}

/// Whether its fields can be told apart. Files (`multipart/form-data`) cannot be put into a page.
fn is_urlencoded(request: &RequestHeader) -> bool {
    let text = |name| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && !request.headers.contains_key(header::CONTENT_ENCODING)
        // No browser asks before it sends a form.
        && !request.headers.contains_key(header::EXPECT)
}

/// The fields of the body; `None` for what is too large, too slow, or cannot be sent once more as it was.
async fn fields(session: &mut Session, limit: usize) -> pingora::Result<Option<Vec<(String, String)>>> {
    let whole = tokio::time::timeout(DEADLINE, collect(session, limit)).await.unwrap_or(Ok(None))?;
    Ok(whole.and_then(|whole| parse(&whole)))
}

async fn collect(session: &mut Session, limit: usize) -> pingora::Result<Option<BytesMut>> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = session.read_request_body().await? {
        if whole.len() + chunk.len() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(Some(whole))
}

/// The pairs of a form in order (WHATWG URL, `application/x-www-form-urlencoded`): a name may be there more than once. What a
/// page could not post again to the byte is no form.
fn parse(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    for pair in bytes.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let (name, value) = (decode(&pair[..at])?, decode(pair.get(at + 1..).unwrap_or_default())?);
        // Browsers leave out a field without a name, and fill in one that is called `_charset_`.
        if name.is_empty() || name.eq_ignore_ascii_case("_charset_") || fields.len() == MOST_FIELDS {
            return None;
        }
        fields.push((name, value));
    }
    Some(fields)
}

fn decode(bytes: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    // HTML has no way to write NUL.
    String::from_utf8(out).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_read_in_order_and_with_repeated_names() {
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
    }

    #[test]
    fn what_cannot_be_posted_again_is_no_form() {
        for bad in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", b"=x", b"a=%00", b"_charset_=x"] {
            assert_eq!(parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(parse(&b"a=1&".repeat(MOST_FIELDS)).map(|fields| fields.len()), Some(MOST_FIELDS));
        assert_eq!(parse(&b"a=1&".repeat(MOST_FIELDS + 1)), None);
    }
}
