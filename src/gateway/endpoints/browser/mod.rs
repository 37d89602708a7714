//! HTML pages and their forms. A form is accepted only from a page of the gateway that was shown in the same browser and session.
//! `GET` changes nothing.
//!
//! In: a call of a browser. Out: a page, a redirect or a refusal, and cookies to set. Must not know: JSON bodies, how sessions are
//! stored.

use http::{HeaderMap, header};

use super::{Call, OwnResponse};
use crate::auth::Auth;
use crate::error::Refusal;
use crate::gateway::authorize::credential::cookie_fields;
use crate::gateway::authorize::{cross_origin, navigation};
use crate::pages::{self, Account, Page};
use crate::policy::cookies::{self, Found};
use crate::snapshot::Snapshot;
use crate::token::sha256;

pub(super) mod devices;
mod form;
pub(super) use form::Form;
pub(super) mod password;
pub(super) mod sign_in;
pub(super) mod sign_out;

/// Purpose of form tokens on pages.
const FORM: &str = "form";

/// Whether the body is a form, not JSON.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Whether a page of the gateway sent the request (T51). Every browser sends the origin with a `POST`; a request without it is
/// not from such a page.
fn is_from_our_page(call: &Call<'_>) -> bool {
    cross_origin::is_same_origin(call.session, call.snapshot)
}

/// Whether no header shows that a browser sent the request. An API client that forgot to send JSON, as with `curl -d`, gets a
/// refusal that does not mention pages. It is refused either way.
fn is_no_browser(call: &Call<'_>) -> bool {
    let has = |name: &str| call.headers().contains_key(name);
    !has("sec-fetch-site") && !has("origin") && !navigation::is_navigation(call.session.req_header())
}

/// Checks that the form comes from a page of the gateway, and that its token belongs to `subject`.
fn guard(call: &Call<'_>, form: &Form, subject: Option<&[u8]>) -> Result<(), Refusal> {
    if !is_from_our_page(call) {
        let refusal = if is_no_browser(call) { Refusal::MediaTypeUnsupported } else { Refusal::FormInvalid };
        return Err(refusal);
    }
    let token = form.get("csrf").unwrap_or_default();
    let is_valid = subject.is_some_and(|subject| call.auth.is_form_token_valid(token, FORM, subject));
    if is_valid { Ok(()) } else { Err(Refusal::FormInvalid) }
}

/// Reads a form of a signed-in user, and checks it with [`guard`].
async fn submitted(call: &mut Call<'_>) -> pingora::Result<Result<Form, Refusal>> {
    let form = match call.form().await? {
        Ok(form) => form,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mark = session_mark(call.headers(), call.auth, call.snapshot);
    Ok(guard(call, &form, mark.as_ref().map(|mark| &mark[..])).map(|()| form))
}

/// Returns the subject of form tokens of a signed-in browser: the session from the refresh cookie. Without one (browsers may drop
/// one of two cookies), the access cookie, while it is valid. Otherwise the pages would redirect to the login page, and that,
/// since the user is signed in, back.
fn session_mark(headers: &HeaderMap, auth: &Auth, snapshot: &Snapshot) -> Option<[u8; 32]> {
    let refresh = crate::gateway::authorize::silent_renewal::refresh_cookie(headers, &snapshot.cookies);
    if let Some(mark) = refresh.and_then(|cookie| auth.session_digest(cookie)) {
        return Some(mark);
    }
    match cookies::find(cookie_fields(headers), snapshot.cookies.access) {
        Found::One(token) => Some(sha256(token.as_bytes())),
        Found::None | Found::Several => None,
    }
}

/// Returns the token for forms of this browser's session; `None` without cookies.
pub(super) fn form_token(call: &Call<'_>) -> Option<String> {
    let mark = session_mark(call.headers(), call.auth, call.snapshot)?;
    Some(call.auth.form_token(FORM, &mark))
}

/// Links on every page of a signed-in user.
struct Links {
    devices: String,
    password: String,
    sign_out: String,
    sign_out_everywhere: String,
}

impl Links {
    fn new(prefix: &str) -> Self {
        let at = |path: &str| format!("{prefix}/{path}");
        Self {
            devices: at("sessions"),
            password: at("password"),
            sign_out: at("logout"),
            sign_out_everywhere: at("logout-all"),
        }
    }

    fn account<'a>(&'a self, user: &'a str, csrf: &'a str) -> Account<'a> {
        Account {
            user,
            csrf,
            home: "/",
            devices: &self.devices,
            password: &self.password,
            sign_out: &self.sign_out,
            sign_out_everywhere: &self.sign_out_everywhere,
        }
    }
}

/// Returns a page in the language of the request.
fn page(call: &Call<'_>, page: &Page<'_>) -> OwnResponse {
    OwnResponse::page(rendered(call, page))
}

fn rendered(call: &Call<'_>, page: &Page<'_>) -> pages::Html {
    pages::render(page, &call.snapshot.brand, navigation::language(call.headers()))
}
