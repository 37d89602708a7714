//! The access token: a JWT of the RFC 9068 profile, issued and verified only by this gateway.
//!
//! Foreign tokens are not accepted, so nothing is negotiated: the header segment must equal that of a known key byte
//! for byte, and the claims must be exactly the expected ones. This meets RFC 8725, as a token offers no choice.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::encrypted_claims::{About, ClaimsEncrypter};
use super::identity::{IdentityKey, Sealed};
use super::keyring::KeySet;
use crate::clock::Timestamp;
use crate::id::{Random, SessionId, UserId, base64url, from_base64url};
use crate::identity::{Attributes, Login, Proof, RightsVersion, Roles};
use crate::secret::Secret;

/// Tolerated difference between a gateway's clock and the vault's (`iat` and `exp` use the vault's). Each gateway
/// corrects its clock by the vault's, so seconds suffice; more would only prolong expired tokens.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// Maximum length of a token, in bytes: 32 roles of 64 characters fit. A longer one is refused before any work.
pub const MAX_LENGTH: usize = 8192;

/// Maximum length of a token with encrypted claims, in bytes. Browsers keep cookies of 4,096 bytes, name and value together (RFC
/// 6265bis section 5.6), and drop a longer one, which would sign the user out. A longer token is issued without the claim.
pub const MAX_LENGTH_WITH_CLAIMS: usize = 4000;

/// `client_id` of logins at this gateway (RFC 9068 section 2.2 requires one).
pub const FIRST_PARTY_CLIENT: &str = "doorward";

/// Issuer, audience and lifetime of access tokens, and what they tell holders of a key.
#[derive(Clone, Debug)]
pub struct Profile {
    /// `iss`
    pub issuer: String,
    /// `aud`
    pub audience: String,
    /// Lifetime of a token.
    pub ttl: Duration,
    /// Makes `encrypted_claims`. `None`: tokens are issued without it, and still accepted with it.
    pub encrypted_claims: Option<Arc<ClaimsEncrypter>>,
}

/// Session and user of a token.
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
    /// Generation of the refresh token that was handed out with it: the part of `jti` after the dot, 0 without one.
    pub generation: u32,
    /// Login name: the part of `jti` before the dot, sealed. `None` in a token of release 0.1.0, where `jti` is random;
    /// then only the vault knows it.
    pub login: Option<Login>,
    /// E-mail address and name, sealed together with the login name. None without a login name.
    pub attributes: Attributes,
    /// Proof of the sign-in, sealed together with the login name. [`Proof::NONE`] without a login name.
    pub proof: Proof,
}

/// An issued access token and its expiry.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The compact JWT.
    pub token: Secret<String>,
    /// `exp`
    pub expires_at: Timestamp,
    /// True if there is no room for the encrypted claims ([`MAX_LENGTH_WITH_CLAIMS`]).
    pub lacks_claims: bool,
}

/// A token with a valid signature and valid claims. Its session may have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Session and user.
    pub subject: Subject,
    /// `exp`
    pub expires_at: Timestamp,
}

/// Reason why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    /// Malformed, forged, foreign, of the wrong type, or issued in the future.
    #[error("not an access token of this gateway")]
    Invalid,
    /// Valid, but expired.
    #[error("the access token has expired")]
    Expired,
    /// In this gateway's format, under a key that is not loaded.
    #[error("an access token under an unknown key")]
    UnknownKey,
}

/// The claims, in the order they are written. Missing, additional or repeated claims are refused.
///
/// Release 0.1.0 refuses them too, and gateways of both releases serve the same sessions during an update. It takes any `jti`. So
/// what came after it, the sealed login name and the generation, is in `jti`. `encrypted_claims` is not, since apps read it: it is
/// there only where an operator has asked for it.
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
    /// Opened by holders of its key alone; not read here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encrypted_claims: Option<&'a str>,
}

/// Issues a token that starts at `now` and ends at `now + ttl`, at the latest at `ends_at`. `None` while no key signs
/// yet.
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
    let (sub, sid) = (subject.user_id.to_string(), subject.session_id.to_string());
    let jti = jti(subject, now, &key.identity, random);
    let sign = |encrypted_claims: Option<&str>| {
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
            encrypted_claims,
        };
        let claims = serde_json::to_vec(&claims).expect("strings and numbers serialise");
        let message = format!("{}.{}", key.header, base64url(claims));
        let signature = key.sign(&message);
        Secret::new(format!("{message}.{signature}"))
    };
    let about = About {
        sub: &sub,
        sid: &sid,
        iat: now.secs(),
        login: subject.login.as_ref(),
        attributes: &subject.attributes,
    };
    let encrypted = profile.encrypted_claims.as_ref().and_then(|encrypter| encrypter.encrypt(&about, random));
    let token = sign(encrypted.as_deref());
    if encrypted.is_some() && token.expose().len() > MAX_LENGTH_WITH_CLAIMS {
        return Some(Issued { token: sign(None), expires_at, lacks_claims: true });
    }
    Some(Issued { token, expires_at, lacks_claims: false })
}

/// Returns a new `jti`. The sealed name makes it unique, by its nonce.
fn jti(subject: &Subject, now: Timestamp, key: &IdentityKey, random: &dyn Random) -> String {
    let unique = match &subject.login {
        Some(login) => {
            let contents =
                Sealed { login: login.clone(), attributes: subject.attributes.clone(), proof: subject.proof };
            base64url(key.seal(&contents, subject.session_id, now, random))
        }
        None => base64url(random.bytes::<16>()),
    };
    if subject.generation == 0 { unique } else { format!("{unique}.{}", subject.generation) }
}

/// Length of a `jti` that is only random, in characters: 16 bytes.
const RANDOM_JTI: usize = 22;

/// Verifies a token against the keys and the clock, in work bounded by [`MAX_LENGTH`].
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
        let unknown = own_kid(header).is_some_and(|kid| !keys.has_access_kid(&kid));
        return Err(if unknown { AccessTokenError::UnknownKey } else { AccessTokenError::Invalid });
    };
    if !key.verify(message, signature) {
        return Err(AccessTokenError::Invalid);
    }
    let claims = from_base64url(claims).ok_or(AccessTokenError::Invalid)?;
    let claims: Claims<'_> = serde_json::from_slice(&claims).map_err(|_| AccessTokenError::Invalid)?;
    check_claims(&claims, profile, now, &key.identity)
}

/// Checks the claims of a token with a valid signature (RFC 9068 section 4).
fn check_claims(
    claims: &Claims<'_>,
    profile: &Profile,
    now: Timestamp,
    key: &IdentityKey,
) -> Result<Verified, AccessTokenError> {
    let (issued_at, expires_at) = (Timestamp::from_secs(claims.iat), Timestamp::from_secs(claims.exp));
    let is_own = claims.iss == profile.issuer
        && claims.aud == profile.audience
        && claims.client_id == FIRST_PARTY_CLIENT;
    if !is_own
        || claims.jti.is_empty()
        || claims.iat < 0
        || issued_at > now + LEEWAY
        || expires_at < issued_at
    {
        return Err(AccessTokenError::Invalid);
    }
    if expires_at + LEEWAY <= now {
        return Err(AccessTokenError::Expired);
    }
    let session_id = claims.sid.parse().map_err(|_| AccessTokenError::Invalid)?;
    let (unique, generation) = match claims.jti.split_once('.') {
        None => (claims.jti, 0),
        Some((unique, generation)) => (unique, generation.parse().map_err(|_| AccessTokenError::Invalid)?),
    };
    let sealed = Some(unique).filter(|unique| unique.len() > RANDOM_JTI).and_then(from_base64url);
    let opened = sealed.and_then(|sealed| key.open(&sealed, session_id, issued_at));
    let (login, attributes, proof) = match opened {
        Some(Sealed { login, attributes, proof }) => (Some(login), attributes, proof),
        None => (None, Attributes::NONE, Proof::NONE),
    };
    let subject = Subject {
        session_id,
        user_id: claims.sub.parse().map_err(|_| AccessTokenError::Invalid)?,
        roles: Roles::parse(claims.roles.iter().copied()).map_err(|_| AccessTokenError::Invalid)?,
        rights: RightsVersion(claims.ver),
        generation,
        login,
        attributes,
        proof,
    };
    Ok(Verified { subject, expires_at })
}

/// Returns the `kid` of a header segment in this gateway's format: exactly the three members and its type.
fn own_kid(header: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Header<'a> {
        alg: &'a str,
        kid: &'a str,
        typ: &'a str,
    }
    let bytes = (header.len() <= 256).then(|| from_base64url(header)).flatten()?;
    let header: Header<'_> = serde_json::from_slice(&bytes).ok()?;
    let is_own = header.typ == super::signing::TYP && matches!(header.alg, "EdDSA" | "ES256" | "RS256");
    (is_own && from_base64url(header.kid)?.len() == super::keyring::KID_BYTES).then(|| header.kid.to_owned())
}

/// Returns whether the unverified `iss` of a bearer credential is `issuer`. It decides only whether the credential is
/// meant for this gateway, never whether it is valid.
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
mod claims_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
