//! `step-up`: more proof for a session (RFC 9470).

use std::sync::Arc;

use super::{passkey_fields, problem, return_target};
use crate::auth::{Browser, Client, PasskeyRequest, PasskeyResponse, StepUpProof};
use crate::config::Preset;
use crate::error::{PasswordFault, Refusal};
use crate::gateway::authorize::authentication::refresh_cookie;
use crate::gateway::authorize::navigation;
use crate::gateway::authorize::set_cookies::ROOM;
use crate::gateway::endpoints::browser_page::{FORM, Links, page, refused_page, session_digest, submitted};
use crate::gateway::endpoints::form::Form;
use crate::gateway::endpoints::{Accept, Call, EndpointError, OwnResponse, login, providers};
use crate::identity::Identity;
use crate::pages::{FactorProblem, Page, StepUpPage};
use crate::password::Password;

/// `POST step-up`: `{code}` or `{password}` -> tokens of a session in place of the caller's.
pub(in crate::gateway::endpoints) async fn submit_json(
    call: &mut Call<'_>,
) -> Result<OwnResponse, EndpointError> {
    let identity = call.caller(Accept::Bearer).await?;
    let mut fields = call.fields().await?;
    let proof = match fields.optional("code")? {
        Some(code) => StepUpProof::Code(code.expose().clone()),
        None => {
            let password = fields.string("password")?;
            let too_long = |_| Refusal::RequestInvalid("password: too long".into());
            StepUpProof::Password(Password::new(password.expose()).map_err(too_long)?)
        }
    };
    fields.done(&["code", "password"])?;
    let client = Client { address: call.address(), user_agent: call.user_agent(), devices: Vec::new() };
    // The session of this request ends.
    call.unregister();
    let tokens = call.auth.step_up_program(&identity, proof, &client, &call.snapshot.settings).await?;
    Ok(login::token_response(call, &tokens))
}

/// `GET step-up`: the form. `factor=mfa` in the query asks for a second factor.
pub(in crate::gateway::endpoints) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.browser_user().await?;
    let query = Form::parse(call.query()).unwrap_or_default();
    form_page(call, &identity, &query, None).await
}

/// `POST step-up`, a form: replaces the session, and goes back to `return_to`.
pub(in crate::gateway::endpoints) async fn submit_form(
    call: &mut Call<'_>,
) -> Result<OwnResponse, EndpointError> {
    let form = submitted(call).await?;
    let identity = call.browser_user().await?;
    if let Some(id) = form.get("provider") {
        let provider = call.snapshot.settings.providers.find(id).map(Arc::clone);
        let provider = provider.filter(|provider| proves_again(provider.settings().preset));
        let provider = provider.ok_or(Refusal::RouteUnknown)?;
        let target = return_target(call, &form).map_or_else(|| "/".to_owned(), |(_, target)| target);
        return providers::step_up(call, &provider, identity.session_id(), &target).await;
    }
    let passkey = passkey_fields::response(&form).zip(session_digest(call));
    let proof = match (passkey, form.get("code"), form.get("password")) {
        (Some((PasskeyResponse { state, response }, browser)), ..) => {
            StepUpProof::Passkey { state: state.to_owned(), response: response.to_owned(), browser }
        }
        (None, Some(code), _) => StepUpProof::Code(code.to_owned()),
        (None, None, Some(password)) => match Password::new(password) {
            Ok(password) => StepUpProof::Password(password),
            Err(_) => {
                let fault = PasswordFault::CurrentWrong;
                let wrong = (Refusal::PasswordRejected(fault), FactorProblem::PasswordWrong);
                return form_page(call, &identity, &form, Some(wrong)).await;
            }
        },
        (None, None, None) => {
            let missing =
                (Refusal::RequestInvalid("code, password: missing".into()), FactorProblem::Incomplete);
            return form_page(call, &identity, &form, Some(missing)).await;
        }
    };
    match replace(call, &identity, proof).await {
        Ok(()) => {
            let target = return_target(call, &form).map(|(_, target)| target);
            Ok(OwnResponse::see_other(target.as_deref().unwrap_or("/")))
        }
        Err(refusal) => match problem(&refusal) {
            Some(problem) => form_page(call, &identity, &form, Some((refusal, problem))).await,
            None => Err(refusal.into()),
        },
    }
}

/// Replaces the session of a browser by one with this proof, and sets its cookies.
pub(in crate::gateway::endpoints) async fn replace(
    call: &mut Call<'_>,
    identity: &Arc<Identity>,
    proof: StepUpProof,
) -> Result<(), Refusal> {
    let client = Client { address: call.address(), user_agent: call.user_agent(), devices: call.devices() };
    let remember =
        refresh_cookie(call.headers(), &call.snapshot.cookies).is_some_and(crate::auth::is_remembered);
    let browser = Browser { client, remember, room: ROOM, before: None };
    // The session of this request ends.
    let registration = call.registration.take();
    let settings = &call.snapshot.settings;
    let replaced = call.auth.step_up_browser(identity, proof, &browser, settings).await;
    match replaced {
        Ok(tokens) => {
            call.log.set_session(tokens.session);
            call.cookies.set_tokens(&tokens, call.snapshot);
            Ok(())
        }
        Err(refusal) => {
            *call.registration = registration;
            Err(refusal)
        }
    }
}

/// Returns whether a provider of this kind tells when the person has signed in there, so that a sign-in of now can be told
/// from one of this morning.
const fn proves_again(preset: Preset) -> bool {
    matches!(preset, Preset::Oidc | Preset::Keycloak | Preset::Okta | Preset::Authentik)
}

async fn form_page(
    call: &mut Call<'_>,
    identity: &Identity,
    fields: &Form,
    problem: Option<(Refusal, FactorProblem)>,
) -> Result<OwnResponse, EndpointError> {
    let digest = session_digest(call).ok_or(Refusal::TokenMissing)?;
    let ways = call.auth.step_up_ways(identity, &digest, &call.snapshot.settings).await?;
    let request = passkey_fields::shown(call, ways.passkey);
    let needs_factor = fields.get("factor") == Some("mfa");
    let returns = return_target(call, fields);
    let prefix = &call.snapshot.server.auth_prefix;
    let (links, csrf) = (Links::new(prefix), call.auth.form_token(FORM, &digest));
    let action = format!("{prefix}/step-up");
    let enrol = match &returns {
        Some((_, target)) => navigation::totp_url(target, call.auth, call.snapshot),
        None => format!("{prefix}/totp"),
    };
    let settings = &call.snapshot.settings;
    let labels: Vec<(String, String)> = ways
        .providers
        .iter()
        .filter_map(|id| settings.providers.find(id))
        .filter(|provider| proves_again(provider.settings().preset))
        .map(|provider| (provider.id().to_string(), provider.settings().label.clone()))
        .collect();
    let content = Page::StepUp(StepUpPage {
        account: links.account(identity.login().as_str(), &csrf),
        action: &action,
        return_to: returns.as_ref().map(|(packed, _)| *packed),
        needs_factor,
        has_code: ways.has_code,
        passkey: request.as_ref().map(PasskeyRequest::as_parts),
        // A password is no second factor.
        has_password: ways.has_password && !needs_factor,
        providers: &labels,
        enrol: &enrol,
        problem: problem.as_ref().map(|(_, problem)| *problem),
    });
    Ok(match problem {
        None => page(call, &content),
        Some((refusal, _)) => refused_page(call, &refusal, &content),
    })
}
