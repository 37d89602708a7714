//! Sign-in, token refresh and sign-out.

use serde_json::{Value, json};

use crate::auth::{LoginRequest, Propagation, Revoked, Tokens};
use crate::error::Refusal;
use crate::gateway::endpoints::{Accept, Call, OwnResponse};
use crate::password::Password;
use crate::secret::Secret;
use crate::vault::EndReason;

/// `POST login`: `{username, password}` -> tokens.
pub(crate) async fn login(call: &mut Call<'_>) -> pingora::Result<Result<OwnResponse, Refusal>> {
    let fields = call.fields().await?;
    let request = fields.and_then(|mut fields| {
        let (username, password) = (fields.string("username")?, fields.string("password")?);
        // Login names have no spaces.
        let username = Secret::new(username.expose().trim().to_owned());
        fields.done(&["username", "password"])?;
        let password = Password::new(password.expose())
            .map_err(|_| Refusal::RequestInvalid("password: too long".into()))?;
        let (address, user_agent, devices) = (call.address(), call.user_agent(), call.devices());
        Ok(LoginRequest { username, password, address, user_agent, devices })
    });
    let request = match request {
        Ok(request) => request,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(token_response(call, call.auth.login(request, &call.snapshot.settings).await))
}

/// `POST refresh`: `{refresh_token}` -> tokens.
pub(crate) async fn refresh(call: &mut Call<'_>) -> pingora::Result<Result<OwnResponse, Refusal>> {
    let token = call.fields().await?.and_then(|mut fields| {
        let token = fields.string("refresh_token")?;
        fields.done(&["refresh_token"])?;
        Ok(token)
    });
    let token = match token {
        Ok(token) => token,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(token_response(call, call.auth.refresh(token.expose(), &call.snapshot.settings).await))
}

/// `POST logout`: ends the session of the bearer token; with `{refresh_token}`, the session of that token, for clients with an
/// expired access token.
pub(crate) async fn logout(call: &mut Call<'_>) -> pingora::Result<Result<OwnResponse, Refusal>> {
    let token = call.fields().await?.and_then(|mut fields| {
        let token = fields.optional("refresh_token")?;
        fields.done(&["refresh_token"])?;
        Ok(token)
    });
    let revoked = match token {
        Err(refusal) => Err(refusal),
        Ok(Some(token)) => call.auth.logout_by_refresh(token.expose(), &call.snapshot.settings).await,
        Ok(None) => match call.caller(Accept::Bearer).await {
            Err(refusal) => Err(refusal),
            Ok(caller) => {
                let (session, user) = (caller.session_id(), caller.user_id());
                call.unregister();
                call.auth.end_session(session, user, EndReason::Logout).await
            }
        },
    };
    Ok(revoked.map(|revoked| ended(&revoked)))
}

/// `POST logout-all`: ends every session of the bearer's user.
pub(crate) async fn logout_all(call: &mut Call<'_>) -> Result<OwnResponse, Refusal> {
    let caller = call.caller(Accept::Bearer).await?;
    call.unregister();
    call.auth.end_all(caller.user_id()).await.map(|revoked| ended(&revoked))
}

/// Returns the response after sessions were ended.
pub(crate) fn ended(revoked: &Revoked) -> OwnResponse {
    let propagation = match revoked.propagation {
        Propagation::Complete => "complete",
        Propagation::Vault => "vault",
    };
    OwnResponse::json(&json!({ "ended": revoked.sessions, "propagation": propagation }))
}

fn token_response(call: &Call<'_>, tokens: Result<Tokens, Refusal>) -> Result<OwnResponse, Refusal> {
    let tokens = tokens?;
    call.account.opened(tokens.session_id);
    Ok(OwnResponse::json(&wire(&tokens)))
}

fn wire(tokens: &Tokens) -> Value {
    json!({
        "access_token": tokens.access_token.expose(),
        "token_type": "Bearer",
        "expires_in": tokens.expires_in.as_secs(),
        "refresh_token": tokens.refresh_token.expose(),
        "session_id": tokens.session_id.to_string(),
    })
}
