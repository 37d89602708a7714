//! `POST backchannel-logout`: the provider ends sessions (OpenID Connect Back-Channel Logout 1.0 section 2.5).

use std::sync::Arc;

use serde_json::json;

use crate::auth::LoggedOut;
use crate::error::{ProviderRefusal, Refusal};
use crate::gateway::endpoints::browser_page::is_form;
use crate::gateway::endpoints::{Call, EndpointError, OwnResponse};
use crate::provider::Provider;

/// `POST backchannel-logout`: verifies `logout_token`, and ends its sessions. 200 also when none was alive; 400 with an
/// error code for a bad token; 429 after too many of them; 503 when it cannot be decided, so that the provider sends it again.
pub(super) async fn log_out(
    call: &mut Call<'_>,
    provider: &Arc<Provider>,
) -> Result<OwnResponse, EndpointError> {
    if !is_form(call.headers()) {
        return Err(Refusal::MediaTypeUnsupported.into());
    }
    let result = ended(call, provider).await;
    let outcome = match &result {
        Ok(_) => "ok",
        Err(EndpointError::Refused(refusal)) => refusal.code(),
        Err(EndpointError::Transport(_)) => "hung_up",
    };
    call.auth.count_provider_logout(provider, outcome);
    match result {
        Ok(_) => Ok(OwnResponse::json(&json!({}))),
        Err(EndpointError::Refused(refusal @ Refusal::Provider(ProviderRefusal::LogoutTokenInvalid))) => {
            // The form of section 2.8: `error` beside the fields of a problem document.
            Ok(OwnResponse::logout_refused(&refusal, call.log.request_id.as_ref()))
        }
        Err(error) => Err(error),
    }
}

async fn ended(call: &mut Call<'_>, provider: &Arc<Provider>) -> Result<usize, EndpointError> {
    let invalid = Refusal::from(ProviderRefusal::LogoutTokenInvalid);
    let form = call.form().await?;
    let token = form.get("logout_token").ok_or(invalid.clone())?;
    let charge = call.auth.charge_logout_token(call.address(), &call.snapshot.settings).await?;
    let ended = match call.auth.read_logout_token(provider, token).await {
        Ok(token) => call.auth.log_out_by_provider(token).await,
        Err(refusal) => Err(refusal),
    };
    match ended {
        // An attacker may send any number of these.
        Err(ref refusal) if *refusal == invalid => {}
        Ok(LoggedOut::Replayed) => {}
        _ => call.auth.refund_logout_token(charge),
    }
    match ended? {
        LoggedOut::Ended(sessions) => Ok(sessions),
        LoggedOut::Replayed => Err(invalid.into()),
    }
}
