//! Common parts of the HTML pages: rendering, links, and the check of their forms. A form is accepted only from a page of the
//! gateway that was shown in the same browser and session. `GET` changes nothing.

use http::{HeaderMap, header};

use super::form::Form;
use super::{Call, EndpointError, OwnResponse};
use crate::error::Refusal;
use crate::gateway::authorize::authentication::refresh_cookie;
use crate::gateway::authorize::credential::cookie_fields;
use crate::gateway::authorize::{cross_origin, navigation};
use crate::identity::Identity;
use crate::pages::{self, Account, Page, PasswordHints};
use crate::password::{MAX_BYTES, Names, Person};
use crate::policy::cookies::{self, Found};
use crate::token::sha256;

/// Purpose of form tokens on pages.
pub(super) const FORM: &str = "form";

/// Whether the body is a form, not JSON.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Whether a page of the gateway sent the request. Every browser sends the origin with a `POST`; a request without it is
/// not from such a page.
pub(super) fn is_from_our_page(call: &Call<'_>) -> bool {
    cross_origin::is_same_origin(call.session, call.snapshot)
}

/// Whether no header shows that a browser sent the request. An API client that forgot to send JSON, as with `curl -d`, gets a
/// refusal that does not mention pages. It is refused either way.
pub(super) fn is_no_browser(call: &Call<'_>) -> bool {
    let has = |name: &str| call.headers().contains_key(name);
    !has("sec-fetch-site") && !has("origin") && !navigation::is_navigation(call.session.req_header())
}

/// Checks that the form comes from a page of the gateway, and that its token belongs to `subject`.
pub(super) fn guard(call: &Call<'_>, form: &Form, subject: Option<&[u8]>) -> Result<(), Refusal> {
    if !is_from_our_page(call) {
        let refusal = if is_no_browser(call) { Refusal::MediaTypeUnsupported } else { Refusal::FormInvalid };
        return Err(refusal);
    }
    let token = form.get("csrf").unwrap_or_default();
    let is_valid = subject.is_some_and(|subject| call.auth.is_form_token_valid(token, FORM, subject));
    if is_valid { Ok(()) } else { Err(Refusal::FormInvalid) }
}

/// Reads a form of a signed-in user, and checks it with [`guard`].
pub(super) async fn submitted(call: &mut Call<'_>) -> Result<Form, EndpointError> {
    let form = call.form().await?;
    let subject = session_digest(call);
    guard(call, &form, subject.as_ref().map(|subject| &subject[..]))?;
    Ok(form)
}

/// Returns the subject of form tokens of a signed-in browser: the session from the refresh cookie. Without one (browsers may drop
/// one of two cookies), the access cookie, while it is valid. Otherwise the pages would redirect to the login page, and that,
/// since the user is signed in, back.
pub(super) fn session_digest(call: &Call<'_>) -> Option<[u8; 32]> {
    let (headers, auth, snapshot) = (call.headers(), call.auth, call.snapshot);
    let refresh = refresh_cookie(headers, &snapshot.cookies);
    if let Some(digest) = refresh.and_then(|cookie| auth.session_digest(cookie)) {
        return Some(digest);
    }
    match cookies::find(cookie_fields(headers), snapshot.cookies.access) {
        Found::One(token) => Some(sha256(token.as_bytes())),
        Found::None | Found::Several => None,
    }
}

/// Returns the token for forms of this browser's session; `None` without cookies.
pub(super) fn form_token(call: &Call<'_>) -> Option<String> {
    Some(call.auth.form_token(FORM, &session_digest(call)?))
}

/// Returns what the password form tells about the rules for this user.
pub(super) async fn password_rules(call: &Call<'_>, identity: &Identity) -> Result<PasswordHints, Refusal> {
    let settings = &call.snapshot.settings;
    let min_length = call.auth.min_password_length(identity, settings).await?;
    let Names { own, site } = settings.password_rules.names(Person::of(identity));
    Ok(PasswordHints { min_length, max_bytes: MAX_BYTES, own_names: own, site_names: site })
}

/// Returns the cookie that binds a form to this browser before sign-in. If there are two, one was planted: neither is used.
pub(super) fn visit<'a>(call: &'a Call<'_>) -> Option<&'a str> {
    let fields = cookie_fields(call.headers());
    match cookies::find(fields, call.snapshot.cookies.visit) {
        // 16 bytes, base64url.
        Found::One(visit) if visit.len() == 22 => Some(visit),
        _ => None,
    }
}

/// As [`visit`]; a browser without the cookie gets one.
pub(super) fn kept_visit(call: &mut Call<'_>) -> String {
    if let Some(visit) = visit(call) {
        return visit.to_owned();
    }
    let new = call.auth.new_visit();
    call.cookies.push(call.snapshot.cookies.visit, &new, call.snapshot, None);
    new
}

/// Links on every page of a signed-in user.
pub(super) struct Links {
    page: String,
    sign_out: String,
    sign_out_everywhere: String,
}

impl Links {
    pub(super) fn new(prefix: &str) -> Self {
        let at = |path: &str| format!("{prefix}/{path}");
        Self { page: at("account"), sign_out: at("logout"), sign_out_everywhere: at("logout-all") }
    }

    pub(super) fn account<'a>(&'a self, user: &'a str, csrf: &'a str) -> Account<'a> {
        Account {
            user,
            csrf,
            home: "/",
            page: &self.page,
            sign_out: &self.sign_out,
            sign_out_everywhere: &self.sign_out_everywhere,
        }
    }
}

/// Returns a page in the language of the request.
pub(super) fn page(call: &Call<'_>, page: &Page<'_>) -> OwnResponse {
    OwnResponse::page(rendered(call, page))
}

pub(super) fn rendered(call: &Call<'_>, page: &Page<'_>) -> pages::Html {
    pages::render(page, &call.snapshot.brand, navigation::language(call.headers()))
}

/// Returns a page that shows the problem of a refused form.
pub(super) fn refused_page(call: &Call<'_>, refusal: &Refusal, page: &Page<'_>) -> OwnResponse {
    OwnResponse::refused_page(refusal, call.log.request_id.as_ref(), rendered(call, page))
}
