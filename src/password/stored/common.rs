//! Parts of the notations of hashes, and their faults.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::secret::Secret;

/// Maximum memory of one hash in bytes: four times what OWASP's largest setting needs, and no more than a small machine has.
pub(in crate::password) const MAX_MEMORY: u64 = 256 << 20;
/// Maximum memory that a hash passes over in bytes, all passes together: about a second of a core.
pub(super) const MAX_TRAFFIC: u64 = 1 << 30;
/// Maximum lanes of argon2 and parallelism of scrypt.
pub(super) const MAX_LANES: u32 = 16;
/// Lengths of a salt in bytes: argon2 needs 8.
const SALTS: RangeInclusive<usize> = 8..=64;
/// Lengths of a digest in bytes: with fewer, other passwords match by chance; no algorithm's users have more.
const DIGESTS: RangeInclusive<usize> = 16..=64;

/// Reason why a hash cannot be verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHash {
    /// No notation of a hash.
    #[error(
        "this is no hash that doorward can verify: it takes argon2, bcrypt, scrypt and PBKDF2 in the notations of PHC, Django, \
         passlib, Authelia and Keycloak; {NO_HASH}"
    )]
    Unknown,
    /// A hash that protects nothing, with its name.
    #[error("{0} hashes are too weak to be kept: {NO_HASH}")]
    Weak(&'static str),
    /// A hash of another algorithm, with its name.
    #[error("doorward does not verify {0} hashes: {NO_HASH}")]
    Unsupported(&'static str),
    /// A hash of a known notation with a fault.
    #[error("the {0} hash is damaged: {1}; export it again, or {NO_HASH}")]
    Damaged(&'static str, &'static str),
    /// Parameters that cost too much at each sign-in.
    #[error("the {0} hash costs too much to verify at a sign-in: at most {1}; {NO_HASH}")]
    TooCostly(&'static str, &'static str),
}

/// Remedy for a hash that cannot be imported.
const NO_HASH: &str = "leave the hash empty, and give the user a new password with `doorward user passwd` or a provider to sign in with";

pub(super) fn check_lengths(what: &'static str, salt: &[u8], digest: &[u8]) -> Result<(), BadHash> {
    if !SALTS.contains(&salt.len()) {
        return Err(BadHash::Damaged(what, "its salt has not 8 to 64 bytes"));
    }
    if !DIGESTS.contains(&digest.len()) {
        return Err(BadHash::Damaged(what, "its digest has not 16 to 64 bytes"));
    }
    Ok(())
}

/// Splits `parameters$salt$digest`.
pub(super) fn fields(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = text.split('$');
    let fields = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(fields)
}

/// Writes `salt$digest`.
pub(super) fn tail(salt: &[u8], digest: &Secret<Vec<u8>>) -> String {
    format!("{}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest.expose()))
}

/// Reads a number as it is written in hashes: digits alone.
pub(in crate::password) fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Decodes base64 of the standard alphabet without padding.
pub(in crate::password) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok()
}
