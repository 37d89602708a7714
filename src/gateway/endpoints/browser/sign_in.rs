//! `login`: the page and its form.

use super::form::Form;
use super::{Addresses, Call, FORM, OwnResponse, form_token, guard, is_from_our_page, page, rendered};
use crate::auth::LoginRequest;
use crate::error::Refusal;
use crate::gateway::authorize::navigation;
use crate::gateway::authorize::silent_renewal::{ROOM, refresh_cookie};
use crate::pages::{Page, SignIn, SignInProblem, SignedIn};
use crate::password::Password;
use crate::policy::cookies::{self, Found};
use crate::secret::Secret;

/// `GET login`: the form; for somebody who is signed in, on to where they were going, or what they can do.
pub(in super::super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, Refusal> {
    is_planted(call)?;
    let query = Form::parse(call.query()).unwrap_or_default();
    let is_return_lost = call.query() == navigation::LOST.as_bytes();
    let stamped =
        query.get("return_to").filter(|stamped| navigation::return_target(stamped, call.auth).is_some());
    match call.person().await {
        Ok(identity) => {
            if let Some(place) = stamped.and_then(|stamped| navigation::return_target(stamped, call.auth)) {
                return Ok(OwnResponse::see_other(&place));
            }
            Ok(signed_in(call, identity.login().as_str()))
        }
        Err(undecided @ (Refusal::StoreUnavailable | Refusal::Overloaded | Refusal::Internal)) => {
            Err(undecided)
        }
        Err(_) => Ok(again(call, &Typed { stamped, is_return_lost, ..Typed::default() }, None)),
    }
}

/// What they can do.
fn signed_in(call: &Call<'_>, user: &str) -> OwnResponse {
    let addresses = Addresses::new(&call.snapshot.server.auth_prefix);
    let csrf = form_token(call).unwrap_or_default();
    page(call, &Page::SignedIn(SignedIn { account: addresses.account(user, &csrf) }))
}

/// `POST login`, a form: cookies, and on to where they were going.
pub(in super::super) async fn submit(call: &mut Call<'_>) -> pingora::Result<Result<OwnResponse, Refusal>> {
    let form = match call.form().await?.and_then(|form| is_planted(call).map(|()| form)) {
        Ok(form) => form,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let stamped =
        form.get("return_to").filter(|stamped| navigation::return_target(stamped, call.auth).is_some());
    // No login name has blanks: keyboards of phones add one after a word.
    let username = form.get("username").map(str::trim).filter(|name| !name.is_empty());
    let password = form.get("password");
    let remember = form.get("remember").is_some();
    let username_shown = username.unwrap_or_default();
    let typed = Typed { stamped, username: username_shown, remember, is_return_lost: false };
    let visit = visit(call).map(str::to_owned);
    if let Err(refusal) = guard(call, &form, visit.as_deref().map(str::as_bytes)) {
        if refusal != Refusal::FormInvalid {
            return Ok(Err(refusal));
        }
        // From a page of ours, and without the cookie that was set with it.
        let refused = visit.is_none() && is_from_our_page(call);
        let problem = if refused { SignInProblem::CookiesRefused } else { SignInProblem::FormExpired };
        return Ok(Ok(again(call, &typed, Some((refusal, problem)))));
    }
    let (Some(username), Some(password)) = (username, password) else {
        let refusal = Refusal::RequestInvalid("username, password: missing".into());
        return Ok(Ok(again(call, &typed, Some((refusal, SignInProblem::Incomplete)))));
    };
    // Nobody has so long a password: it is as wrong as any other.
    let Ok(password) = Password::new(password) else {
        let wrong = (Refusal::CredentialsWrong, SignInProblem::CredentialsWrong);
        return Ok(Ok(again(call, &typed, Some(wrong))));
    };
    let (address, user_agent, devices) = (call.address(), call.user_agent(), call.devices());
    let username = Secret::new(username.to_owned());
    let request = LoginRequest { username, password, address, user_agent, devices };
    let before = refresh_cookie(call.headers(), &call.snapshot.cookies).map(str::to_owned);
    let settings = &call.snapshot.settings;
    let tokens = match call.auth.login_browser(request, remember, ROOM, before.as_deref(), settings).await {
        Ok(tokens) => tokens,
        Err(refusal) => {
            let problem = match &refusal {
                Refusal::CredentialsWrong => SignInProblem::CredentialsWrong,
                Refusal::RateLimited(wait) => SignInProblem::TooMany(*wait),
                Refusal::StoreUnavailable | Refusal::Overloaded => SignInProblem::Unavailable,
                _ => return Ok(Err(refusal)),
            };
            return Ok(Ok(again(call, &typed, Some((refusal, problem)))));
        }
    };
    call.account.opened(tokens.session);
    call.set.set_tokens(&tokens, call.snapshot);
    let place = stamped.and_then(|stamped| navigation::return_target(stamped, call.auth));
    Ok(Ok(OwnResponse::see_other(place.as_deref().unwrap_or("/"))))
}

/// What was typed, to be shown again.
#[derive(Default)]
struct Typed<'a> {
    stamped: Option<&'a str>,
    username: &'a str,
    remember: bool,
    /// The address that they came from was too long.
    is_return_lost: bool,
}

/// The form, tied to this browser by a cookie: one that does not send it back is told so before it has a session, so
/// that nobody signs in again and again.
fn again(call: &mut Call<'_>, typed: &Typed<'_>, problem: Option<(Refusal, SignInProblem)>) -> OwnResponse {
    let visit = match visit(call) {
        Some(visit) => visit.to_owned(),
        None => {
            let new = call.auth.new_visit();
            call.set.push(call.snapshot.cookies.visit, &new, call.snapshot, None);
            new
        }
    };
    let csrf = call.auth.form_token(FORM, visit.as_bytes());
    let action = format!("{}/login", call.snapshot.server.auth_prefix);
    let shown = Page::SignIn(SignIn {
        action: &action,
        csrf: &csrf,
        return_to: typed.stamped,
        username: typed.username,
        problem: problem.as_ref().map(|(_, problem)| *problem),
        remember: typed.remember,
        is_return_lost: typed.is_return_lost,
        remember_offered: !call.snapshot.settings.browser_remember.is_zero(),
    });
    match problem {
        None => page(call, &shown),
        Some((refusal, _)) => {
            OwnResponse::refused_page(&refusal, call.account.request_id.as_ref(), rendered(call, &shown))
        }
    }
}

/// Who has several cookies of one name of ours would sign in and be none the wiser: signing in replaces one of them, and
/// neither counts. They are told instead of going in circles.
fn is_planted(call: &Call<'_>) -> Result<(), Refusal> {
    let names = call.snapshot.cookies;
    let several = |name: &str| {
        let fields = crate::gateway::authorize::credential::cookie_fields(call.headers());
        cookies::find(fields, name) == Found::Several
    };
    if [names.access, names.refresh, names.visit].into_iter().any(several) {
        return Err(Refusal::CredentialsConflict);
    }
    Ok(())
}

/// The cookie that ties the form to this browser. Of two, one was planted: neither counts.
fn visit<'a>(call: &'a Call<'_>) -> Option<&'a str> {
    let fields = crate::gateway::authorize::credential::cookie_fields(call.headers());
    match cookies::find(fields, call.snapshot.cookies.visit) {
        // 16 bytes, base64url.
        Found::One(visit) if visit.len() == 22 => Some(visit),
        _ => None,
    }
}
