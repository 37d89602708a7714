//! Account of the caller: identity, sessions, password.

use serde_json::{Value, json};

use crate::auth::PasswordChange;
use crate::error::Refusal;
use crate::gateway::endpoints::api::sign_in::ended;
use crate::gateway::endpoints::{Accept, Call, OwnResponse, browser};
use crate::id::SessionId;
use crate::password::Password;
use crate::vault::{EndReason, SessionRow};

/// `GET me`: the caller's identity. A script in a browser also gets the token for forms; scripts of other origins cannot read it.
pub(crate) async fn me(call: &mut Call<'_>) -> Result<OwnResponse, Refusal> {
    let identity = call.caller(Accept::CookieOrBearer).await?;
    let roles: Vec<&str> = identity.roles().iter().map(|role| role.as_str()).collect();
    let mut me = json!({
        "user": identity.login().as_str(),
        "user_id": identity.user_id().to_string(),
        "roles": roles,
        "session_id": identity.session_id().to_string(),
        "expires_at": identity.expires_at().to_string(),
    });
    if let Some(csrf) = browser::form_token(call) {
        me["csrf"] = csrf.into();
    }
    Ok(OwnResponse::json(&me))
}

/// `GET sessions`: sessions of the caller's user.
pub(crate) async fn sessions(call: &mut Call<'_>) -> Result<OwnResponse, Refusal> {
    let identity = call.caller(Accept::CookieOrBearer).await?;
    let rows = call.auth.sessions_of(&identity).await?;
    let entry = |row: &SessionRow| {
        json!({
            "session_id": row.grant.session_id.to_string(),
            "current": row.grant.session_id == identity.session_id(),
            "created_at": row.created_at.to_string(),
            "renewed_at": row.renewed_at.to_string(),
            "ends_at": row.grant.ends_at.to_string(),
            "address": row.address.map(|ip| ip.to_string()),
            "user_agent": row.user_agent,
        })
    };
    Ok(OwnResponse::json(&json!({ "sessions": rows.iter().map(entry).collect::<Vec<Value>>() })))
}

/// `DELETE sessions/{sid}`: ends a session of the caller's user.
pub(crate) async fn end_session(call: &mut Call<'_>, id: &str) -> Result<OwnResponse, Refusal> {
    let caller = call.caller(Accept::Bearer).await?;
    let id: SessionId = id.parse().map_err(|_| Refusal::SessionUnknown)?;
    let is_own = id == caller.session_id();
    if is_own {
        call.unregister();
    }
    let reason = if is_own { EndReason::Logout } else { EndReason::User };
    call.auth.end_session(id, caller.user_id(), reason).await.map(|revoked| ended(&revoked))
}

/// `POST password`: `{current_password, new_password}`; changes the password and ends the other sessions.
pub(crate) async fn password(call: &mut Call<'_>) -> pingora::Result<Result<OwnResponse, Refusal>> {
    let identity = match call.caller(Accept::Bearer).await {
        Ok(identity) => identity,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let passwords = call.fields().await?.and_then(|mut fields| {
        let (current, new) = (fields.string("current_password")?, fields.string("new_password")?);
        fields.done(&["current_password", "new_password"])?;
        let long = |name: &str| Refusal::RequestInvalid(format!("{name}: too long"));
        let current = Password::new(current.expose()).map_err(|_| long("current_password"))?;
        Ok((current, Password::new(new.expose()).map_err(|_| long("new_password"))?))
    });
    let (current, new) = match passwords {
        Ok(passwords) => passwords,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (address, registration) = (call.address(), call.registration.as_ref());
    let change = PasswordChange { current, new, address, registration };
    let changed = call.auth.change_password(&identity, change, &call.snapshot.settings).await;
    Ok(changed.map(|changed| ended(&changed.revoked)))
}
