//! For people: pages, and the forms on them. A form is taken only from a page of ours, shown in the same browser to the
//! same session; `GET` changes nothing.

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

/// What a form's token is about.
const FORM: &str = "form";

/// Whether a form is sent, rather than JSON.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Whether the browser says that a page of ours is asking (T51). Every browser says where a `POST` comes from; a request
/// that says nothing is no form of ours.
fn is_from_our_page(call: &Call<'_>) -> bool {
    cross_origin::is_same_origin(call.session, call.snapshot)
}

/// Whether nothing says that a browser has sent this: an API client that meant to send JSON, as `curl -d` does, is not to be told of
/// pages. It is refused either way.
fn is_no_browser(call: &Call<'_>) -> bool {
    let is_said = |name: &str| call.headers().contains_key(name);
    !is_said("sec-fetch-site") && !is_said("origin") && !navigation::is_navigation(call.session.req_header())
}

/// Takes a form from one of our pages, shown to `whom`.
fn guard(call: &Call<'_>, form: &Form, whom: Option<&[u8]>) -> Result<(), Refusal> {
    if !is_from_our_page(call) {
        let refusal = if is_no_browser(call) { Refusal::MediaTypeUnsupported } else { Refusal::FormInvalid };
        return Err(refusal);
    }
    let token = form.get("csrf").unwrap_or_default();
    let good = whom.is_some_and(|whom| call.auth.is_form_token_valid(token, FORM, whom));
    if good { Ok(()) } else { Err(Refusal::FormInvalid) }
}

/// The form of somebody's session, sent from one of our pages.
async fn submitted(call: &mut Call<'_>) -> pingora::Result<Result<Form, Refusal>> {
    let form = match call.form().await? {
        Ok(form) => form,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mark = session_mark(call.headers(), call.auth, call.snapshot);
    Ok(guard(call, &form, mark.as_ref().map(|mark| &mark[..])).map(|()| form))
}

/// What a form of a signed-in browser is tied to: its session; where a refresh cookie of ours is missing (browsers may drop one
/// of two), the access cookie, for as long as that is good. Otherwise the pages would send people to the login page, and
/// that, finding them signed in, back.
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

/// The token that forms of this browser's session are taken with; `None` for who has no cookies.
pub(super) fn form_token(call: &Call<'_>) -> Option<String> {
    let mark = session_mark(call.headers(), call.auth, call.snapshot)?;
    Some(call.auth.form_token(FORM, &mark))
}

/// The addresses on every page of somebody who is signed in.
struct Addresses {
    devices: String,
    password: String,
    sign_out: String,
    sign_out_everywhere: String,
}

impl Addresses {
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

/// A page, in the language asked for.
fn page(call: &Call<'_>, page: &Page<'_>) -> OwnResponse {
    OwnResponse::page(rendered(call, page))
}

fn rendered(call: &Call<'_>, page: &Page<'_>) -> pages::Html {
    pages::render(page, &call.snapshot.brand, navigation::language(call.headers()))
}
