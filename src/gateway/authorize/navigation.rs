//! Who is shown a page: a person who goes somewhere with a browser. Everybody else is told in their own language: scripts, API
//! clients, gRPC and WebSockets get the problem document, and never a login page they cannot use.

use http::{HeaderMap, Method, header};
use pingora::http::RequestHeader;

use crate::auth::Auth;
use crate::error::Refusal;
use crate::gateway::request::request_target::origin_form;
use crate::gateway::response::OwnResponse;
use crate::identity::Identity;
use crate::pages::{self, ErrorPage, Framed, Interrupted, Language, Page, Person};
use crate::policy::return_to;
use crate::request_id::RequestId;
use crate::snapshot::Snapshot;

/// Maximum number of media ranges of `Accept` that are read: browsers send about eight, and HTML among the first.
const MAX_RANGES: usize = 32;

/// Maximum number of parameters of a media range that are read. The weight is the first of nearly all.
const MAX_PARAMETERS: usize = 8;

/// What a stamp on a place to return to is about.
const RETURN_TO: &str = "return to ";

/// Who a refusal is shown to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A person who goes there in a tab of their own: pages, and the way to the login page.
    Page,
    /// A person who sees it in a frame of another page: our pages with forms are not shown there (clickjacking).
    Frame,
    /// A script that asks for HTML rather than anything else: pages, and no redirect that it would follow unseen.
    Html,
    /// Everybody else.
    Program,
}

/// Who a request is from. What the browser says itself counts (Fetch Metadata): no script can choose the mode `navigate`, so
/// that is somebody's page, whatever its destination is. A service worker that fetches the request of a page sends the
/// destination `empty` with it. Of a browser that says nothing, that it asks for HTML by name.
pub(crate) fn audience(request: &RequestHeader) -> Audience {
    let headers = &request.headers;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_post = request.method == Method::POST;
    if !(is_post || request.method == Method::GET || request.method == Method::HEAD)
        || headers.contains_key(header::UPGRADE)
        || text("content-type").is_some_and(|kind| !is_post || !is_form(kind))
    {
        return Audience::Program;
    }
    // The field's older use; Android adds it to page views, with the name of the app.
    let is_script = text("x-requested-with").is_some_and(|value| !value.contains('.'));
    let has_credential = headers.contains_key(header::AUTHORIZATION);
    match (text("sec-fetch-mode"), text("sec-fetch-dest")) {
        (Some("navigate"), Some("iframe" | "frame" | "embed" | "object" | "fencedframe")) => Audience::Frame,
        (Some("navigate"), _) => Audience::Page,
        (None, Some("document")) if !is_script => Audience::Page,
        // An API client, unless the browser says otherwise: an app with Basic of its own has browsers send it with page views.
        (None, None) if !is_script && !has_credential && accepts_html(headers) => Audience::Page,
        (Some("websocket"), _) => Audience::Program,
        _ if !is_script && !has_credential && prefers_html(headers) => Audience::Html,
        _ => Audience::Program,
    }
}

/// Whether a browser is going there for a person.
pub(crate) fn is_navigation(request: &RequestHeader) -> bool {
    matches!(audience(request), Audience::Page | Audience::Frame)
}

/// What a `<form>` can send.
fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"].contains(&essence.as_str())
}

/// The media ranges of `Accept` (RFC 9110 section 12.5.1) that are not excluded, each in lower case with its weight.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = (String, f32)> {
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = fields.flat_map(|field| field.split(',')).take(MAX_RANGES).map(|range| {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let kind = parts.next().unwrap_or_default();
        let weight =
            parts.take(MAX_PARAMETERS).find_map(|part| part.strip_prefix("q=").and_then(|q| q.parse().ok()));
        (kind, weight.unwrap_or(1.0))
    });
    ranges.filter(|(_, weight)| *weight > 0.0)
}

fn is_html(kind: &str) -> bool {
    kind == "text/html" || kind == "application/xhtml+xml"
}

fn accepts_html(headers: &HeaderMap) -> bool {
    accepted(headers).any(|(kind, _)| is_html(&kind))
}

/// Whether HTML is asked for by name, and JSON neither before it nor with more weight.
fn prefers_html(headers: &HeaderMap) -> bool {
    let mut html = None;
    let mut json: f32 = 0.0;
    for (kind, weight) in accepted(headers) {
        if is_html(&kind) && html.is_none_or(|html| html < weight) {
            if html.is_none() && json >= weight {
                return false;
            }
            html = Some(weight);
        } else if kind.ends_with("json") {
            json = json.max(weight);
        }
    }
    html.is_some_and(|html| html >= json)
}

/// The language a request asks for.
pub(crate) fn language(headers: &HeaderMap) -> Language {
    Language::accepted(headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|v| v.to_str().ok()))
}

/// What a refusal looks like to whoever asked.
pub(crate) fn refusal(
    refusal: &Refusal,
    id: Option<&RequestId>,
    request: &RequestHeader,
    who: Option<&Identity>,
    auth: &Auth,
    snapshot: &Snapshot,
) -> OwnResponse {
    let answer = OwnResponse::refusal(refusal, id);
    let audience = audience(request);
    if audience == Audience::Program {
        return vary(answer);
    }
    let wants_login = is_answered_by_sign_in(refusal);
    let sign_in = login_url(request, audience, auth, snapshot);
    let is_post = request.method == Method::POST;
    if wants_login && audience == Audience::Page && !is_post {
        return vary(OwnResponse::see_other(&sign_in));
    }
    let sign_out = format!("{}/logout", snapshot.server.auth_prefix);
    let target = std::str::from_utf8(origin_form(request)).ok().filter(|target| return_to::is_local(target));
    let page = match audience {
        Audience::Page if wants_login => Page::FormInterrupted(Interrupted { sign_in: &sign_in }),
        Audience::Frame if wants_login && !is_post && is_from_own_page(request) => {
            Page::Framed(Framed { sign_in: Some(&sign_in), open: "" })
        }
        Audience::Frame if wants_login => {
            let open = target.filter(|_| !is_post).unwrap_or("/");
            Page::Framed(Framed { sign_in: None, open })
        }
        _ => {
            let retry = answer.headers.iter().find(|(name, _)| *name == header::RETRY_AFTER);
            Page::Error(ErrorPage {
                status: answer.status,
                code: refusal.code(),
                request_id: id.map(RequestId::as_str),
                sign_in: wants_login.then_some(sign_in.as_str()),
                retry_after: retry.and_then(|(_, value)| value.to_str().ok()?.parse().ok()),
                person: who.map(|who| Person { user: who.login().as_str(), sign_out: &sign_out }),
            })
        }
    };
    let html = pages::render(&page, &snapshot.brand, language(&request.headers));
    let answer = OwnResponse::refused_page(refusal, id, html);
    vary(if audience == Audience::Frame { answer.in_frames() } else { answer })
}

/// Whether signing in would help.
pub(crate) const fn is_answered_by_sign_in(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::TokenMissing | Refusal::TokenInvalid | Refusal::TokenExpired | Refusal::TokenRevoked
    )
}

/// One of our own pages, asked for in a frame: a link that opens it in a tab, where it is shown.
pub(crate) fn in_frame(request: &RequestHeader, snapshot: &Snapshot) -> OwnResponse {
    let target = std::str::from_utf8(origin_form(request)).ok().filter(|target| return_to::is_local(target));
    let page = Page::Framed(Framed { sign_in: None, open: target.unwrap_or("/") });
    let html = pages::render(&page, &snapshot.brand, language(&request.headers));
    vary(OwnResponse::page(html).in_frames())
}

fn vary(answer: OwnResponse) -> OwnResponse {
    let what = "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest, X-Requested-With";
    answer.with(header::VARY, header::HeaderValue::from_static(what))
}

fn is_from_own_page(request: &RequestHeader) -> bool {
    request.headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
}

/// The login page, and where to go on from there: from a frame, to the page around it; for a form, to the page it is on, which
/// is not ours to know, so home.
fn login_url(request: &RequestHeader, audience: Audience, auth: &Auth, snapshot: &Snapshot) -> String {
    let login = format!("{}/login", snapshot.server.auth_prefix);
    let own = return_to::normalized(origin_form(request));
    let around = (audience == Audience::Frame && is_from_own_page(request)).then(|| referring_path(request));
    let is_post = request.method == Method::POST;
    let Some(target) = around.flatten().or(own).filter(|_| !is_post) else {
        let is_too_long = origin_form(request).len() > return_to::MAX_LENGTH / 3;
        return if is_too_long && !is_post { format!("{login}?{LOST}") } else { login };
    };
    if target == "/" {
        return login;
    }
    let stamp = auth.form_token(RETURN_TO, target.as_bytes());
    let whole = format!("{login}?return_to={}", return_to::escape(&return_to::packed(&stamp, &target)));
    // The browser comes back with it in the request line, beside its cookies.
    if whole.len() > snapshot.limits().header_bytes / 2 { format!("{login}?{LOST}") } else { whole }
}

/// In the query of a login page whose address to return to was too long.
pub(crate) const LOST: &str = "return_to=";

/// The path and query of the page that a request came from, where the browser says it (RFC 9110 section 10.1.3).
fn referring_path(request: &RequestHeader) -> Option<String> {
    let referrer = request.headers.get(header::REFERER)?.to_str().ok()?;
    let (_, rest) = referrer.split_once("://")?;
    return_to::normalized(&rest.as_bytes()[rest.find('/')?..])
}

/// The place in a stamped `return_to`; `None` when it is not one of ours, or too old.
pub(crate) fn place(packed: &str, auth: &Auth) -> Option<String> {
    let (stamp, target) = return_to::unpacked(packed)?;
    let is_good =
        return_to::is_local(&target) && auth.is_form_token_valid(stamp, RETURN_TO, target.as_bytes());
    is_good.then_some(target)
}

#[cfg(test)]
mod tests;
