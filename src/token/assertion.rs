//! The assertion: a JWT (RFC 7519) that tells one app who the signed-in user is. Apps verify it with the published keys. It is no
//! credential at this gateway, whose access tokens have another type.

use std::time::Duration;

use serde::Serialize;

use super::keyring::KeySet;
use crate::clock::Timestamp;
use crate::id::base64url;
use crate::identity::{Identity, Proof};

/// Lifetime of an assertion. It is made for requests that are on their way: shorter would refuse apps with a slow clock or a queue,
/// longer would make a leaked one more useful.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// The claims.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    login: &'a str,
    iat: i64,
    exp: i64,
    sid: String,
    roles: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amr: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
}

/// Signs an assertion about `identity` for the app `audience`. `None` while no key signs yet.
pub fn issue(
    issuer: &str,
    audience: &str,
    identity: &Identity,
    now: Timestamp,
    keys: &KeySet,
) -> Option<String> {
    let key = keys.access_signer(now)?;
    let attributes = identity.attributes();
    let email = attributes.email();
    // A token of an earlier release states no proof.
    let proof = Some(identity.proof()).filter(|proof| *proof != Proof::NONE);
    let claims = Claims {
        iss: issuer,
        aud: audience,
        sub: identity.user_id().to_string(),
        login: identity.login().as_str(),
        iat: now.secs(),
        exp: (now + LIFETIME).secs(),
        sid: identity.session_id().to_string(),
        roles: identity.roles().iter().map(|role| role.as_str()).collect(),
        email: email.map(|email| email.as_str()),
        email_verified: email.map(|_| attributes.email_verified()),
        name: attributes.name().map(|name| name.as_str()),
        amr: proof.map(|proof| proof.methods.names().collect()),
        acr: proof.map(|proof| proof.methods.acr()),
        auth_time: proof.map(|proof| proof.at.secs()),
    };
    let claims = serde_json::to_vec(&claims).expect("strings and numbers serialise");
    let message = format!("{}.{}", key.assertion_header, base64url(claims));
    let signature = key.sign(&message);
    Some(format!("{message}.{signature}"))
}
