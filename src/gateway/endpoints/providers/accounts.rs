//! Accounts at providers on the account page: linked and unlinked by the user.

use std::sync::Arc;

use super::other_account;
use super::start::leave;
use crate::error::Refusal;
use crate::gateway::endpoints::browser_page::submitted;
use crate::gateway::endpoints::{Call, EndpointError, OwnResponse, factors};
use crate::id::SessionId;
use crate::identity::Identity;
use crate::pages::LinkedAccount;
use crate::provider::{AuthorizationRequest, FlowPurpose, Prompt, Provider};
use crate::vault::ProviderAccount;

/// Returns the accounts of a user for the account page: those that are linked, then the providers that are not.
/// `has_password`: the user can sign in without any of them.
pub(in crate::gateway::endpoints) async fn linked(
    call: &Call<'_>,
    identity: &Identity,
    has_password: bool,
) -> Result<Vec<LinkedAccount>, Refusal> {
    let providers = &call.snapshot.settings.providers;
    if providers.is_empty() {
        return Ok(Vec::new());
    }
    let links = call.auth.accounts_of(identity).await?;
    let at = |provider: &str, step: &str| {
        format!("{}/providers/{provider}/{step}", call.snapshot.server.auth_prefix)
    };
    let mut accounts = Vec::new();
    for link in &links {
        let id = &link.account.provider;
        // An account of a provider that was removed says nothing to the user, and opens nothing.
        let Some(provider) = providers.find(id) else { continue };
        accounts.push(LinkedAccount {
            label: provider.settings().label.clone(),
            action: Some(at(id, "unlink")),
            subject: Some(link.account.subject.clone()),
            issuer: Some(link.account.issuer.clone()),
            used_at: Some(link.used_at),
        });
    }
    // The last way to sign in stays.
    if let ([only], false) = (accounts.as_mut_slice(), has_password) {
        only.action = None;
    }
    for provider in providers.iter() {
        let id = provider.id().as_str();
        if links.iter().all(|link| link.account.provider != id) {
            accounts.push(LinkedAccount {
                label: provider.settings().label.clone(),
                action: Some(at(id, "link")),
                subject: None,
                issuer: None,
                used_at: None,
            });
        }
    }
    Ok(accounts)
}

/// `POST link`, a form: sends the browser to the provider; the callback links the account.
pub(super) async fn link(
    call: &mut Call<'_>,
    provider: &Arc<Provider>,
) -> Result<OwnResponse, EndpointError> {
    submitted(call).await?;
    let identity = call.browser_user().await?;
    if let Err(refusal) = call.auth.require_recent_proof(&identity).await {
        return factors::proven_first(call, refusal, &accounts_page(call));
    }
    let purpose = FlowPurpose::Link(identity.session_id());
    let request = AuthorizationRequest {
        prompt: other_account(provider.settings().preset),
        ..AuthorizationRequest::default()
    };
    let account = format!("{}/account", call.snapshot.server.auth_prefix);
    leave(call, provider, &account, purpose, false, &request).await
}

/// Returns the URL of the accounts on the account page.
fn accounts_page(call: &Call<'_>) -> String {
    format!("{}/account#accounts", call.snapshot.server.auth_prefix)
}

/// Sends the browser to the provider for a fresh proof of its session.
pub(in crate::gateway::endpoints) async fn step_up(
    call: &mut Call<'_>,
    provider: &Arc<Provider>,
    session: SessionId,
    return_to: &str,
) -> Result<OwnResponse, EndpointError> {
    let request = AuthorizationRequest { prompt: Some(Prompt::Login), ..AuthorizationRequest::default() };
    leave(call, provider, return_to, FlowPurpose::StepUp(session), false, &request).await
}

/// `POST unlink`, a form: unlinks an account.
pub(super) async fn unlink(
    call: &mut Call<'_>,
    provider: &Arc<Provider>,
) -> Result<OwnResponse, EndpointError> {
    let form = submitted(call).await?;
    let identity = call.browser_user().await?;
    if let Err(refusal) = call.auth.require_recent_proof(&identity).await {
        return factors::proven_first(call, refusal, &accounts_page(call));
    }
    let missing = || Refusal::RequestInvalid("issuer, subject: missing".into());
    let account = ProviderAccount {
        provider: provider.id().as_str().to_owned(),
        issuer: form.get("issuer").ok_or_else(missing)?.to_owned(),
        subject: form.get("subject").ok_or_else(missing)?.to_owned(),
    };
    call.auth.unlink_account(&identity, account, &call.snapshot.settings).await?;
    Ok(OwnResponse::see_other(&format!("{}/account", call.snapshot.server.auth_prefix)))
}
