//! Who is to be shown a page: a person who goes somewhere with a browser. Everybody else is told in their own language:
//! scripts, API clients, gRPC and WebSockets get the problem document, and never a login page they cannot use.

use http::{HeaderMap, Method, header};
use pingora::http::RequestHeader;

use super::judge::origin_form;
use super::respond::Answer;
use crate::auth::Auth;
use crate::error::Refusal;
use crate::identity::Identity;
use crate::pages::{self, ErrorPage, Interrupted, Language, Page, Person};
use crate::policy::return_to;
use crate::request_id::RequestId;
use crate::snapshot::Snapshot;

/// Maximum number of media ranges of `Accept` that are read: browsers send about eight, and HTML among the first.
const MAX_RANGES: usize = 32;

/// Maximum number of parameters of a media range that are read. The weight is the first of nearly all.
const MAX_PARAMETERS: usize = 8;

/// What a stamp on a place to return to is about.
const RETURN_TO: &str = "return to ";

/// Whether a browser is going there for a person. What it says itself counts (Fetch metadata: only documents, since
/// pages of ours are shown in no frame); of one that says nothing, that it asks for HTML by name.
pub(super) fn is_navigation(request: &RequestHeader) -> bool {
    let headers = &request.headers;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let form = request.method == Method::POST;
    if !(form || request.method == Method::GET || request.method == Method::HEAD)
        || headers.contains_key(header::UPGRADE)
        || headers.contains_key("x-requested-with")
        || text("content-type").is_some_and(|kind| !form || !is_form(kind))
    {
        return false;
    }
    match (text("sec-fetch-mode"), text("sec-fetch-dest")) {
        // An API client, unless the browser says otherwise: an app with Basic of its own has browsers send it with page views.
        (None, None) => accepts_html(headers) && !headers.contains_key(header::AUTHORIZATION),
        (mode, dest) => {
            mode.is_none_or(|mode| mode == "navigate") && dest.is_none_or(|dest| dest == "document")
        }
    }
}

/// What a `<form>` can send.
fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"].contains(&essence.as_str())
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(',')).take(MAX_RANGES).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let kinds = ["text/html", "application/xhtml+xml"];
        let is_html =
            parts.next().is_some_and(|kind| kinds.iter().any(|html| kind.eq_ignore_ascii_case(html)));
        let is_refused = |part: &str| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.and_then(|weight| weight.parse::<f32>().ok()) == Some(0.0)
        };
        is_html && !parts.take(MAX_PARAMETERS).any(is_refused)
    })
}

/// The language a request asks for.
pub(super) fn language(headers: &HeaderMap) -> Language {
    Language::accepted(headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|v| v.to_str().ok()))
}

/// What a refusal looks like to whoever asked.
pub(super) fn refusal(
    refusal: &Refusal,
    id: Option<&RequestId>,
    request: &RequestHeader,
    who: Option<&Identity>,
    auth: &Auth,
    snapshot: &Snapshot,
) -> Answer {
    let answer = Answer::refusal(refusal, id);
    if !is_navigation(request) {
        return vary(answer);
    }
    let wants_login = matches!(
        refusal,
        Refusal::TokenMissing | Refusal::TokenInvalid | Refusal::TokenExpired | Refusal::TokenRevoked
    );
    let sign_in = login_url(request, auth, snapshot);
    if wants_login && request.method != Method::POST {
        return vary(Answer::see_other(&sign_in));
    }
    let sign_out = format!("{}/logout", snapshot.server.auth_prefix);
    let page = if wants_login {
        Page::FormInterrupted(Interrupted { sign_in: &sign_in })
    } else {
        let retry = answer.headers.iter().find(|(name, _)| *name == header::RETRY_AFTER);
        Page::Error(ErrorPage {
            status: answer.status,
            code: refusal.code(),
            request_id: id.map(RequestId::as_str),
            sign_in: None,
            retry_after: retry.and_then(|(_, value)| value.to_str().ok()?.parse().ok()),
            person: who.map(|who| Person { user: who.login().as_str(), sign_out: &sign_out }),
        })
    };
    let html = pages::render(&page, &snapshot.brand, language(&request.headers));
    vary(Answer::refused_page(refusal, id, html))
}

fn vary(answer: Answer) -> Answer {
    let what = "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest, X-Requested-With";
    answer.with(header::VARY, header::HeaderValue::from_static(what))
}

/// The login page, and where to go on from there: for a form, to the page it is on, which is not ours to know, so home.
fn login_url(request: &RequestHeader, auth: &Auth, snapshot: &Snapshot) -> String {
    let login = format!("{}/login", snapshot.server.auth_prefix);
    let target = std::str::from_utf8(origin_form(request)).unwrap_or("/");
    if request.method == Method::POST || target == "/" || !return_to::is_local(target) {
        return login;
    }
    let stamp = auth.stamp(RETURN_TO, target.as_bytes());
    format!("{login}?return_to={}", return_to::escape(&format!("{stamp}.{target}")))
}

/// The place in a stamped `return_to`; `None` when it is not one of ours, or too old.
pub(super) fn place<'a>(stamped: &'a str, auth: &Auth) -> Option<&'a str> {
    let (stamp, target) = stamped.split_once('.')?;
    let good = return_to::is_local(target) && auth.is_stamped(stamp, RETURN_TO, target.as_bytes());
    good.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(method: &str, fields: &[(&'static str, &'static str)]) -> bool {
        let mut request = RequestHeader::build(method, b"/", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        is_navigation(&request)
    }

    #[test]
    fn only_a_person_with_a_browser_is_shown_pages() {
        let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        let (navigate, document) = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"));
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (method, fields, expected) in [
            ("GET", &[html][..], true),
            ("HEAD", &[html], true),
            ("GET", &[navigate, document, html], true),
            ("GET", &[navigate, document], true),
            ("POST", &[navigate, document, form], true),
            ("POST", &[html, form], true),
            ("POST", &[html, ("content-type", "multipart/form-data; boundary=x")], true),
            ("GET", &[], false),
            ("GET", &[("accept", "*/*")], false),
            ("GET", &[("accept", "application/json")], false),
            ("GET", &[("accept", "text/html;q=0, application/json")], false),
            ("GET", &[html, ("x-requested-with", "XMLHttpRequest")], false),
            ("GET", &[html, ("upgrade", "websocket")], false),
            ("GET", &[html, ("authorization", "Bearer x")], false),
            ("GET", &[html, navigate, document, ("authorization", "Basic YTpi")], true),
            ("GET", &[html, ("sec-fetch-mode", "cors"), ("authorization", "Basic YTpi")], false),
            ("GET", &[html, ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")], false),
            ("GET", &[html, ("sec-fetch-mode", "same-origin")], false),
            ("GET", &[html, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")], false),
            ("GET", &[html, ("sec-fetch-mode", "websocket"), ("sec-fetch-dest", "websocket")], false),
            ("GET", &[html, navigate, ("sec-fetch-dest", "iframe")], false),
            ("POST", &[html, ("content-type", "application/json")], false),
            ("POST", &[html, ("content-type", "application/grpc")], false),
            ("PUT", &[html], false),
            ("DELETE", &[html, navigate, document], false),
            ("OPTIONS", &[html], false),
        ] {
            assert_eq!(asks(method, fields), expected, "{method} {fields:?}");
        }
    }

    #[test]
    fn media_ranges_beyond_the_limit_are_not_read() {
        let behind = |count: usize| {
            let mut headers = HeaderMap::new();
            let field = format!("{}text/html", "a/b,".repeat(count));
            headers.append(header::ACCEPT, field.parse().expect("a field"));
            accepts_html(&headers)
        };
        assert!(behind(MAX_RANGES - 1));
        assert!(!behind(MAX_RANGES) && !behind(8_000));
    }
}
