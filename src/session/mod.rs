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

use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::ClientKind;

pub mod memory;
pub mod metered;
pub mod redis;

/// What the store keeps of a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose session.
    pub user_id: UserId,
    /// The session's absolute end.
    pub expires_at: Timestamp,
    /// Its idle end when it was put in, and what it belongs to. The idle end moves with use, and the record does not: once
    /// it has passed, the vault is asked. `None`: written by an older doorward; only the vault knows.
    pub idle: Option<(Timestamp, ClientKind)>,
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

/// A session store. Every method is one atomic step on one key, and idempotent. Times are spans from now: the
/// store's clock, this machine's and the vault's need not agree.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// What is known of a session.
    async fn check(&self, id: SessionId) -> Result<Lookup, SessionStoreError>;
    /// Puts a record in, kept for `keep` or a little longer, if nothing is there: neither a record nor a tombstone
    /// is overwritten.
    async fn fill(&self, id: SessionId, record: Record, keep: Duration) -> Result<(), SessionStoreError>;
    /// Keeps what is there for `keep` from now, if that is longer; does nothing when nothing is there, and nothing
    /// to the meaning of a tombstone.
    async fn extend(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError>;
    /// Overwrites whatever is there with a tombstone that stays for `keep`, or longer if what was there would have.
    async fn revoke(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError>;
    /// Whether its word counts while the vault is lost: true for a store that other replicas write their
    /// revocations to, false for one that only this process knows.
    fn vouches_alone(&self) -> bool;
}
