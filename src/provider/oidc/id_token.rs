//! ID token (OpenID Connect Core sections 2 and 3.1.3.7): the checks of its claims.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, digest};
use serde_json::{Map, Value};

use super::issuer::Issuers;
use crate::clock::Timestamp;
use crate::config::SignatureAlgorithm;
use crate::id::base64url;
use crate::provider::error::TokenError;

/// Accepted difference between the clocks.
pub(in crate::provider) const LEEWAY: Duration = Duration::from_secs(60);

/// Maximum age of an ID token that answers a code. It has just been issued; the rest is for slow clocks.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Maximum length of a subject (Core section 2: 255 ASCII characters).
const MAX_SUBJECT: usize = 255;

/// Expected contents of a token.
pub(in crate::provider) struct Expected<'a> {
    pub(in crate::provider) issuers: &'a Issuers,
    pub(in crate::provider) client_id: &'a str,
    /// Other audiences that may stand beside the client.
    pub(in crate::provider) audiences: &'a [String],
    pub(in crate::provider) now: Timestamp,
}

/// The response that the token came with.
pub(in crate::provider) enum Occasion<'a> {
    /// An authorization code was exchanged.
    Code {
        /// Nonce of the flow.
        nonce: &'a str,
        /// Maximum time since the active sign-in.
        max_age: Option<Duration>,
    },
    /// A refresh token was exchanged (Core section 12.2): no nonce, and some providers repeat the first token.
    Refresh,
}

/// Checks the claims of a token with a valid signature.
///
/// # Errors
/// [`TokenError`].
pub(in crate::provider) fn check(
    claims: &Map<String, Value>,
    expected: &Expected<'_>,
    occasion: &Occasion<'_>,
    (access_token, algorithm): (&str, SignatureAlgorithm),
) -> Result<(), TokenError> {
    expected.check(claims)?;
    subject(claims).ok_or(TokenError::Malformed)?;
    let now = expected.now;
    let expires_at = time(claims, "exp")?.ok_or(TokenError::Malformed)?;
    if expires_at + LEEWAY <= now {
        return Err(TokenError::Expired);
    }
    let issued_at = time(claims, "iat")?.ok_or(TokenError::Malformed)?;
    if let Occasion::Code { nonce, max_age } = occasion {
        let theirs = claims.get("nonce").and_then(Value::as_str).ok_or(TokenError::Nonce)?;
        verify_slices_are_equal(theirs.as_bytes(), nonce.as_bytes()).map_err(|_| TokenError::Nonce)?;
        if issued_at + MAX_AGE + LEEWAY < now {
            return Err(TokenError::Time);
        }
        if let Some(max_age) = max_age {
            let auth_time = time(claims, "auth_time")?.ok_or(TokenError::AuthTime)?;
            if auth_time + *max_age + LEEWAY < now {
                return Err(TokenError::AuthTime);
            }
        }
    }
    match claims.get("at_hash") {
        Some(hash) if *hash != Value::String(half_hash(access_token, algorithm)) => {
            Err(TokenError::AccessTokenHash)
        }
        _ => Ok(()),
    }
}

impl Expected<'_> {
    /// Checks the claims that ID tokens and logout tokens share: issuer, audience, and the times that must not lie in the
    /// future.
    pub(super) fn check(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        self.issuers.check(claims)?;
        let mut is_for_us = false;
        for audience in audiences(claims)? {
            let is_ours = audience == self.client_id;
            is_for_us |= is_ours;
            if !is_ours && !self.audiences.iter().any(|known| known == audience) {
                return Err(TokenError::Audience);
            }
        }
        let party = claims.get("azp").is_none_or(|party| party == self.client_id);
        if !is_for_us || !party {
            return Err(TokenError::Audience);
        }
        let is_future = |time: Option<Timestamp>| time.is_some_and(|time| time > self.now + LEEWAY);
        if is_future(time(claims, "iat")?) || is_future(time(claims, "nbf")?) {
            return Err(TokenError::Time);
        }
        Ok(())
    }
}

/// Returns the subject, if it is one.
pub(in crate::provider) fn subject(claims: &Map<String, Value>) -> Option<&str> {
    let subject = claims.get("sub")?.as_str()?;
    let is_plain =
        !subject.is_empty() && subject.len() <= MAX_SUBJECT && !subject.chars().any(char::is_control);
    is_plain.then_some(subject)
}

/// Returns a time (RFC 7519 section 2: a number of seconds). Text that looks like a number is none.
pub(in crate::provider) fn time(
    claims: &Map<String, Value>,
    name: &str,
) -> Result<Option<Timestamp>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        // Beyond these bounds there is no whole number of seconds to speak of.
        (number.is_finite() && number.abs() < 1e15).then_some(number.floor() as i64)
    });
    whole.map(|seconds| Some(Timestamp::from_secs(seconds))).ok_or(TokenError::Malformed)
}

fn audiences(claims: &Map<String, Value>) -> Result<Vec<&str>, TokenError> {
    match claims.get("aud") {
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(many)) => {
            many.iter().map(|one| one.as_str().ok_or(TokenError::Malformed)).collect()
        }
        _ => Err(TokenError::Malformed),
    }
}

/// Returns the hash for the algorithm of this name.
#[cfg(test)]
pub(in crate::provider) fn half_hash_for_tests(token: &str, name: &Value) -> String {
    let known = SignatureAlgorithm::ALL.iter().find(|(known, _)| name == known).expect("a known name");
    half_hash(token, known.1)
}

/// Returns the left half of the token's hash (Core section 3.1.3.6). Ed25519 hashes with SHA-512.
fn half_hash(token: &str, algorithm: SignatureAlgorithm) -> String {
    let hash = match algorithm {
        SignatureAlgorithm::Rs256 | SignatureAlgorithm::Ps256 | SignatureAlgorithm::Es256 => &digest::SHA256,
        SignatureAlgorithm::Rs384 | SignatureAlgorithm::Ps384 | SignatureAlgorithm::Es384 => &digest::SHA384,
        SignatureAlgorithm::Rs512 | SignatureAlgorithm::Ps512 | SignatureAlgorithm::EdDsa => &digest::SHA512,
    };
    let hash = digest(hash, token.as_bytes());
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    base64url(left)
}
