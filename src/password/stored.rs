//! Stored password hashes: the kinds that can be verified, their text in the vault, and the limits of their cost.
//!
//! ```text
//! $argon2id$v=19$m=19456,t=2,p=1,keyid=…$salt$hash   argon2id, argon2i, argon2d (PHC; keyid = pepper)
//! $2b$12$…                                           bcrypt: 2a, 2b, 2y
//! bcrypt_sha256$$2b$12$…                             bcrypt of hex(SHA-256), as Django writes it
//! $bcrypt-sha256$v=2,t=2b,r=12$salt$hash             bcrypt of base64(HMAC-SHA-256), as passlib and Authelia write it
//! $scrypt$ln=15,r=8,p=1$salt$hash                    scrypt (PHC)
//! $pbkdf2-sha512$i=210000,l=64$salt$hash             PBKDF2 with SHA-1, SHA-256, SHA-384 or SHA-512 (PHC)
//! ```
//!
//! A hash that exceeds a limit is no hash: nothing computes it, whoever wrote it into the vault.

use std::fmt;

use ::argon2::Algorithm;

use crate::config::PepperId;
use crate::metrics::{HashKind, Label as _};
use crate::secret::Secret;

mod argon2_hash;
mod bcrypt_hash;
mod common;
mod pbkdf2_hash;
mod scrypt_hash;

pub(super) use argon2_hash::Argon2Hash;
pub(super) use bcrypt_hash::{BcryptHash, BcryptInput};
pub use common::BadHash;
pub(super) use common::{MAX_MEMORY, base64, number};
pub(super) use pbkdf2_hash::{Hmac, Pbkdf2Hash};
pub(super) use scrypt_hash::ScryptHash;

/// Maximum length of the text in bytes: twice the longest.
const MAX_TEXT: usize = 512;

/// A hash that can be verified within the limits of cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredHash {
    /// argon2id, argon2i or argon2d.
    Argon2(Argon2Hash),
    /// bcrypt, of the password or of a digest of it.
    Bcrypt(BcryptHash),
    /// scrypt.
    Scrypt(ScryptHash),
    /// PBKDF2.
    Pbkdf2(Pbkdf2Hash),
}

impl StoredHash {
    /// Reads the text of the vault.
    ///
    /// # Errors
    /// [`BadHash`].
    pub fn parse(text: &str) -> Result<Self, BadHash> {
        if text.len() > MAX_TEXT {
            return Err(BadHash::Unknown);
        }
        if let Some(bcrypt) = text.strip_prefix("bcrypt_sha256$") {
            return BcryptHash::parse(bcrypt, BcryptInput::HexSha256).map(Self::Bcrypt);
        }
        let mut parts = text.strip_prefix('$').ok_or(BadHash::Unknown)?.splitn(2, '$');
        let (name, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match name {
            "argon2id" => Argon2Hash::parse(Algorithm::Argon2id, rest).map(Self::Argon2),
            "argon2i" => Argon2Hash::parse(Algorithm::Argon2i, rest).map(Self::Argon2),
            "argon2d" => Argon2Hash::parse(Algorithm::Argon2d, rest).map(Self::Argon2),
            "2a" | "2b" | "2y" => BcryptHash::parse(text, BcryptInput::Password).map(Self::Bcrypt),
            "bcrypt-sha256" => BcryptHash::parse_hmac(rest).map(Self::Bcrypt),
            "scrypt" => ScryptHash::parse(rest).map(Self::Scrypt),
            _ => match name.strip_prefix("pbkdf2-").and_then(Hmac::named) {
                Some(hmac) => Pbkdf2Hash::parse(hmac, rest).map(Self::Pbkdf2),
                None => Err(BadHash::Unknown),
            },
        }
    }

    /// Returns the kind.
    pub fn kind(&self) -> HashKind {
        match self {
            Self::Argon2(argon2) => match argon2.algorithm {
                Algorithm::Argon2id => HashKind::Argon2id,
                Algorithm::Argon2i => HashKind::Argon2i,
                Algorithm::Argon2d => HashKind::Argon2d,
            },
            Self::Bcrypt(_) => HashKind::Bcrypt,
            Self::Scrypt(_) => HashKind::Scrypt,
            Self::Pbkdf2(_) => HashKind::Pbkdf2,
        }
    }

    /// Returns the pepper that was hashed with the password.
    pub fn pepper(&self) -> Option<&PepperId> {
        match self {
            Self::Argon2(argon2) => argon2.pepper.as_ref(),
            _ => None,
        }
    }

    /// Returns whether no password made it: the user has none.
    pub fn is_no_password(&self) -> bool {
        matches!(self, Self::Argon2(argon2) if argon2.is_no_password)
    }

    /// Returns the digest.
    pub(super) fn digest(&self) -> &[u8] {
        match self {
            Self::Argon2(hash) => hash.digest.expose(),
            Self::Bcrypt(hash) => hash.digest.expose(),
            Self::Scrypt(hash) => hash.digest.expose(),
            Self::Pbkdf2(hash) => hash.digest.expose(),
        }
    }

    /// Returns the text for the vault. It must not be printed.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(match self {
            Self::Argon2(hash) => hash.text(),
            Self::Bcrypt(hash) => hash.text(),
            Self::Scrypt(hash) => hash.text(),
            Self::Pbkdf2(hash) => hash.text(),
        })
    }
}

impl fmt::Display for StoredHash {
    /// Writes the name of the algorithm alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().as_str())
    }
}
