//! Encrypted signing keys: the vault cannot read them.

use std::time::Duration;

use async_trait::async_trait;

use super::VaultError;
use crate::clock::Timestamp;

/// Purpose of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Signs access tokens.
    Access,
    /// Authenticates refresh tokens.
    Refresh,
}

impl KeyUse {
    /// Returns the stored name.
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
    /// Key id, unique among keys of its use.
    pub kid: String,
    /// Purpose of the key.
    pub key_use: KeyUse,
    /// Algorithm: `EdDSA`, `ES256`, `RS256`, `HS256`.
    pub algorithm: String,
    /// Key material, encrypted with the master key; the vault cannot read it.
    pub sealed: Vec<u8>,
    /// Delay until the key signs. Zero for the first key.
    pub signs_after: Duration,
    /// Time after that during which its predecessors still verify, at most.
    pub overlap: Duration,
}

/// A stored key.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// Key id, unique among keys of its use.
    pub kid: String,
    /// Purpose of the key.
    pub key_use: KeyUse,
    /// Algorithm.
    pub algorithm: String,
    /// Key material, encrypted with the master key.
    pub sealed: Vec<u8>,
    /// Start of signing.
    pub signs_from: Timestamp,
    /// End of verification; `None` while it has no successor.
    pub verifies_until: Option<Timestamp>,
}

/// The keys that still verify.
#[derive(Clone, Debug)]
pub struct KeyTable {
    /// Version of the table; every change increments it.
    pub version: u64,
    /// Every key that still verifies.
    pub keys: Vec<StoredKey>,
    /// Current time of the vault's clock.
    pub now: Timestamp,
}

/// Storage of encrypted signing keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Returns the keys that still verify.
    async fn load(&self) -> Result<KeyTable, VaultError>;
    /// Adds keys; predecessors of the same use get an end. With `only_first`, does nothing for a use that has a key
    /// already, so that gateways starting together agree on one. Returns the table afterwards.
    async fn add(&self, keys: &[NewKey], only_first: bool) -> Result<KeyTable, VaultError>;
}
