//! Proofs beside a password: passkeys (WebAuthn), codes of authenticator apps (TOTP), recovery codes.
//!
//! Pure functions from secrets, codes and time to answers. This module knows nothing of users, stores, sessions and pages;
//! whoever calls it makes sure that a code works once and that tries are bounded.

pub mod passkey;
mod qr;
pub mod recovery;
pub mod totp;

pub use qr::{QrCode, qr_code};
