//! Audit events, the chain that links them, and housekeeping.

pub(crate) mod chain;
pub(crate) mod verify;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::VaultError;
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use chain::{Chain, ChainKey, ChainPoint};

/// Outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Success,
    /// It was tried, and refused.
    Failure,
}

impl Outcome {
    /// Returns the stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// An audit event. Texts are as they are stored: whoever can write the vault can have changed them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEvent {
    /// Number of the row. It increases with time, about.
    pub seq: u64,
    /// Time by the vault's clock.
    pub at: Timestamp,
    /// Stable name such as `login`, `logout`, `refresh_reused`, `password_changed`, `user_disabled`.
    pub event: String,
    /// [`Outcome`].
    pub outcome: String,
    /// Who did it: `user` (the user concerned), `client`, `provider`, `operator:NAME` or `gateway`. `None` in rows of an
    /// earlier release.
    pub actor: Option<String>,
    /// User concerned.
    pub user: Option<UserId>,
    /// Keyed digest of a login name that nobody has.
    pub name: Option<String>,
    /// Session concerned.
    pub session: Option<SessionId>,
    /// Client address.
    pub address: Option<String>,
    /// Cause, as a stable code or name.
    pub cause: Option<String>,
    /// Request id.
    pub request_id: Option<String>,
    /// Number of equal events that this row stands for.
    pub times: u64,
    /// Position in the chain; `None` until the row is linked.
    pub position: Option<u64>,
}

/// An event to be recorded that changes nothing else in the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAuditEvent {
    /// Stable name.
    pub event: &'static str,
    /// Outcome.
    pub outcome: Outcome,
    /// Who did it, as in [`AuditEvent::actor`].
    pub actor: String,
    /// User concerned.
    pub user: Option<UserId>,
    /// Keyed digest of a login name that nobody has.
    pub name: Option<String>,
    /// Session concerned.
    pub session: Option<SessionId>,
    /// Client address.
    pub address: Option<IpAddr>,
    /// Cause.
    pub cause: Option<String>,
    /// Request id; of several equal events, that of the first.
    pub request_id: Option<String>,
    /// Number of equal events that this row stands for.
    pub times: u32,
}

/// Maximum number of events of one [`AuditTrail::record`].
pub const MAX_RECORDED: usize = 1000;

/// Which events to return, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditQuery {
    /// Last row of the page before; `None` for the first page.
    pub before: Option<u64>,
    /// Only events of this time and after.
    pub since: Option<Timestamp>,
    /// Only events of this user.
    pub user: Option<UserId>,
    /// Maximum number of events.
    pub limit: u32,
}

impl AuditQuery {
    /// Returns the first page of all events.
    pub const fn first(limit: u32) -> Self {
        Self { before: None, since: None, user: None, limit }
    }
}

/// A row of the chain, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedEvent {
    /// The event.
    pub event: AuditEvent,
    /// Its point of the chain.
    pub point: ChainPoint,
    /// Id of the key that linked it.
    pub key_id: String,
}

/// Result of linking rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Number of rows that were linked. Zero also if another gateway is linking.
    pub rows: u64,
    /// Last point of the chain, if this call read it.
    pub head: Option<ChainPoint>,
}

/// The audit trail.
///
/// Each change of the vault writes its own row in its own transaction, with the actor, the address and the request id of
/// its task ([`super::origin`]). Rows are written without a place in the chain, so that no change waits for another. One
/// gateway at a time links the rows that are committed, in order of their number.
#[async_trait]
pub trait AuditTrail: Send + Sync {
    /// Writes events that change nothing else, at most [`MAX_RECORDED`], in one transaction.
    async fn record(&self, events: &[NewAuditEvent]) -> Result<(), VaultError>;
    /// Returns a page of events, newest first.
    async fn page(&self, query: &AuditQuery) -> Result<Vec<AuditEvent>, VaultError>;
    /// Returns the logins of a user, newest first, without those whose session an unusual pattern has ended.
    async fn logins(&self, user: UserId, limit: u32) -> Result<Vec<AuditEvent>, VaultError>;
    /// Links at most `limit` rows.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] if the end of the chain was altered; nothing is linked then.
    async fn link(&self, key: &ChainKey, limit: u32) -> Result<Linked, VaultError>;
    /// Deletes linked rows that are older than `keep`, at most `limit`, from the start of the chain. Returns the number
    /// deleted.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] if rows are missing at the start of the chain; nothing is deleted then.
    async fn prune(&self, key: &ChainKey, keep: Duration, limit: u32) -> Result<u64, VaultError>;
    /// Returns the ends of the chain.
    async fn chain(&self) -> Result<Chain, VaultError>;
    /// Returns the rows of the chain after a position, in order, at most `limit`.
    async fn linked(&self, after: u64, limit: u32) -> Result<Vec<LinkedEvent>, VaultError>;
}

/// Connection counts of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Connections with a query in progress.
    pub in_use: usize,
    /// Open, idle connections.
    pub idle: usize,
    /// Maximum number of connections.
    pub max: usize,
    /// Queries waiting for a connection.
    pub waiting: usize,
}

/// Housekeeping.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Deletes obsolete sessions, revocation rows and audit rows outside the chain, at most `limit` of each; returns the
    /// number deleted.
    async fn sweep(&self, limit: u32) -> Result<u64, VaultError>;
    /// Returns the version of the stored schema.
    async fn schema(&self) -> Result<u32, VaultError>;
    /// Writes all data into the vault's main file, so that it can be copied after a clean stop.
    async fn settle(&self) -> Result<(), VaultError>;
    /// Writes a consistent copy of everything to a new file.
    ///
    /// # Errors
    /// The file exists or cannot be written, or the backend has its own tool for this (the text names it).
    async fn backup(&self, to: &Path) -> Result<(), VaultError>;
    /// Returns the current connection counts; an embedded vault has one writer.
    fn connections(&self) -> Connections {
        Connections { in_use: 0, idle: 1, max: 1, waiting: 0 }
    }
}
