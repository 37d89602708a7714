//! `me`: identity of the caller.

use serde_json::json;

use super::browser_page::form_token;
use crate::identity::Proof;

use super::{Accept, Call, EndpointError, OwnResponse};

/// `GET me`: the caller's identity, from the token. Absent attributes are absent members. A script in a browser also gets the token for forms; scripts of other origins cannot read it.
pub(super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.caller(Accept::CookieOrBearer).await?;
    let roles: Vec<&str> = identity.roles().iter().map(|role| role.as_str()).collect();
    let mut me = json!({
        "user": identity.login().as_str(),
        "user_id": identity.user_id().to_string(),
        "roles": roles,
        "session_id": identity.session_id().to_string(),
        "expires_at": identity.expires_at().to_string(),
    });
    let attributes = identity.attributes();
    if let Some(email) = attributes.email() {
        me["email"] = email.as_str().into();
        me["email_verified"] = attributes.email_verified().into();
    }
    let proof = identity.proof();
    if proof != Proof::NONE {
        me["amr"] = proof.methods.names().collect();
        me["acr"] = proof.methods.acr().into();
        me["auth_time"] = proof.at.secs().into();
    }
    if let Some(name) = attributes.name() {
        me["name"] = name.as_str().into();
    }
    if let Some(csrf) = form_token(call) {
        me["csrf"] = csrf.into();
    }
    Ok(OwnResponse::json(&me))
}
