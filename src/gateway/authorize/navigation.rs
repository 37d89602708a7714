//! Browser navigation: decides whether a refusal is an HTML page or a problem document. Users who navigate with a browser get
//! pages. Scripts, API clients, gRPC and WebSockets get the problem document, and never a login page that they cannot use.

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

/// Maximum number of media ranges read from `Accept`: browsers send about eight, HTML among the first.
const MAX_RANGES: usize = 32;

/// Maximum number of parameters read from a media range. The weight is nearly always the first.
const MAX_PARAMETERS: usize = 8;

/// Purpose of the form token that signs a `return_to`.
const RETURN_TO: &str = "return to ";

/// Audience of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A user in a browser tab: gets pages, and redirects to the login page.
    Page,
    /// A user in a frame of another page: pages with forms are not shown there (clickjacking).
    Frame,
    /// A script that prefers HTML: gets pages, but no redirect, which it would follow unseen.
    Html,
    /// Any other client: gets the problem document.
    Program,
}

/// Determines the audience of a request. Fetch Metadata decides if present: no script can set the mode `navigate`, so that is a
/// page view, whatever its destination. (A service worker that fetches for a page view sends the destination `empty`.) Without
/// Fetch Metadata, `Accept` must list HTML.
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
    // Set by script libraries. Android also adds it to page views, with the name of the app, which has a dot.
    let is_script = text("x-requested-with").is_some_and(|value| !value.contains('.'));
    let has_credential = headers.contains_key(header::AUTHORIZATION);
    match (text("sec-fetch-mode"), text("sec-fetch-dest")) {
        (Some("navigate"), Some("iframe" | "frame" | "embed" | "object" | "fencedframe")) => Audience::Frame,
        (Some("navigate"), _) => Audience::Page,
        (None, Some("document")) if !is_script => Audience::Page,
        // With `Authorization` it is an API client, unless Fetch Metadata says otherwise: browsers send Basic with page views.
        (None, None) if !is_script && !has_credential && accepts_html(headers) => Audience::Page,
        (Some("websocket"), _) => Audience::Program,
        _ if !is_script && !has_credential && prefers_html(headers) => Audience::Html,
        _ => Audience::Program,
    }
}

/// Whether the request is a page view of a browser, in a tab or a frame.
pub(crate) fn is_navigation(request: &RequestHeader) -> bool {
    matches!(audience(request), Audience::Page | Audience::Frame)
}

/// Whether a `<form>` can send this content type.
fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"].contains(&essence.as_str())
}

/// Returns the media ranges of `Accept` (RFC 9110 section 12.5.1) in lower case with their weights, without those of weight 0.
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

/// Whether `Accept` lists HTML, and JSON neither before it nor with more weight.
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

/// Returns the language of `Accept-Language`.
pub(crate) fn language(headers: &HeaderMap) -> Language {
    Language::accepted(headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|v| v.to_str().ok()))
}

/// Builds the response of a refusal for the request's audience. `who` is the authenticated user, if any; `wanted` the target
/// of a sign-in that failed.
pub(crate) fn refusal(
    refusal: &Refusal,
    id: Option<&RequestId>,
    request: &RequestHeader,
    (who, wanted): (Option<&Identity>, Option<&str>),
    auth: &Auth,
    snapshot: &Snapshot,
) -> OwnResponse {
    let response = OwnResponse::refusal(refusal, id);
    let audience = audience(request);
    if audience == Audience::Program {
        return vary(response);
    }
    let wants_login = is_answered_by_sign_in(refusal);
    let needs_proof = match refusal {
        Refusal::ProofMissing { multi_factor, .. } => Some(*multi_factor),
        _ => None,
    };
    let sign_in = match needs_proof {
        None => login_url(request, audience, auth, snapshot),
        Some(multi_factor) => {
            let target = return_to::normalized(origin_form(request));
            let target = target.filter(|_| request.method != Method::POST);
            step_up_url(target.as_deref(), multi_factor, auth, snapshot)
        }
    };
    let wants_login = wants_login || needs_proof.is_some();
    let is_post = request.method == Method::POST;
    if wants_login && audience == Audience::Page && !is_post {
        return vary(OwnResponse::see_other(&sign_in));
    }
    let sign_out = format!("{}/logout", snapshot.server.auth_prefix);
    // Loading the address of a failed sign-in again fails again.
    let of_provider = matches!(refusal, Refusal::Provider(_));
    let sign_in_page = login_url_to(wanted.unwrap_or("/"), auth, snapshot);
    let sign_in_again = (of_provider && who.is_none()).then_some(sign_in_page.as_str());
    let target = return_to::normalized(origin_form(request));
    let page = match audience {
        Audience::Page | Audience::Frame if wants_login && is_post => Page::FormInterrupted(Interrupted {
            sign_in: &sign_in,
            had_session: *refusal != Refusal::TokenMissing,
            needs_proof: needs_proof.is_some(),
            is_framed: audience == Audience::Frame,
        }),
        Audience::Frame if wants_login && is_from_own_page(request) => {
            Page::Framed(Framed { sign_in: Some(&sign_in), open: "" })
        }
        Audience::Frame if wants_login => {
            Page::Framed(Framed { sign_in: None, open: target.as_deref().unwrap_or("/") })
        }
        _ => {
            let retry = response.headers.iter().find(|(name, _)| *name == header::RETRY_AFTER);
            Page::Error(ErrorPage {
                status: response.status,
                code: refusal.code(),
                request_id: id.map(RequestId::as_str),
                sign_in: wants_login.then_some(sign_in.as_str()).or(sign_in_again),
                retry_after: retry.and_then(|(_, value)| value.to_str().ok()?.parse().ok()),
                person: who.map(|who| Person { user: who.login().as_str(), sign_out: &sign_out }),
                home: (of_provider || *refusal == Refusal::OriginNotAllowed).then_some("/"),
                is_framed: audience == Audience::Frame,
            })
        }
    };
    let html = pages::render(&page, &snapshot.brand, language(&request.headers));
    let response = OwnResponse::refused_page(refusal, id, html);
    vary(if audience == Audience::Frame { response.in_frames() } else { response })
}

/// Whether signing in would resolve the refusal.
pub(crate) const fn is_answered_by_sign_in(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::TokenMissing | Refusal::TokenInvalid | Refusal::TokenExpired | Refusal::TokenRevoked
    )
}

/// Builds the response for a page of the gateway requested in a frame: a link that opens the page in a tab.
pub(crate) fn in_frame(request: &RequestHeader, snapshot: &Snapshot) -> OwnResponse {
    let target = return_to::normalized(origin_form(request));
    let page = Page::Framed(Framed { sign_in: None, open: target.as_deref().unwrap_or("/") });
    let html = pages::render(&page, &snapshot.brand, language(&request.headers));
    vary(OwnResponse::page(html).in_frames())
}

fn vary(response: OwnResponse) -> OwnResponse {
    let fields = "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest, X-Requested-With";
    response.with(header::VARY, header::HeaderValue::from_static(fields))
}

pub(crate) fn is_from_own_page(request: &RequestHeader) -> bool {
    request.headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
}

/// Returns the URL of the login page with the target to return to. For a frame, that is the page that requested it: the page
/// around the frame, or the one with the form. For a form in a tab there is none: the page with the form is unknown.
fn login_url(request: &RequestHeader, audience: Audience, auth: &Auth, snapshot: &Snapshot) -> String {
    let login = format!("{}/login", snapshot.server.auth_prefix);
    let is_post = request.method == Method::POST;
    let requested = return_to::normalized(origin_form(request)).filter(|_| !is_post);
    let embedding =
        (audience == Audience::Frame && is_from_own_page(request)).then(|| referring_path(request));
    let Some(target) = embedding.flatten().or(requested) else {
        let is_too_long = origin_form(request).len() > return_to::MAX_LENGTH / 3;
        return if is_too_long && !is_post { format!("{login}?{LOST}") } else { login };
    };
    login_url_to(&target, auth, snapshot)
}

/// Returns the URL of the sign-in form that leads to `target`.
fn login_url_to(target: &str, auth: &Auth, snapshot: &Snapshot) -> String {
    let login = format!("{}/login", snapshot.server.auth_prefix);
    if target == "/" {
        return login;
    }
    let token = auth.form_token(RETURN_TO, target.as_bytes());
    let url = format!("{login}?return_to={}", return_to::escape(&return_to::packed(&token, target)));
    // The browser sends this URL in its next request line, beside its cookies: both must fit into the header limit.
    if url.len() > snapshot.limits().header_bytes / 2 { format!("{login}?{LOST}") } else { url }
}

/// Returns the URL of the page where a signed-in user proves more, and then goes on to `target`.
pub(crate) fn step_up_url(
    target: Option<&str>,
    multi_factor: bool,
    auth: &Auth,
    snapshot: &Snapshot,
) -> String {
    let mut url = format!("{}/step-up", snapshot.server.auth_prefix);
    let mut joint = '?';
    if multi_factor {
        url.push_str("?factor=mfa");
        joint = '&';
    }
    let Some(target) = target.filter(|target| *target != "/") else { return url };
    let token = auth.form_token(RETURN_TO, target.as_bytes());
    let returns = format!("{joint}return_to={}", return_to::escape(&return_to::packed(&token, target)));
    // As for the login page: without it the user gets to the start page.
    if url.len() + returns.len() <= snapshot.limits().header_bytes / 2 {
        url.push_str(&returns);
    }
    url
}

/// Returns the URL of the enrolment of an authenticator app, which then goes on to `target`.
pub(crate) fn totp_url(target: &str, auth: &Auth, snapshot: &Snapshot) -> String {
    enrolment_url("totp", target, auth, snapshot)
}

/// Returns the URL of the enrolment of a passkey, which then goes on to `target`.
pub(crate) fn passkey_url(target: &str, auth: &Auth, snapshot: &Snapshot) -> String {
    enrolment_url("passkey", target, auth, snapshot)
}

fn enrolment_url(page: &str, target: &str, auth: &Auth, snapshot: &Snapshot) -> String {
    let url = format!("{}/{page}", snapshot.server.auth_prefix);
    let token = auth.form_token(RETURN_TO, target.as_bytes());
    let returns = format!("?return_to={}", return_to::escape(&return_to::packed(&token, target)));
    if url.len() + returns.len() > snapshot.limits().header_bytes / 2 { url } else { url + &returns }
}

/// Query of a login page whose target to return to was too long.
pub(crate) const LOST: &str = "return_to=";

/// Returns path and query of the referring page from `Referer` (RFC 9110 section 10.1.3).
fn referring_path(request: &RequestHeader) -> Option<String> {
    let referrer = request.headers.get(header::REFERER)?.to_str().ok()?;
    let (_, rest) = referrer.split_once("://")?;
    return_to::normalized(&rest.as_bytes()[rest.find('/')?..])
}

/// Returns the target in a signed `return_to`. `None` if its token is invalid or expired.
pub(crate) fn return_target(packed: &str, auth: &Auth) -> Option<String> {
    let (token, target) = return_to::unpacked(packed)?;
    let is_valid =
        return_to::is_local(&target) && auth.is_form_token_valid(token, RETURN_TO, target.as_bytes());
    is_valid.then_some(target)
}

#[cfg(test)]
mod tests;
