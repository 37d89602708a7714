//! Identifiers: random 16-byte values, base64url (RFC 4648 section 5, unpadded) everywhere outside SQL.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand::SecureRandom;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Source of randomness.
pub trait Random: Send + Sync + 'static {
    /// Fills `out` with unpredictable bytes.
    fn fill(&self, out: &mut [u8]);
}

impl dyn Random {
    /// Returns an array of unpredictable bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }
}

/// The operating system's generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) {
        aws_lc_rs::rand::SystemRandom::new()
            .fill(out)
            .expect("the operating system's generator does not fail once it is seeded");
    }
}

/// Encodes as unpadded base64url.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes unpadded base64url strictly. Each value has one spelling: padding, white space and stray trailing bits are
/// refused.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: write the 22 characters that doorward printed")]
pub struct BadId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Generates a random id.
            pub fn random(random: &dyn Random) -> Self {
                Self(random.bytes())
            }

            /// Builds an id from its 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Returns the 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0u8; 22];
                URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                if text.len() != 22 {
                    return Err(BadId);
                }
                let bytes = from_base64url(text).ok_or(BadId)?;
                Ok(Self(bytes.try_into().map_err(|_| BadId)?))
            }
        }
    };
}

id!(
    /// Id of a session, which is one login on one device: the `sid` claim.
    SessionId
);
id!(
    /// Id of an authenticator app that a user has enrolled.
    FactorId
);
id!(
    /// Id of a message to be sent by mail.
    MailId
);
id!(
    /// Permanent id of a user, independent of the login name: the `sub` claim.
    UserId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifier_round_trips_through_text() {
        let id = SessionId::random(&SystemRandom);
        assert_eq!(id.to_string().len(), 22);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_spellings_of_an_identifier_are_refused() {
        let text = SessionId::from_bytes([255; 16]).to_string();
        assert_eq!(text, "_____________________w");
        // The last character carries four unused bits: another character would decode to the same bytes.
        for bad in ["", "_____________________x", "_____________________w=", " ____________________w", "é"] {
            assert_eq!(bad.parse::<SessionId>(), Err(BadId), "{bad:?}");
        }
    }
}
