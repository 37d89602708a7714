//! The access token: a JWT of the RFC 9068 profile that only we make and only we check.
//!
//! Because nobody else's tokens are accepted, nothing is negotiated: the header segment must be, to the byte,
//! the one our key puts there, and the claims exactly ours. RFC 8725 is met by having no choice to make.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keyring::KeySet;
use crate::clock::Timestamp;
use crate::id::{Random, SessionId, UserId, base64url, from_base64url};
use crate::identity::{RightsVersion, Roles};
use crate::secret::Secret;

/// Clocks of replicas may differ from the vault's by this much (`iat` and `exp` are the vault's). Each replica
/// corrects by the vault's own time, so seconds are plenty; more would only let dead tokens live.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// No token of ours is longer: 32 roles of 64 characters fit. What is longer is refused before any work.
pub const MAX_LENGTH: usize = 8192;

/// The `client_id` of logins through our own endpoint (RFC 9068 section 2.2 requires one).
pub const FIRST_PARTY_CLIENT: &str = "doorward";

/// Who signs for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `iss`
    pub issuer: String,
    /// `aud`
    pub audience: String,
    /// How long a token lives.
    pub ttl: Duration,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `sid`
    pub session_id: SessionId,
    /// `sub`
    pub user_id: UserId,
    /// `roles`
    pub roles: Roles,
    /// `ver`
    pub rights: RightsVersion,
}

/// An access token and when it ends.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The compact JWT.
    pub token: Secret<String>,
    /// `exp`
    pub expires_at: Timestamp,
}

/// A token whose signature and claims are good. Says nothing about its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub subject: Subject,
    /// `exp`
    pub expires_at: Timestamp,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    /// Garbage, forged, foreign, of the wrong type, from the future.
    #[error("not an access token of this gateway")]
    Invalid,
    /// It was good.
    #[error("the access token has expired")]
    Expired,
    /// Ours by the look of it, under a key this set does not have.
    #[error("an access token under an unknown key")]
    UnknownKey,
}

/// The claims, in the order they are written. Anything more, less or twice is not ours.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    aud: Cow<'a, str>,
    sub: &'a str,
    client_id: &'a str,
    iat: i64,
    exp: i64,
    jti: &'a str,
    sid: &'a str,
    roles: Vec<&'a str>,
    ver: u32,
}

/// Makes a token that begins at `now` and ends at `now + ttl`, but not beyond `ends_at`. `None` while no key
/// signs yet.
pub fn issue(
    profile: &Profile,
    subject: &Subject,
    now: Timestamp,
    ends_at: Timestamp,
    keys: &KeySet,
    random: &dyn Random,
) -> Option<Issued> {
    let key = keys.access_signer(now)?;
    let expires_at = Timestamp::from_secs((now + profile.ttl).min(ends_at).secs());
    let (sub, sid, jti) =
        (subject.user_id.to_string(), subject.session_id.to_string(), base64url(random.bytes::<16>()));
    let claims = Claims {
        iss: Cow::Borrowed(&profile.issuer),
        aud: Cow::Borrowed(&profile.audience),
        sub: &sub,
        client_id: FIRST_PARTY_CLIENT,
        iat: now.secs(),
        exp: expires_at.secs(),
        jti: &jti,
        sid: &sid,
        roles: subject.roles.iter().map(|role| role.as_str()).collect(),
        ver: subject.rights.0,
    };
    let claims = serde_json::to_vec(&claims).expect("strings and numbers serialise");
    let message = format!("{}.{}", key.header, base64url(claims));
    let signature = key.sign(&message);
    Some(Issued { token: Secret::new(format!("{message}.{signature}")), expires_at })
}

/// Checks a token against the keys and the clock, in work bounded by [`MAX_LENGTH`].
///
/// # Errors
/// See [`AccessTokenError`].
pub fn verify(
    token: &str,
    profile: &Profile,
    now: Timestamp,
    keys: &KeySet,
) -> Result<Verified, AccessTokenError> {
    if token.len() > MAX_LENGTH {
        return Err(AccessTokenError::Invalid);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(AccessTokenError::Invalid)?;
    let (header, claims) = message.split_once('.').ok_or(AccessTokenError::Invalid)?;
    let Some(key) = keys.access_by_header(header, now) else {
        let unknown = kid_of_ours(header).is_some_and(|kid| !keys.has_access_kid(&kid));
        return Err(if unknown { AccessTokenError::UnknownKey } else { AccessTokenError::Invalid });
    };
    if !key.verify(message, signature) {
        return Err(AccessTokenError::Invalid);
    }
    let claims = from_base64url(claims).ok_or(AccessTokenError::Invalid)?;
    let claims: Claims<'_> = serde_json::from_slice(&claims).map_err(|_| AccessTokenError::Invalid)?;
    believe(&claims, profile, now)
}

/// RFC 9068 section 4: the claims of a token whose signature is good.
fn believe(claims: &Claims<'_>, profile: &Profile, now: Timestamp) -> Result<Verified, AccessTokenError> {
    let (issued_at, expires_at) = (Timestamp::from_secs(claims.iat), Timestamp::from_secs(claims.exp));
    let ours = claims.iss == profile.issuer
        && claims.aud == profile.audience
        && claims.client_id == FIRST_PARTY_CLIENT;
    if !ours || claims.jti.is_empty() || claims.iat < 0 || issued_at > now + LEEWAY || expires_at < issued_at
    {
        return Err(AccessTokenError::Invalid);
    }
    if expires_at + LEEWAY <= now {
        return Err(AccessTokenError::Expired);
    }
    let subject = Subject {
        session_id: claims.sid.parse().map_err(|_| AccessTokenError::Invalid)?,
        user_id: claims.sub.parse().map_err(|_| AccessTokenError::Invalid)?,
        roles: Roles::parse(claims.roles.iter().copied()).map_err(|_| AccessTokenError::Invalid)?,
        rights: RightsVersion(claims.ver),
    };
    Ok(Verified { subject, expires_at })
}

/// The `kid` of a header segment that could be of a key of ours: exactly our three members and our type.
fn kid_of_ours(header: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Header<'a> {
        alg: &'a str,
        kid: &'a str,
        typ: &'a str,
    }
    let bytes = (header.len() <= 256).then(|| from_base64url(header)).flatten()?;
    let header: Header<'_> = serde_json::from_slice(&bytes).ok()?;
    let ours = header.typ == super::signing::TYP && matches!(header.alg, "EdDSA" | "ES256" | "RS256");
    (ours && from_base64url(header.kid)?.len() == super::keyring::KID_BYTES).then(|| header.kid.to_owned())
}

/// Whether a bearer credential claims to be ours: its unverified `iss` is `issuer`. Decides only whose business
/// the credential is, never whether it is good.
pub fn claims_issuer(token: &str, issuer: &str) -> bool {
    #[derive(Deserialize)]
    struct Iss {
        iss: String,
    }
    if token.len() > MAX_LENGTH {
        return false;
    }
    let mut segments = token.split('.').skip(1);
    let claims = segments.next().and_then(from_base64url);
    claims
        .and_then(|bytes| serde_json::from_slice::<Iss>(&bytes).ok())
        .is_some_and(|claims| claims.iss == issuer)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
