//! Tokens: issuing and verification.
//!
//! * [`access`]: the JWT (RFC 9068 profile) that every request carries, with the user's name sealed in it.
//! * [`encrypted_claims`]: attributes in that JWT for holders of a key of their own.
//! * [`assertion`]: the JWT that tells one app who the user is, and opens nothing here.
//! * [`refresh`]: the opaque token that renews it; its MAC is checked before the vault is queried.
//! * [`keyring`]: the signing keys, replaced as a whole when the key table changes.
//! * [`seal`]: encryption of those keys in the vault.
//!
//! Nothing here depends on sessions, stores or HTTP; time and randomness are arguments.

pub mod access;
pub mod assertion;
pub mod encrypted_claims;
pub mod form_token;
mod identity;
mod jwe;
pub mod keyring;
pub mod refresh;
pub mod seal;
mod signing;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// Computes SHA-256, for the family digest and the single flight.
pub fn sha256(data: &[u8]) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}
