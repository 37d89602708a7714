//! `passkey`, `passkey/remove`: passkeys of a signed-in user.

use std::time::Duration;

use super::passkey_fields::{response, shown};
use super::second_step::codes_page;
use super::{problem, proven_first, return_target, step_up};
use crate::auth::{PasskeyRequest, StepUpProof};
use crate::error::Refusal;
use crate::gateway::endpoints::browser_page::{FORM, page, refused_page, session_digest, submitted};
use crate::gateway::endpoints::form::Form;
use crate::gateway::endpoints::{Call, EndpointError, OwnResponse};
use crate::id::from_base64url;
use crate::identity::Identity;
use crate::pages::{FactorProblem, Page, PasskeyPage};
use crate::vault::RemovedFactor;

/// Time for which a browser that put it off is not offered a passkey again.
const PUT_OFF: Duration = Duration::from_hours(24 * 30);

fn account(call: &Call<'_>) -> String {
    format!("{}/{}", call.snapshot.server.auth_prefix, super::totp::ANCHOR)
}

/// `GET passkey`: the page that sets up a passkey.
pub(in crate::gateway::endpoints) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.browser_user().await?;
    let query = Form::parse(call.query()).unwrap_or_default();
    form_page(call, &identity, &query, None).await
}

/// `POST passkey`, a form: enrols the passkey, or puts the offer off. The session counts as one with the passkey from now on.
pub(in crate::gateway::endpoints) async fn submit(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let form = submitted(call).await?;
    let identity = call.browser_user().await?;
    let target = return_target(call, &form).map(|(_, target)| target);
    if form.get("later").is_some() {
        call.cookies.push(call.snapshot.cookies.put_off, "1", call.snapshot, Some(PUT_OFF));
        return Ok(OwnResponse::see_other(target.as_deref().unwrap_or("/")));
    }
    let Some(given) = response(&form) else {
        let refusal = Refusal::RequestInvalid("passkey, passkey_state: missing".into());
        return form_page(call, &identity, &form, Some((refusal, FactorProblem::Incomplete))).await;
    };
    let digest = session_digest(call).ok_or(Refusal::TokenMissing)?;
    let name = form.get("name").unwrap_or_default();
    let settings = &call.snapshot.settings;
    let enrolled = call.auth.enrol_passkey_in_session(&identity, &digest, given, name, settings).await;
    let (enrolled, methods) = match enrolled {
        Ok(enrolled) => enrolled,
        Err(refusal @ Refusal::ProofMissing { .. }) => return proven_first(call, refusal, &account(call)),
        Err(refusal) => {
            return match problem(&refusal) {
                Some(problem) => form_page(call, &identity, &form, Some((refusal, problem))).await,
                None => Err(refusal.into()),
            };
        }
    };
    let target = target.unwrap_or_else(|| account(call));
    step_up::replace(call, &identity, StepUpProof::Enrolled(methods)).await?;
    Ok(match enrolled.codes {
        Some(codes) => codes_page(call, &codes, &target),
        None => OwnResponse::see_other(&target),
    })
}

/// `POST passkey/remove`, a form.
pub(in crate::gateway::endpoints) async fn remove(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let form = submitted(call).await?;
    let identity = call.browser_user().await?;
    let id = form.get("id").filter(|id| id.len() <= 2048).and_then(from_base64url);
    let id = id.ok_or_else(|| Refusal::RequestInvalid("id: missing or malformed".into()))?;
    let removed = RemovedFactor::Passkey(id);
    match call.auth.remove_factor(&identity, removed, &call.snapshot.settings).await {
        Ok(()) => Ok(OwnResponse::see_other(&account(call))),
        Err(refusal) => proven_first(call, refusal, &account(call)),
    }
}

async fn form_page(
    call: &mut Call<'_>,
    identity: &Identity,
    fields: &Form,
    problem: Option<(Refusal, FactorProblem)>,
) -> Result<OwnResponse, EndpointError> {
    let digest = session_digest(call).ok_or(Refusal::TokenMissing)?;
    let offered = call.auth.passkey_enrolment_in_session(identity, &digest, &call.snapshot.settings).await;
    let request = match offered {
        Ok(request) => request.ok_or(Refusal::RouteUnknown)?,
        Err(refusal) => {
            let own = crate::gateway::request::request_target::origin_form(call.session.req_header());
            let target = crate::policy::return_to::normalized(own).unwrap_or_else(|| account(call));
            return proven_first(call, refusal, &target);
        }
    };
    let request = shown(call, Some(request));
    let csrf = call.auth.form_token(FORM, &digest);
    let action = format!("{}/passkey", call.snapshot.server.auth_prefix);
    let returns = return_target(call, fields);
    let account = account(call);
    let content = Page::Passkey(PasskeyPage {
        action: &action,
        csrf: &csrf,
        user: identity.login().as_str(),
        return_to: returns.as_ref().map(|(packed, _)| *packed),
        later: returns.as_ref().map_or(account.as_str(), |(_, target)| target),
        is_offer: returns.is_some(),
        passkey: request.as_ref().map(PasskeyRequest::as_parts),
        problem: problem.as_ref().map(|(_, problem)| *problem),
    });
    Ok(match problem {
        None => page(call, &content),
        Some((refusal, _)) => refused_page(call, &refusal, &content),
    })
}
