//! `totp`, `totp/remove`, `recovery-codes`: authenticator apps and recovery codes of a signed-in user.

use serde_json::json;

use super::second_step::codes_page;
use super::{passkey_fields, problem, proven_first, return_target, step_up};
use crate::auth::StepUpProof;
use crate::error::Refusal;
use crate::factor::qr_code;
use crate::gateway::endpoints::browser_page::{FORM, page, refused_page, session_digest, submitted};
use crate::gateway::endpoints::form::Form;
use crate::gateway::endpoints::{Call, EndpointError, OwnResponse};
use crate::id::base64url;
use crate::identity::{Identity, Methods};
use crate::pages::{FactorItem, FactorProblem, FactorSection, Page, TotpPage};
use crate::vault::RemovedFactor;

/// Anchor of the factors on the account page.
pub(super) const ANCHOR: &str = "account#factors";

fn account(call: &Call<'_>) -> String {
    format!("{}/{ANCHOR}", call.snapshot.server.auth_prefix)
}

/// Returns the section of the account page.
pub(in crate::gateway::endpoints) async fn on_account(
    call: &Call<'_>,
    identity: &Identity,
) -> Result<FactorSection, Refusal> {
    let factors = call.auth.factors_of(identity.user_id()).await?;
    let at = |path: &str| format!("{}/{path}", call.snapshot.server.auth_prefix);
    let items = factors.totp.iter().map(|app| FactorItem {
        id: app.id.to_string(),
        name: app.name.clone(),
        created_at: app.created_at,
        used_at: app.used_at,
    });
    let keys = factors.passkeys.iter().map(|passkey| FactorItem {
        id: base64url(&passkey.credential_id),
        name: passkey.name.clone(),
        created_at: passkey.created_at,
        used_at: passkey.used_at,
    });
    let relying_party = call.snapshot.settings.passkeys.as_ref().filter(|_| passkey_fields::is_usable(call));
    // The browser's password manager removes those that are not listed: all of them, always.
    let accepted = relying_party.filter(|_| !factors.passkeys.is_empty()).map(|relying_party| {
        let ids: Vec<String> = factors.passkeys.iter().map(|one| base64url(&one.credential_id)).collect();
        let user = base64url(identity.user_id().as_bytes());
        json!({"rpId": relying_party.id(), "userId": user, "allAcceptedCredentialIds": ids}).to_string()
    });
    Ok(FactorSection {
        apps: items.collect(),
        passkeys: keys.collect(),
        add_passkey: relying_party.map(|_| at("passkey")),
        remove_passkey: at("passkey/remove"),
        accepted_passkeys: accepted,
        recovery_codes: factors.is_enrolled().then_some(factors.recovery_codes),
        add: at("totp"),
        remove: at("totp/remove"),
        new_codes: at("recovery-codes"),
    })
}

/// `GET totp`: a new authenticator app.
pub(in crate::gateway::endpoints) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.browser_user().await?;
    let query = Form::parse(call.query()).unwrap_or_default();
    if let Err(refusal) = call.auth.require_recent_proof(&identity).await {
        let own = crate::gateway::request::request_target::origin_form(call.session.req_header());
        let target = crate::policy::return_to::normalized(own).unwrap_or_else(|| account(call));
        return proven_first(call, refusal, &target);
    }
    form_page(call, &identity, &query, None)
}

/// `POST totp`, a form: enrols the app, and shows recovery codes with the first one. The session counts as one with two factors
/// from now on.
pub(in crate::gateway::endpoints) async fn submit(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let form = submitted(call).await?;
    let identity = call.browser_user().await?;
    let (Some(sealed), Some(code)) = (form.get("secret"), form.get("code")) else {
        let refusal = Refusal::RequestInvalid("secret, code: missing".into());
        return form_page(call, &identity, &form, Some((refusal, FactorProblem::Incomplete)));
    };
    let name = form.get("name").unwrap_or_default();
    let enrolled = match call.auth.enrol_totp_in_session(&identity, sealed, code, name).await {
        Ok(enrolled) => enrolled,
        Err(refusal @ Refusal::ProofMissing { .. }) => return proven_first(call, refusal, &account(call)),
        Err(refusal) => {
            return match problem(&refusal) {
                Some(problem) => form_page(call, &identity, &form, Some((refusal, problem))),
                None => Err(refusal.into()),
            };
        }
    };
    let target = return_target(call, &form).map_or_else(|| account(call), |(_, target)| target);
    step_up::replace(call, &identity, StepUpProof::Enrolled(Methods::CODE)).await?;
    Ok(match enrolled.codes {
        Some(codes) => codes_page(call, &codes, &target),
        None => OwnResponse::see_other(&target),
    })
}

/// `POST totp/remove`, a form.
pub(in crate::gateway::endpoints) async fn remove(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let form = submitted(call).await?;
    let identity = call.browser_user().await?;
    let id = form.get("id").and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| Refusal::RequestInvalid("id: missing or malformed".into()))?;
    let removed = call.auth.remove_factor(&identity, RemovedFactor::Totp(id), &call.snapshot.settings).await;
    match removed {
        Ok(()) => Ok(OwnResponse::see_other(&account(call))),
        Err(refusal) => proven_first(call, refusal, &account(call)),
    }
}

/// `POST recovery-codes`, a form: new codes, shown once.
pub(in crate::gateway::endpoints) async fn new_codes(
    call: &mut Call<'_>,
) -> Result<OwnResponse, EndpointError> {
    submitted(call).await?;
    let identity = call.browser_user().await?;
    match call.auth.new_recovery_codes(&identity).await {
        Ok(codes) => Ok(codes_page(call, &codes, &account(call))),
        Err(refusal) => proven_first(call, refusal, &account(call)),
    }
}

fn form_page(
    call: &Call<'_>,
    identity: &Identity,
    fields: &Form,
    problem: Option<(Refusal, FactorProblem)>,
) -> Result<OwnResponse, EndpointError> {
    let digest = session_digest(call).ok_or(Refusal::TokenMissing)?;
    let (user, subject, settings) = (identity.user_id(), identity.session_id(), &call.snapshot.settings);
    let login = identity.login().as_str();
    let again = fields
        .get("secret")
        .and_then(|sealed| call.auth.offer_totp_again(sealed, user, login, subject.as_bytes(), settings));
    let offer = again.unwrap_or_else(|| call.auth.offer_totp(user, login, subject.as_bytes(), settings));
    let csrf = call.auth.form_token(FORM, &digest);
    let action = format!("{}/totp", call.snapshot.server.auth_prefix);
    let returns = return_target(call, fields);
    let account = account(call);
    let qr = qr_code(offer.uri.expose());
    let content = Page::Totp(TotpPage {
        action: &action,
        csrf: &csrf,
        user: login,
        secret: offer.secret.expose(),
        sealed: &offer.sealed,
        qr: qr.as_ref().map(|qr| (qr.size, qr.path.as_str())),
        return_to: returns.as_ref().map(|(packed, _)| *packed),
        later: returns.as_ref().map_or(account.as_str(), |(_, target)| target),
        is_needed: false,
        passkey: None,
        problem: problem.as_ref().map(|(_, problem)| *problem),
    });
    Ok(match problem {
        None => page(call, &content),
        Some((refusal, _)) => refused_page(call, &refusal, &content),
    })
}
