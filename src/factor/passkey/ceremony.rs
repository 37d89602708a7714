//! Ceremony: what one registration or sign-in is bound to, from its options to the verification of its response.

use std::fmt;
use std::time::Duration;

use super::relying_party::RelyingParty;
use crate::id::{Random, base64url};

/// Time that the browser gives the user. The specification recommends five to ten minutes (section 15.1): less hurries
/// people, more keeps challenges alive for nothing. Conditional requests ignore it.
pub const TIMEOUT: Duration = Duration::from_secs(300);

/// One registration or sign-in. The options are made from it, and the response is verified against it, so both agree.
#[derive(Clone, Copy, Debug)]
pub struct Ceremony<'a> {
    /// Relying party.
    pub relying_party: &'a RelyingParty,
    /// Challenge of this ceremony alone.
    pub challenge: &'a Challenge,
    /// Whether the authenticator has to verify the user.
    pub user_verification: UserVerification,
}

/// Random value that a response has to contain, so that it answers this ceremony and no other (section 13.4.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge([u8; 32]);

/// Whether the authenticator has to verify the user, with a PIN, a fingerprint or the like (section 5.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserVerification {
    /// A response without it is refused: a passkey that is the only factor.
    Required,
    /// The authenticator verifies the user if it can: a passkey beside a password.
    Preferred,
}

impl Challenge {
    /// Generates a challenge.
    pub fn random(random: &dyn Random) -> Self {
        Self(random.bytes())
    }

    /// Reads the bytes of [`Challenge::bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// Returns the bytes, to be stored until the response comes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Challenge {
    /// Formats as base64url, as options and client data have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(self.0))
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge")
    }
}

impl UserVerification {
    /// Returns the value of `userVerification`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Preferred => "preferred",
        }
    }
}
