//! Signing keys, sealed: the vault cannot read them.

use std::time::Duration;

use async_trait::async_trait;

use super::VaultError;
use crate::clock::Timestamp;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Signs access tokens.
    Access,
    /// Authenticates refresh tokens.
    Refresh,
}

impl KeyUse {
    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

/// A key to be stored.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Unique among keys of its use.
    pub kid: String,
    /// What it is for.
    pub key_use: KeyUse,
    /// What it does: `EdDSA`, `ES256`, `RS256`, `HS256`.
    pub algorithm: String,
    /// Sealed under the master secret; the vault cannot read it.
    pub sealed: Vec<u8>,
    /// How long after now it begins to sign. Zero for the first key.
    pub signs_after: Duration,
    /// How long after that its predecessors still verify.
    pub overlap: Duration,
}

/// A key as stored.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// Unique among keys of its use.
    pub kid: String,
    /// What it is for.
    pub key_use: KeyUse,
    /// What it does.
    pub algorithm: String,
    /// Sealed under the master secret.
    pub sealed: Vec<u8>,
    /// From when it signs.
    pub signs_from: Timestamp,
    /// Until when it verifies; `None` while it has no successor.
    pub verifies_until: Option<Timestamp>,
}

/// The keys that still verify.
#[derive(Clone, Debug)]
pub struct KeyTable {
    /// Raised by every change.
    pub version: u64,
    /// Every key that still verifies.
    pub keys: Vec<StoredKey>,
    /// The vault's clock.
    pub now: Timestamp,
}

/// Sealed signing keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// The keys that still verify.
    async fn load(&self) -> Result<KeyTable, VaultError>;
    /// Adds keys; predecessors of the same use get their end. With `only_first`, does nothing for a use that has
    /// a key already, so that replicas starting together agree on one. Answers the table afterwards.
    async fn add(&self, keys: &[NewKey], only_first: bool) -> Result<KeyTable, VaultError>;
}
