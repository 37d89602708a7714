//! `GET callback`: the browser comes back from the provider.

use std::sync::Arc;
use std::time::Duration;

use super::start::failed;
use super::{address, flow_cookie, hold, hold_after, query};
use crate::auth::{Client, ProviderSignIn};
use crate::error::{ProviderRefusal, Refusal};
use crate::gateway::authorize::authentication::refresh_cookie;
use crate::gateway::authorize::credential::cookie_fields;
use crate::gateway::authorize::navigation;
use crate::gateway::authorize::set_cookies::ROOM;
use crate::gateway::endpoints::{Call, EndpointError, OwnResponse, factors, login};
use crate::id::SessionId;
use crate::policy::cookies::{self, Found};
use crate::provider::{Callback, Flow, FlowPurpose, Person, Provider, ProviderError, cookie_suffix};

/// `GET callback`: exchanges the code, and signs the person in or links the account. The flow's cookie is used up.
pub(super) async fn callback(
    call: &mut Call<'_>,
    provider: &Arc<Provider>,
) -> Result<OwnResponse, EndpointError> {
    let begun = call.auth.monotonic();
    let result = answer(call, provider).await;
    let outcome = match &result {
        Ok(_) => "ok",
        Err(EndpointError::Refused(refusal)) => refusal.code(),
        Err(EndpointError::Transport(_)) => "hung_up",
    };
    call.auth.count_provider_sign_in(provider, outcome, begun);
    // Nobody is sent back without asking for a while.
    match &result {
        Ok(_) => {}
        Err(EndpointError::Refused(refusal)) => hold_after(call, refusal),
        Err(EndpointError::Transport(_)) => hold(call),
    }
    result
}

async fn answer(call: &mut Call<'_>, provider: &Arc<Provider>) -> Result<OwnResponse, EndpointError> {
    let lost = |cause: String| {
        tracing::info!(reason = "provider_callback_lost", provider = %provider.id(), cause, "no sign-in belongs to a callback");
        Refusal::from(ProviderRefusal::FlowLost)
    };
    let callback = Callback::parse(query(call)?).map_err(|error| lost(error.to_string()))?;
    let name = flow_cookie(call, &cookie_suffix(callback.state()));
    let found = match cookies::find(cookie_fields(call.headers()), &name) {
        Found::One(value) => Ok(value.to_owned()),
        Found::None => Err("the browser sent no cookie of it"),
        Found::Several => Err("the browser sent two cookies of it"),
    };
    let value = match found {
        Ok(value) => value,
        // The Back button after a sign-in, or an address that was loaded again.
        Err(_) if call.browser_user().await.is_ok() => return Ok(OwnResponse::see_other("/")),
        Err(cause) => return Err(lost(cause.into()).into()),
    };
    call.cookies.push(&name, "", call.snapshot, Some(Duration::ZERO));
    let flow =
        call.auth.open_flow(&value, &name, callback.state()).map_err(|error| lost(error.to_string()))?;
    if flow.provider != *provider.id() {
        return Err(lost("it was begun at another provider".into()).into());
    }
    let link = match flow.purpose {
        FlowPurpose::SignIn => {
            *call.return_to = Some(flow.return_to.clone());
            None
        }
        FlowPurpose::Link(session) | FlowPurpose::StepUp(session) => Some(session),
    };
    // Before the code is used: somebody else may have opened the address.
    let owner = match link {
        Some(session) => Some(same_session(call, session).await?),
        None => None,
    };
    let redirect_uri = address(call, provider, "callback");
    let charge = call.auth.charge_callback(call.address(), &call.snapshot.settings).await?;
    let redeemed = call.auth.redeem(provider, &callback, &flow, &redirect_uri).await;
    if !matches!(redeemed, Err(ProviderError::InvalidGrant)) {
        call.auth.refund_callback(charge);
    }
    let person = match redeemed {
        Ok(person) => person,
        Err(error) => return Err(failed(provider, &error).into()),
    };
    match owner {
        None => sign_in(call, provider, &flow, person).await,
        Some(identity) if matches!(flow.purpose, FlowPurpose::StepUp(_)) => {
            let proof = call.auth.proof_by_provider(&identity, provider, &person).await?;
            factors::replace(call, &identity, proof).await?;
            Ok(OwnResponse::see_other(&flow.return_to))
        }
        Some(identity) => {
            call.auth.link_account(&identity, provider, &person).await?;
            Ok(OwnResponse::see_other(&flow.return_to))
        }
    }
}

/// Returns the user of the request, if it comes with the session that began the flow.
async fn same_session(
    call: &mut Call<'_>,
    session: SessionId,
) -> Result<Arc<crate::identity::Identity>, Refusal> {
    // Nobody signs in to come back here: the flow is over.
    let identity = call.browser_user().await.map_err(|refusal| {
        if navigation::is_answered_by_sign_in(&refusal) { ProviderRefusal::FlowLost.into() } else { refusal }
    })?;
    if identity.session_id() == session { Ok(identity) } else { Err(ProviderRefusal::FlowLost.into()) }
}

async fn sign_in(
    call: &mut Call<'_>,
    provider: &Arc<Provider>,
    flow: &Flow,
    person: Person,
) -> Result<OwnResponse, EndpointError> {
    let client = Client { address: call.address(), user_agent: call.user_agent(), devices: call.devices() };
    let before = refresh_cookie(call.headers(), &call.snapshot.cookies).map(str::to_owned);
    let request = ProviderSignIn {
        provider,
        person,
        began_at: flow.started_at,
        client,
        remember: flow.remember,
        room: ROOM,
        before: before.as_deref(),
        return_to: &flow.return_to,
    };
    let step = call.auth.sign_in_at_provider(request, &call.snapshot.settings).await?;
    Ok(login::signed_in_or_waiting(call, step, &flow.return_to))
}
