//! `login`: tokens for a user name and a password, as JSON; the sign-in page and its form.

use std::time::Duration;

use serde_json::json;

use super::browser_page::{
    FORM, Links, form_token, guard, is_from_our_page, kept_visit, page, refused_page, visit,
};
use super::factors;
use super::form::Form;
use super::providers::{self, Start};
use super::{Call, EndpointError, OwnResponse, reset};
use crate::auth::{Browser, Client, LoginRequest, PasskeyRequest, PasskeyResponse, SignInStep, Tokens};
use crate::error::{FactorRefusal, ProviderRefusal, Refusal};
use crate::factor::passkey::AssertionResponse;
use crate::gateway::authorize::credential::cookie_fields;
use crate::gateway::authorize::navigation;
use crate::gateway::authorize::{authentication::refresh_cookie, set_cookies::ROOM};
use crate::id::base64url;
use crate::pages::{Page, ProviderButton, SignIn, SignInFields, SignInProblem, SignedIn};
use crate::password::Password;
use crate::policy::cookies::{self, Found};
use crate::secret::Secret;

/// `POST login`: `{username, password, code}` -> tokens. `code` is that of a second factor, for users who have one.
pub(super) async fn submit_json(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    if !call.snapshot.settings.passwords {
        return Err(Refusal::Provider(ProviderRefusal::PasswordsOff).into());
    }
    let mut fields = call.fields().await?;
    let (username, password) = (fields.string("username")?, fields.string("password")?);
    // Login names have no spaces.
    let username = Secret::new(username.expose().trim().to_owned());
    let code = fields.optional("code")?;
    fields.done(&["username", "password", "code"])?;
    let password =
        Password::new(password.expose()).map_err(|_| Refusal::RequestInvalid("password: too long".into()))?;
    let (address, user_agent, devices) = (call.address(), call.user_agent(), call.devices());
    let request = LoginRequest { username, password, address, user_agent, devices };
    let code = code.as_ref().map(|code| code.expose().as_str());
    let tokens = call.auth.login(request, code, &call.snapshot.settings).await?;
    Ok(token_response(call, &tokens))
}

/// Returns the response with new tokens.
pub(super) fn token_response(call: &Call<'_>, tokens: &Tokens) -> OwnResponse {
    call.log.set_session(tokens.session_id);
    OwnResponse::json(&json!({
        "access_token": tokens.access_token.expose(),
        "token_type": "Bearer",
        "expires_in": tokens.expires_in.as_secs(),
        "refresh_token": tokens.refresh_token.expose(),
        "session_id": tokens.session_id.to_string(),
    }))
}

/// `GET login`: the form. A signed-in user is redirected to `return_to`, or gets the account page.
pub(super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    check_planted(call)?;
    let query = Form::parse(call.query()).unwrap_or_default();
    let is_return_lost = call.query() == navigation::LOST.as_bytes();
    let sent = query.get("return_to");
    let return_to = sent.filter(|packed| navigation::return_target(packed, call.auth).is_some());
    // The fragment in the address bar belongs to a page that the browser does not return to.
    let drops_fragment = is_return_lost || (sent.is_some() && return_to.is_none());
    match call.browser_user().await {
        Ok(identity) => {
            if let Some(target) = return_to.and_then(|packed| navigation::return_target(packed, call.auth)) {
                return Ok(OwnResponse::see_other(&target));
            }
            Ok(signed_in(call, identity.login().as_str()))
        }
        Err(undecided @ (Refusal::StoreUnavailable | Refusal::Overloaded | Refusal::Internal)) => {
            Err(undecided.into())
        }
        Err(_) => {
            // Nobody is sent back to a provider that has just failed, or where they have just signed out.
            if let Some(provider) = providers::only_provider(call).filter(|_| !providers::is_held(call)) {
                let start = Start { return_to, ..Start::default() };
                return Ok(OwnResponse::see_other(&providers::start_url(call, provider, start)));
            }
            let input = Input { return_to, is_return_lost, drops_fragment, ..Input::default() };
            Ok(form_page(call, &input, None))
        }
    }
}

/// Returns the account page of a signed-in user.
fn signed_in(call: &Call<'_>, user: &str) -> OwnResponse {
    let links = Links::new(&call.snapshot.server.auth_prefix);
    let csrf = form_token(call).unwrap_or_default();
    page(call, &Page::SignedIn(SignedIn { account: links.account(user, &csrf) }))
}

/// `POST login`, a form: sets the cookies and redirects to `return_to`.
pub(super) async fn submit_form(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let form = call.form().await?;
    check_planted(call)?;
    let return_to =
        form.get("return_to").filter(|packed| navigation::return_target(packed, call.auth).is_some());
    // Login names have no spaces; phone keyboards add one after a word.
    let username = form.get("username").map(str::trim).filter(|name| !name.is_empty());
    let password = form.get("password");
    let remember = form.get("remember").is_some();
    let input = Input { return_to, username: username.unwrap_or_default(), remember, ..Input::default() };
    let visit = visit(call).map(str::to_owned);
    if let Err(refusal) = guard(call, &form, visit.as_deref().map(str::as_bytes)) {
        if refusal != Refusal::FormInvalid {
            return Err(refusal.into());
        }
        // The form comes from the page, but without the cookie that the page set.
        let cookies_refused = visit.is_none() && is_from_our_page(call);
        let problem =
            if cookies_refused { SignInProblem::CookiesRefused } else { SignInProblem::FormExpired };
        return Ok(form_page(call, &input, Some((refusal, problem))));
    }
    if let Some(given) = factors::passkey_response(&form) {
        return with_passkey(call, given, visit.as_deref().unwrap_or_default(), &input).await;
    }
    if let Some(id) = form.get("provider") {
        let start = Start { return_to, remember, ..Start::default() };
        return Ok(match call.snapshot.settings.providers.find(id) {
            Some(provider) => OwnResponse::see_other(&providers::start_url(call, provider, start)),
            // The page is older than a reload that removed the provider.
            None => form_page(call, &input, Some((Refusal::FormInvalid, SignInProblem::FormExpired))),
        });
    }
    if let Some(provider) = username.and_then(|name| providers::provider_of_address(call, name)) {
        let start = Start { return_to, remember, login_hint: username };
        return Ok(OwnResponse::see_other(&providers::start_url(call, provider, start)));
    }
    if !call.snapshot.settings.passwords {
        let refusal = Refusal::Provider(ProviderRefusal::PasswordsOff);
        return Ok(form_page(call, &input, Some((refusal, SignInProblem::NoProvider))));
    }
    // The first of two steps: no provider is responsible for this name.
    if form.get("step").is_some() && username.is_some() && password.is_none() {
        return Ok(form_page(call, &Input { asks_password: true, ..input }, None));
    }
    let (Some(username), Some(password)) = (username, password) else {
        let refusal = Refusal::RequestInvalid("username, password: missing".into());
        return Ok(form_page(call, &input, Some((refusal, SignInProblem::Incomplete))));
    };
    // No stored password is that long: it is wrong like any other.
    let Ok(password) = Password::new(password) else {
        let wrong = (Refusal::CredentialsWrong, SignInProblem::CredentialsWrong);
        return Ok(form_page(call, &input, Some(wrong)));
    };
    let (address, user_agent, devices) = (call.address(), call.user_agent(), call.devices());
    let username = Secret::new(username.to_owned());
    let request = LoginRequest { username, password, address, user_agent, devices };
    let old_cookie = refresh_cookie(call.headers(), &call.snapshot.cookies).map(str::to_owned);
    let settings = &call.snapshot.settings;
    let target = return_to.and_then(|packed| navigation::return_target(packed, call.auth));
    let target = target.unwrap_or_else(|| "/".to_owned());
    let login =
        call.auth.login_browser(request, (remember, &target), ROOM, old_cookie.as_deref(), settings).await;
    match login {
        Ok(step) => {
            let offers = matches!(&step, SignInStep::Done { can_offer_passkey: true, enrol_soon: false, .. });
            let offer = if offers { factors::passkey_offer(call, &form, &target) } else { None };
            Ok(signed_in_or_waiting(call, step, offer.as_deref().unwrap_or(&target)))
        }
        Err(refusal) => {
            let problem = match &refusal {
                Refusal::CredentialsWrong => SignInProblem::CredentialsWrong,
                Refusal::RateLimited(wait) => SignInProblem::TooMany(*wait),
                Refusal::StoreUnavailable | Refusal::Overloaded => SignInProblem::Unavailable,
                _ => return Err(refusal.into()),
            };
            Ok(form_page(call, &input, Some((refusal, problem))))
        }
    }
}

/// Signs in with a passkey, and redirects to `return_to`.
async fn with_passkey(
    call: &mut Call<'_>,
    given: PasskeyResponse<'_>,
    visit: &str,
    input: &Input<'_>,
) -> Result<OwnResponse, EndpointError> {
    let client = Client { address: call.address(), user_agent: call.user_agent(), devices: call.devices() };
    let before = refresh_cookie(call.headers(), &call.snapshot.cookies).map(str::to_owned);
    let browser = Browser { client, remember: input.remember, room: ROOM, before };
    let target = input.return_to.and_then(|packed| navigation::return_target(packed, call.auth));
    let target = target.unwrap_or_else(|| "/".to_owned());
    let settings = &call.snapshot.settings;
    let login = call.auth.login_with_passkey(given, visit.as_bytes(), browser, &target, settings).await;
    let refusal = match login {
        Ok(step) => return Ok(signed_in_or_waiting(call, step, &target)),
        Err(refusal) => refusal,
    };
    let problem = match &refusal {
        // The page was open for long. It is shown again with a new request, and the browser may use it at once.
        Refusal::Factor(FactorRefusal::PasskeyExpired) => SignInProblem::FormExpired,
        Refusal::Factor(FactorRefusal::PasskeyWrong | FactorRefusal::PasskeyUnknown) => {
            SignInProblem::PasskeyWrong
        }
        Refusal::Factor(FactorRefusal::PasskeyNotAlone) => SignInProblem::PasskeyNotAlone,
        Refusal::RateLimited(wait) => SignInProblem::TooMany(*wait),
        Refusal::StoreUnavailable | Refusal::Overloaded => SignInProblem::Unavailable,
        _ => return Err(refusal.into()),
    };
    // The response was read before it was refused as that of an unknown passkey.
    let used = AssertionResponse::parse(given.response.as_bytes()).ok();
    let used = used.map(|response| base64url(response.credential_id()));
    let Input { return_to, username, remember, .. } = *input;
    let input = Input { return_to, username, remember, passkey: used.as_deref(), ..Input::default() };
    Ok(form_page(call, &input, Some((refusal, problem))))
}

/// Sets the cookies of a sign-in and goes on to `target`, or to the second step.
pub(super) fn signed_in_or_waiting(call: &mut Call<'_>, step: SignInStep, target: &str) -> OwnResponse {
    match step {
        SignInStep::Pending(pending) => factors::begin(call, &pending),
        SignInStep::Done { tokens, enrol_soon, .. } => {
            call.log.set_session(tokens.session);
            call.cookies.set_tokens(&tokens, call.snapshot);
            if providers::is_held(call) {
                call.cookies.push(call.snapshot.cookies.hold, "", call.snapshot, Some(Duration::ZERO));
            }
            if enrol_soon {
                return OwnResponse::see_other(&navigation::totp_url(target, call.auth, call.snapshot));
            }
            OwnResponse::see_other(target)
        }
    }
}

/// Input to show again in the form.
#[derive(Default)]
struct Input<'a> {
    /// Signed target to return to.
    return_to: Option<&'a str>,
    username: &'a str,
    remember: bool,
    /// Whether the target to return to was too long.
    is_return_lost: bool,
    /// Whether the fragment of the address belongs to another page than the target.
    drops_fragment: bool,
    /// Whether the name was asked for before, and no provider is responsible for it.
    asks_password: bool,
    /// Id of the passkey that was used.
    passkey: Option<&'a str>,
}

/// Returns the page with the form, bound to this browser by a cookie. A browser that does not send the cookie back gets an error
/// before a session is created; otherwise its user would sign in again and again.
fn form_page(
    call: &mut Call<'_>,
    input: &Input<'_>,
    problem: Option<(Refusal, SignInProblem)>,
) -> OwnResponse {
    let visit = kept_visit(call);
    let csrf = call.auth.form_token(FORM, visit.as_bytes());
    let action = format!("{}/login", call.snapshot.server.auth_prefix);
    let settings = &call.snapshot.settings;
    let button = |provider: &std::sync::Arc<crate::provider::Provider>| ProviderButton {
        label: provider.settings().label.clone(),
        id: provider.id().as_str().to_owned(),
    };
    let buttons: Vec<ProviderButton> = settings.providers.iter().map(button).collect();
    let by_address = settings.providers.iter().any(|provider| !provider.settings().email_domains.is_empty());
    let is_first_step = by_address && !input.asks_password && problem.is_none();
    let fields = match (settings.passwords, by_address) {
        (true, true) if is_first_step => SignInFields::Name,
        (true, _) => SignInFields::NameAndPassword,
        (false, true) => SignInFields::Name,
        (false, false) => SignInFields::None,
    };
    let request = call.auth.passkey_sign_in(visit.as_bytes(), settings);
    let request = factors::shown_passkey(call, request);
    // The browser forgets a passkey that was removed here (WebAuthn section 5.1.10).
    let is_unknown = matches!(problem, Some((Refusal::Factor(FactorRefusal::PasskeyUnknown), _)));
    let forgotten = input.passkey.filter(|_| is_unknown).and_then(|id| {
        let relying_party = settings.passkeys.as_ref()?;
        Some(json!({"rpId": relying_party.id(), "credentialId": id}).to_string())
    });
    let forgot = reset::url(call.snapshot);
    let content = Page::SignIn(SignIn {
        forgot: forgot.as_deref(),
        passkey: request.as_ref().map(PasskeyRequest::as_parts),
        forgotten_passkey: forgotten.as_deref(),
        fields,
        providers: &buttons,
        action: &action,
        csrf: &csrf,
        return_to: input.return_to,
        username: input.username,
        problem: problem.as_ref().map(|(_, problem)| *problem),
        remember: input.remember,
        is_return_lost: input.is_return_lost,
        drops_fragment: input.drops_fragment,
        remember_offered: !call.snapshot.settings.browser_remember.is_zero(),
    });
    match problem {
        None => page(call, &content),
        Some((refusal, _)) => refused_page(call, &refusal, &content),
    }
}

/// Refuses a browser with several cookies of one name of the gateway. Signing in would replace only one of them, and neither is
/// used: without this error, the user would sign in again and again.
fn check_planted(call: &Call<'_>) -> Result<(), Refusal> {
    let names = call.snapshot.cookies;
    let several = |name: &str| {
        let fields = cookie_fields(call.headers());
        cookies::find(fields, name) == Found::Several
    };
    if [names.access, names.refresh, names.visit].into_iter().any(several) {
        return Err(Refusal::CredentialsConflict);
    }
    Ok(())
}
