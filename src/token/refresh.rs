//! The refresh token: `base64url(version 1 | kid 1 | family id 16 | generation 4 | HMAC 16)`, 51 characters.
//!
//! The MAC (HMAC-SHA256 over the preceding bytes, truncated to 16 bytes) is checked before the vault is queried. A
//! forged token therefore costs no query and cannot end a session. The vault stores only SHA-256 of the family id; a
//! successor is computed from the presented token and never stored.

use aws_lc_rs::{constant_time, hmac};

use super::keyring::{KeySet, RefreshKey};
use super::sha256;
use crate::clock::Timestamp;
use crate::id::{Random, base64url, from_base64url};
use crate::secret::Secret;

const VERSION: u8 = 1;
const BODY: usize = 1 + 1 + 16 + 4;
const MAC: usize = 16;

/// Secret id shared by all refresh tokens of a session and stored nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyId(Secret<[u8; 16]>);

impl FamilyId {
    /// Generates a family id.
    pub fn random(random: &dyn Random) -> Self {
        Self(Secret::new(random.bytes()))
    }

    /// Returns the digest that is stored in the vault.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.0.expose())
    }
}

/// A refresh token with a valid MAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Family of the session.
    pub family: FamilyId,
    /// Number of the token within the family.
    pub generation: u32,
}

/// Reason why a refresh token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefreshTokenError {
    /// Wrong length, alphabet, version or MAC.
    #[error("not a refresh token of this gateway")]
    Forged,
    /// Issued under a key that is not loaded.
    #[error("a refresh token under an unknown key")]
    UnknownKey,
}

impl RefreshToken {
    /// Length of a token, in characters.
    pub const LENGTH: usize = (BODY + MAC).div_ceil(3) * 4 - 1;

    /// Parses and authenticates a token.
    ///
    /// # Errors
    /// See [`RefreshTokenError`].
    pub fn parse(text: &str, keys: &KeySet, now: Timestamp) -> Result<Self, RefreshTokenError> {
        // 51 characters, checked before decoding, so that the work is bounded.
        if text.len() != Self::LENGTH {
            return Err(RefreshTokenError::Forged);
        }
        let bytes = from_base64url(text).ok_or(RefreshTokenError::Forged)?;
        let (body, mac) = bytes.split_at_checked(BODY).ok_or(RefreshTokenError::Forged)?;
        let [VERSION, kid, rest @ ..] = body else { return Err(RefreshTokenError::Forged) };
        let key = keys.refresh_by_kid(*kid, now).ok_or(RefreshTokenError::UnknownKey)?;
        constant_time::verify_slices_are_equal(&tag(key, body), mac)
            .map_err(|_| RefreshTokenError::Forged)?;
        let (family, generation) = rest.split_first_chunk::<16>().ok_or(RefreshTokenError::Forged)?;
        let generation = u32::from_be_bytes(generation.try_into().map_err(|_| RefreshTokenError::Forged)?);
        Ok(Self { family: FamilyId(Secret::new(*family)), generation })
    }

    /// Encodes the token under the key `kid`, or returns `None` when that key is not loaded. The result is the same on
    /// every gateway and every call.
    pub fn encode(&self, kid: u8, keys: &KeySet, now: Timestamp) -> Option<Secret<String>> {
        let key = keys.refresh_by_kid(kid, now)?;
        let mut bytes = Vec::with_capacity(BODY + MAC);
        bytes.extend_from_slice(&[VERSION, kid]);
        bytes.extend_from_slice(self.family.0.expose());
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        let mac = tag(key, &bytes);
        bytes.extend_from_slice(&mac);
        Some(Secret::new(base64url(bytes)))
    }
}

fn tag(key: &RefreshKey, body: &[u8]) -> [u8; MAC] {
    let whole = hmac::sign(&key.mac, body);
    let mut cut = [0; MAC];
    cut.copy_from_slice(&whole.as_ref()[..MAC]);
    cut
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemRandom;
    use crate::token::keyring::OpenKey;
    use crate::token::seal::MasterSecret;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn keys() -> KeySet {
        KeySet::new(1, &[], &[OpenKey::refresh(7, &SystemRandom)], &MasterSecret::random(&SystemRandom))
            .unwrap()
    }

    #[test]
    fn token_round_trips_with_a_stable_encoding() {
        let keys = keys();
        let token = RefreshToken { family: FamilyId::random(&SystemRandom), generation: 41 };
        let text = token.encode(7, &keys, NOW).unwrap();
        assert_eq!(text.expose().len(), 51);
        assert_eq!(RefreshToken::parse(text.expose(), &keys, NOW), Ok(token.clone()));
        assert_eq!(token.encode(7, &keys, NOW).unwrap().expose(), text.expose());
    }

    #[test]
    fn changed_and_truncated_tokens_are_refused() {
        let keys = keys();
        let text = RefreshToken { family: FamilyId::random(&SystemRandom), generation: 0 }
            .encode(7, &keys, NOW)
            .unwrap();
        let bytes = from_base64url(text.expose()).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(RefreshToken::parse(&base64url(&changed), &keys, NOW).is_err(), "byte {at}");
        }
        for cut in 0..text.expose().len() {
            assert_eq!(
                RefreshToken::parse(&text.expose()[..cut], &keys, NOW),
                Err(RefreshTokenError::Forged)
            );
        }
        let padded = format!("{}=", text.expose());
        assert_eq!(RefreshToken::parse(&padded, &keys, NOW), Err(RefreshTokenError::Forged));
    }

    #[test]
    fn token_under_another_key_is_forged() {
        let text = RefreshToken { family: FamilyId::random(&SystemRandom), generation: 0 }
            .encode(7, &keys(), NOW)
            .unwrap();
        assert_eq!(RefreshToken::parse(text.expose(), &keys(), NOW), Err(RefreshTokenError::Forged));
    }
}
