//! The session store: records of live sessions and tombstones of revoked ones.
//!
//! It is a copy of vault data and may be lost at any moment. An absent record means "query the vault", never "signed
//! out". Nothing can overwrite a tombstone. The store also counts failed attempts to sign in ([`attempts`]).
//!
//! ```text
//!            fill (if absent)                    revoke
//!  absent ------------------------------> live ---------> tombstone
//!     ^  \________________ revoke ______________________/     |
//!     |____________________ until has passed _________________|
//! ```

use std::time::Duration;

use async_trait::async_trait;

use self::attempts::{Attempt, BucketKey, Charged};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::ClientKind;

pub mod attempts;
pub mod memory;
pub mod metered;
pub mod redis;

/// Record of a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Id of the session's user.
    pub user_id: UserId,
    /// The session's absolute end.
    pub expires_at: Timestamp,
    /// Idle end when the record was written, and the kind of client. Use moves the idle end but not the record: once it
    /// has passed, the vault is queried. `None`: written by an older doorward; only the vault knows the idle end.
    pub idle: Option<(Timestamp, ClientKind)>,
}

/// Result of looking up a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A live session.
    Live(Record),
    /// A revoked session.
    Tombstone,
    /// Unknown to the store: query the vault.
    Absent,
}

/// The store cannot be reached; nothing is known about the session.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the session store is unavailable: {0}")]
pub struct SessionStoreError(pub String);

/// A session store. Every method on a session is one atomic, idempotent step on one key. Times are spans from now, since the clocks
/// of the store, this machine and the vault may differ.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Looks up a session.
    async fn check(&self, id: SessionId) -> Result<Lookup, SessionStoreError>;
    /// Writes a record, kept for `keep` or a little longer, if the key is absent. It overwrites neither a record nor a
    /// tombstone.
    async fn fill(&self, id: SessionId, record: Record, keep: Duration) -> Result<(), SessionStoreError>;
    /// Extends the life of the entry to `keep` from now, if that is longer. It has no effect on an absent key, and a
    /// tombstone stays one.
    async fn extend(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError>;
    /// Overwrites any entry with a tombstone that stays for `keep`, or longer if the entry would have.
    async fn revoke(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError>;
    /// Charges a failed attempt to its buckets: to all of them, or, if one that refuses is full, to none. It is one atomic
    /// step on all gateways.
    async fn charge(&self, attempt: &Attempt) -> Result<Charged, SessionStoreError>;
    /// Takes a charged attempt back from each of its buckets.
    async fn refund(&self, attempt: &Attempt) -> Result<(), SessionStoreError>;
    /// Forgets the counted buckets that were charged for `accounts`, and empties `buckets`.
    async fn forget(&self, accounts: &[BucketKey], buckets: &[BucketKey]) -> Result<(), SessionStoreError>;
    /// Returns whether the store may confirm sessions while the vault is lost: true if other gateways write their
    /// revocations to it, false if only this process uses it.
    fn is_shared(&self) -> bool;
    /// Tells the store whether nobody else can answer now. It then waits longer for a server that is slow.
    fn set_only_source(&self, _is_only_source: bool) {}
}
