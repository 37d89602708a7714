//! Logout token (OpenID Connect Back-Channel Logout 1.0 sections 2.4 and 2.6): the checks of its claims.

use std::time::Duration;

use serde_json::{Map, Value};

use super::id_token::{Expected, LEEWAY, subject, time};
use crate::config::ProviderId;
use crate::provider::error::TokenError;
use crate::provider::person::LogoutToken;

/// Event that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Maximum age of a token without `exp`, which the text of 2022 does not ask for.
const WITHOUT_EXPIRY: Duration = Duration::from_mins(2);

/// Maximum time until a token expires: its `jti` is remembered for as long.
const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// Maximum length of `jti` and `sid`, in bytes.
const MAX_ID: usize = 255;

/// Checks the claims of a token with a valid signature.
///
/// # Errors
/// [`TokenError`].
pub(in crate::provider) fn check(
    claims: &Map<String, Value>,
    expected: &Expected<'_>,
    provider: &ProviderId,
) -> Result<LogoutToken, TokenError> {
    expected.check(claims)?;
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(TokenError::Event);
    }
    // An ID token must not pass as a logout token.
    if claims.contains_key("nonce") {
        return Err(TokenError::Nonce);
    }
    let now = expected.now;
    let issued_at = time(claims, "iat")?.ok_or(TokenError::Malformed)?;
    let expires_at = time(claims, "exp")?.unwrap_or(issued_at + WITHOUT_EXPIRY) + LEEWAY;
    if expires_at <= now {
        return Err(TokenError::Expired);
    }
    if expires_at > now + MAX_LIFETIME {
        return Err(TokenError::Time);
    }
    let id = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(Value::String(id)) if !id.is_empty() && id.len() <= MAX_ID => Ok(Some(id.clone())),
        Some(_) => Err(TokenError::Malformed),
    };
    let (sid, jti) = (id("sid")?, id("jti")?.ok_or(TokenError::Malformed)?);
    let subject = match claims.contains_key("sub") {
        true => Some(subject(claims).ok_or(TokenError::Malformed)?.to_owned()),
        false => None,
    };
    if subject.is_none() && sid.is_none() {
        return Err(TokenError::Malformed);
    }
    let issuer = claims.get("iss").and_then(Value::as_str).ok_or(TokenError::Malformed)?.to_owned();
    Ok(LogoutToken { provider: provider.clone(), issuer, subject, sid, jti, expires_at })
}
