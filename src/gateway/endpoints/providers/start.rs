//! `GET start`: sends the browser to the provider.

use std::sync::Arc;

use super::{address, flow_cookie, flow_cookies, hold, is_account_refused, other_account};
use crate::error::{ProviderRefusal, Refusal};
use crate::gateway::authorize::navigation::{self, Audience};
use crate::gateway::endpoints::form::Form;
use crate::gateway::endpoints::{Call, EndpointError, OwnResponse};
use crate::identity::Email;
use crate::policy::return_to;
use crate::provider::{AuthorizationRequest, FLOW_LIFETIME, FlowPurpose, Provider, ProviderError};

/// Maximum number of sign-ins in progress in one browser. Their cookies must fit into a request header.
const MAX_FLOWS: usize = 8;

/// Fields of the start address.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::gateway::endpoints) struct Start<'a> {
    /// Signed target to return to.
    pub(in crate::gateway::endpoints) return_to: Option<&'a str>,
    /// Whether the session is kept when the browser closes.
    pub(in crate::gateway::endpoints) remember: bool,
    /// Address to fill in at the provider.
    pub(in crate::gateway::endpoints) login_hint: Option<&'a str>,
}

/// Returns the path that starts a sign-in at a provider.
pub(in crate::gateway::endpoints) fn start_url(
    call: &Call<'_>,
    provider: &Provider,
    start: Start<'_>,
) -> String {
    let mut url = format!("{}/providers/{}/start", call.snapshot.server.auth_prefix, provider.id());
    let remember = start.remember.then_some("on");
    let fields = [("return_to", start.return_to), ("remember", remember), ("login_hint", start.login_hint)];
    let given = fields.iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    for (at, (name, value)) in given.enumerate() {
        url.push(if at == 0 { '?' } else { '&' });
        url.push_str(&format!("{name}={}", return_to::escape(value)));
    }
    url
}

/// Returns the provider that everybody signs in with: there is one, and no password.
pub(in crate::gateway::endpoints) fn only_provider<'a>(call: &'a Call<'_>) -> Option<&'a Arc<Provider>> {
    let settings = &call.snapshot.settings;
    let mut providers = settings.providers.iter();
    let first = providers.next().filter(|_| !settings.passwords);
    if providers.next().is_some() { None } else { first }
}

/// Returns the provider that an e-mail address chooses.
pub(in crate::gateway::endpoints) fn provider_of_address<'a>(
    call: &'a Call<'_>,
    address: &str,
) -> Option<&'a Arc<Provider>> {
    // The one reading of addresses: that of the vault, of `allowed_domains` and `trust_email`.
    let address: Email = address.parse().ok()?;
    let is_of = |domain: &String| domain == address.domain();
    let mut providers = call.snapshot.settings.providers.iter();
    providers.find(|provider| provider.settings().email_domains.iter().any(is_of))
}

/// `GET start`: begins a sign-in. A signed-in user goes on to `return_to`.
pub(super) async fn start(
    call: &mut Call<'_>,
    provider: &Arc<Provider>,
) -> Result<OwnResponse, EndpointError> {
    // A script cannot follow to the provider, and each of its requests would begin a sign-in that nobody ends.
    if navigation::audience(call.session.req_header()) != Audience::Page {
        return Err(Refusal::RequestInvalid("open this address in a browser".into()).into());
    }
    let query = Form::parse(call.query())?;
    let target = query.get("return_to").and_then(|packed| navigation::return_target(packed, call.auth));
    let target = target.unwrap_or_else(|| "/".to_owned());
    match call.browser_user().await {
        Ok(_) => return Ok(OwnResponse::see_other(&target)),
        Err(undecided @ (Refusal::StoreUnavailable | Refusal::Overloaded | Refusal::Internal)) => {
            return Err(undecided.into());
        }
        Err(_) => {}
    }
    *call.return_to = Some(target.clone());
    let remember = query.get("remember").is_some();
    let request = AuthorizationRequest {
        login_hint: query.get("login_hint"),
        prompt: is_account_refused(call).then(|| other_account(provider.settings().preset)).flatten(),
    };
    leave(call, provider, &target, FlowPurpose::SignIn, remember, &request).await
}

/// Begins a flow, and sends the browser to the provider.
pub(super) async fn leave(
    call: &mut Call<'_>,
    provider: &Arc<Provider>,
    return_to: &str,
    purpose: FlowPurpose,
    remember: bool,
    request: &AuthorizationRequest<'_>,
) -> Result<OwnResponse, EndpointError> {
    let begun_at = call.auth.monotonic();
    let begun =
        call.auth.begin_flow(provider, return_to, purpose, remember, |suffix| flow_cookie(call, suffix));
    let redirect_uri = address(call, provider, "callback");
    let url = match provider.authorization_url(&begun.flow, &redirect_uri, request).await {
        Ok(url) => url,
        Err(error) => {
            let refusal = failed(provider, &error);
            call.auth.count_provider_sign_in(provider, refusal.code(), begun_at);
            hold(call);
            return Err(refusal.into());
        }
    };
    // The oldest of too many go: their tabs were most likely left.
    let flows = flow_cookies(call);
    for name in flows.iter().take((flows.len() + 1).saturating_sub(MAX_FLOWS)) {
        call.cookies.push(name, "", call.snapshot, Some(std::time::Duration::ZERO));
    }
    let name = flow_cookie(call, &begun.suffix);
    call.cookies.push(&name, &begun.value, call.snapshot, Some(FLOW_LIFETIME));
    // A browser takes the fragment of the app's address through every redirect, to scripts of the page at their end, unless a
    // redirect has a fragment of its own: an empty one is enough (Fetch, HTTP-redirect fetch).
    Ok(OwnResponse::see_other(&format!("{url}#")))
}

/// Logs a failure at a provider; returns the refusal for the person.
pub(super) fn failed(provider: &Provider, error: &ProviderError) -> Refusal {
    let refusal = match error {
        ProviderError::Denied(_) if !error.is_away() => ProviderRefusal::Denied,
        error if error.is_away() => ProviderRefusal::Away,
        // The code was used before: the address was loaded again.
        ProviderError::InvalidGrant | ProviderError::OtherProvider => ProviderRefusal::FlowLost,
        _ => ProviderRefusal::Failed,
    };
    tracing::warn!(
        reason = "provider_sign_in_failed",
        provider = %provider.id(),
        code = refusal.code(),
        cause = %format_args!("{}: {error}", error.reason()),
        "a sign-in at a provider failed"
    );
    refusal.into()
}
