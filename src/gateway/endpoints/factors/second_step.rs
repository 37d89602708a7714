//! `login/factor`, `login/enrol`: the second step of a sign-in.

use std::time::Duration;

use super::{passkey_fields, problem};
use crate::auth::{
    Browser, Client, Enrolment, EnrolmentOffer, FinishedSignIn, PENDING_LIFE, PasskeyRequest, PendingSignIn,
    RecoveryCodes, SecondFactor, WaitingSignIn,
};
use crate::error::{FactorRefusal, Refusal};
use crate::factor::qr_code;
use crate::gateway::authorize::authentication::refresh_cookie;
use crate::gateway::authorize::credential::cookie_fields;
use crate::gateway::authorize::set_cookies::ROOM;
use crate::gateway::endpoints::browser_page::{FORM, guard, page, refused_page};
use crate::gateway::endpoints::{Call, EndpointError, OwnResponse};
use crate::pages::{FactorPage, FactorProblem, Page, RecoveryCodesPage, TotpPage};
use crate::policy::cookies::{self, Found};

/// Begins the second step: the browser gets its secret and goes to the page.
pub(in crate::gateway::endpoints) fn begin(call: &mut Call<'_>, pending: &PendingSignIn) -> OwnResponse {
    let name = call.snapshot.cookies.pending;
    call.cookies.push(name, pending.secret.expose(), call.snapshot, Some(PENDING_LIFE));
    step(call, if pending.enrols { "enrol" } else { "factor" })
}

/// Sends the browser to a page of the second step.
fn step(call: &Call<'_>, page: &str) -> OwnResponse {
    OwnResponse::see_other(&format!("{}/login/{page}", call.snapshot.server.auth_prefix))
}

/// Returns the browser's secret.
fn secret(call: &Call<'_>) -> Option<String> {
    match cookies::find(cookie_fields(call.headers()), call.snapshot.cookies.pending) {
        // 32 bytes, base64url.
        Found::One(secret) if secret.len() == 43 => Some(secret.to_owned()),
        _ => None,
    }
}

/// Sends a browser whose sign-in has ended back to its beginning.
fn again(call: &mut Call<'_>) -> OwnResponse {
    forget(call);
    OwnResponse::see_other(&format!("{}/login", call.snapshot.server.auth_prefix))
}

fn forget(call: &mut Call<'_>) {
    call.cookies.push(call.snapshot.cookies.pending, "", call.snapshot, Some(Duration::ZERO));
}

/// Returns the browser of the request. Whether it keeps the session was said at the beginning of the sign-in.
fn browser(call: &Call<'_>) -> Browser {
    let client = Client { address: call.address(), user_agent: call.user_agent(), devices: call.devices() };
    let before = refresh_cookie(call.headers(), &call.snapshot.cookies).map(str::to_owned);
    Browser { client, remember: false, room: ROOM, before }
}

/// `GET login/factor`: the form for a code.
pub(in crate::gateway::endpoints) async fn factor(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let Some(secret) = secret(call) else { return Ok(again(call)) };
    match call.auth.waiting_sign_in(&secret, &call.snapshot.settings).await {
        Ok(waiting) if waiting.enrols => Ok(step(call, "enrol")),
        Ok(waiting) => Ok(factor_page(call, &secret, waiting, None)),
        Err(Refusal::Factor(FactorRefusal::SignInLost)) => Ok(again(call)),
        Err(refusal) => Err(refusal.into()),
    }
}

/// `POST login/factor`, a form: ends the sign-in with a code.
pub(in crate::gateway::endpoints) async fn factor_form(
    call: &mut Call<'_>,
) -> Result<OwnResponse, EndpointError> {
    let form = call.form().await?;
    let Some(secret) = secret(call) else { return Ok(again(call)) };
    let given = passkey_fields::response(&form).map(SecondFactor::Passkey);
    let given = given.or_else(|| form.get("code").map(SecondFactor::Code));
    let finished = match (guard(call, &form, Some(secret.as_bytes())), given) {
        (Err(refusal), _) => Err((refusal, FactorProblem::FormExpired)),
        (Ok(()), None) => Err((Refusal::RequestInvalid("code: missing".into()), FactorProblem::Incomplete)),
        (Ok(()), Some(given)) => {
            let finishing = call.auth.finish_sign_in(&secret, given, browser(call), &call.snapshot.settings);
            match finishing.await {
                Ok(finished) => Ok(finished),
                Err(Refusal::Factor(FactorRefusal::SignInLost)) => return Ok(again(call)),
                Err(Refusal::Factor(FactorRefusal::NotEnrolled)) => return Ok(step(call, "enrol")),
                Err(refusal) => match problem(&refusal) {
                    Some(problem) => Err((refusal, problem)),
                    None => return Err(refusal.into()),
                },
            }
        }
    };
    match finished {
        Ok(finished) => {
            signed_in(call, &finished);
            Ok(OwnResponse::see_other(&finished.return_to))
        }
        Err(problem) => match call.auth.waiting_sign_in(&secret, &call.snapshot.settings).await {
            Ok(waiting) => Ok(factor_page(call, &secret, waiting, Some(problem))),
            Err(_) => Ok(again(call)),
        },
    }
}

fn signed_in(call: &mut Call<'_>, finished: &FinishedSignIn) {
    call.log.set_session(finished.tokens.session);
    call.cookies.set_tokens(&finished.tokens, call.snapshot);
    forget(call);
}

fn factor_page(
    call: &Call<'_>,
    secret: &str,
    waiting: WaitingSignIn,
    problem: Option<(Refusal, FactorProblem)>,
) -> OwnResponse {
    let request = passkey_fields::shown(call, waiting.passkey);
    let prefix = &call.snapshot.server.auth_prefix;
    let csrf = call.auth.form_token(FORM, secret.as_bytes());
    let (action, cancel) = (format!("{prefix}/login/factor"), format!("{prefix}/login"));
    let content = Page::Factor(FactorPage {
        action: &action,
        csrf: &csrf,
        user: &waiting.login,
        cancel: &cancel,
        has_code: waiting.has_code,
        passkey: request.as_ref().map(PasskeyRequest::as_parts),
        problem: problem.as_ref().map(|(_, problem)| *problem),
    });
    match problem {
        None => page(call, &content),
        Some((refusal, _)) => refused_page(call, &refusal, &content),
    }
}

/// `GET login/enrol`: a new authenticator app.
pub(in crate::gateway::endpoints) async fn enrol(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let Some(secret) = secret(call) else { return Ok(again(call)) };
    enrol_page(call, &secret, None, None).await
}

/// `POST login/enrol`, a form: enrols the app, and ends the sign-in.
pub(in crate::gateway::endpoints) async fn enrol_form(
    call: &mut Call<'_>,
) -> Result<OwnResponse, EndpointError> {
    let form = call.form().await?;
    let Some(secret) = secret(call) else { return Ok(again(call)) };
    let sealed = form.get("secret");
    if let Err(refusal) = guard(call, &form, Some(secret.as_bytes())) {
        return enrol_page(call, &secret, sealed, Some((refusal, FactorProblem::FormExpired))).await;
    }
    let enrolment = match (passkey_fields::response(&form), sealed, form.get("code")) {
        (Some(given), ..) => Enrolment::Passkey(given),
        (None, Some(sealed), Some(code)) => Enrolment::Totp { sealed, code },
        (None, ..) => {
            let refusal = Refusal::RequestInvalid("secret, code: missing".into());
            return enrol_page(call, &secret, sealed, Some((refusal, FactorProblem::Incomplete))).await;
        }
    };
    let (name, settings) = (form.get("name").unwrap_or_default(), &call.snapshot.settings);
    match call.auth.enrol_at_sign_in(&secret, enrolment, name, browser(call), settings).await {
        Ok((finished, codes)) => {
            signed_in(call, &finished);
            Ok(match codes {
                Some(codes) => codes_page(call, &codes, &finished.return_to),
                None => OwnResponse::see_other(&finished.return_to),
            })
        }
        Err(Refusal::Factor(FactorRefusal::SignInLost)) => Ok(again(call)),
        Err(Refusal::Factor(FactorRefusal::CodeMissing)) => Ok(step(call, "factor")),
        Err(refusal) => match problem(&refusal) {
            Some(problem) => enrol_page(call, &secret, sealed, Some((refusal, problem))).await,
            None => Err(refusal.into()),
        },
    }
}

/// Returns the page that shows recovery codes, once.
pub(super) fn codes_page(call: &Call<'_>, codes: &RecoveryCodes, go_on: &str) -> OwnResponse {
    let codes: Vec<&str> = codes.iter().map(|code| code.expose().as_str()).collect();
    page(call, &Page::RecoveryCodes(RecoveryCodesPage { codes: &codes, go_on }))
}

async fn enrol_page(
    call: &mut Call<'_>,
    secret: &str,
    again_with: Option<&str>,
    problem: Option<(Refusal, FactorProblem)>,
) -> Result<OwnResponse, EndpointError> {
    let offered = call.auth.enrolment_at_sign_in(secret, again_with, &call.snapshot.settings).await;
    let EnrolmentOffer { login: user, totp: offer, passkey } = match offered {
        Ok(offered) => offered,
        Err(Refusal::Factor(FactorRefusal::SignInLost)) => return Ok(again(call)),
        Err(Refusal::Factor(FactorRefusal::CodeMissing)) => return Ok(step(call, "factor")),
        Err(refusal) => return Err(refusal.into()),
    };
    let prefix = &call.snapshot.server.auth_prefix;
    let (action, later) = (format!("{prefix}/login/enrol"), format!("{prefix}/login"));
    let csrf = call.auth.form_token(FORM, secret.as_bytes());
    let qr = qr_code(offer.uri.expose());
    let request = passkey_fields::shown(call, passkey);
    let content = Page::Totp(TotpPage {
        action: &action,
        csrf: &csrf,
        user: &user,
        secret: offer.secret.expose(),
        sealed: &offer.sealed,
        qr: qr.as_ref().map(|qr| (qr.size, qr.path.as_str())),
        return_to: None,
        later: &later,
        is_needed: true,
        passkey: request.as_ref().map(PasskeyRequest::as_parts),
        problem: problem.as_ref().map(|(_, problem)| *problem),
    });
    Ok(match problem {
        None => page(call, &content),
        Some((refusal, _)) => refused_page(call, &refusal, &content),
    })
}
