//! Tokens: what is handed out, and what is believed.
//!
//! * [`access`]: the JWT (RFC 9068 profile) that every request carries, signed and checked here.
//! * [`refresh`]: the opaque token that renews it; its MAC is checked before anything is asked of the vault.
//! * [`keyring`]: the keys both are made under, replaced whole when the key table changes.
//! * [`seal`]: how those keys are kept in the vault.
//!
//! Nothing here knows sessions, stores or HTTP; time and randomness are arguments.

pub mod access;
pub mod keyring;
pub mod refresh;
pub mod seal;
mod signing;
pub mod stamp;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// SHA-256, as the verified-token cache, the family digest and the single flight use it.
pub fn sha256(data: &[u8]) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}
