//! The session store: the guest list of live sessions that requests are checked against.
//!
//! It is a copy of what the vault knows and may be lost at any moment: an absent record means "ask the vault",
//! never "signed out". Nothing can overwrite a tombstone.
//!
//! ```text
//!            fill (if nothing is there)          revoke
//!  absent ------------------------------> live ---------> tombstone
//!     ^  \________________ revoke ______________________/     |
//!     |____________________ until has passed _________________|
//! ```

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};

pub mod memory;

/// What the store keeps of a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose session.
    pub user_id: UserId,
    /// The session's absolute end.
    pub expires_at: Timestamp,
}

/// What the store says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// On the guest list.
    Live(Record),
    /// Certainly revoked.
    Tombstone,
    /// Not known here: ask the vault.
    Absent,
}

/// The store cannot be asked now; nothing is known about the answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the session store cannot answer: {0}")]
pub struct SessionStoreError(pub String);

/// A session store. Every method is one atomic step on one key, and idempotent.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// What is known of a session.
    async fn check(&self, id: SessionId) -> Result<Lookup, SessionStoreError>;
    /// Puts a record in, to be forgotten at `until`, if nothing is there: neither a record nor a tombstone is
    /// overwritten.
    async fn fill(&self, id: SessionId, record: Record, until: Timestamp) -> Result<(), SessionStoreError>;
    /// Keeps what is there until `until`, if that is later; does nothing when nothing is there, and nothing to
    /// the meaning of a tombstone.
    async fn extend(&self, id: SessionId, until: Timestamp) -> Result<(), SessionStoreError>;
    /// Overwrites whatever is there with a tombstone that stays until `until`, or longer if it did already.
    async fn revoke(&self, id: SessionId, until: Timestamp) -> Result<(), SessionStoreError>;
    /// Whether its word counts while the vault is lost: true for a store that other replicas write their
    /// revocations to, false for one that only this process knows.
    fn vouches_alone(&self) -> bool;
}
