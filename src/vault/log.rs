//! The revocation log, which every gateway follows.

use async_trait::async_trait;

use super::VaultError;
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::RightsVersion;

/// A position in the revocation log, opaque to all but the backend that created it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);

/// One row of the revocation log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// A session that has ended.
    Session {
        /// The session.
        id: SessionId,
        /// Time until which the row matters.
        until: Timestamp,
    },
    /// A user whose rights changed: tokens of an older version are refused until refreshed.
    Rights {
        /// The user.
        user_id: UserId,
        /// Oldest version that is still valid.
        rights: RightsVersion,
        /// Time until which the row matters.
        until: Timestamp,
    },
}

/// Rows of the log after a cursor.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// New rows. A row may be returned twice, but none is left out.
    pub entries: Vec<LogEntry>,
    /// Position to continue from.
    pub cursor: Cursor,
    /// Version of the key table; when it changes, the keys are loaded again.
    pub keys_version: u64,
    /// Current time of the vault's clock.
    pub now: Timestamp,
}

/// The revocation log, which every gateway follows.
#[async_trait]
pub trait RevocationLog: Send + Sync {
    /// Returns everything committed since `after`, or every unexpired row without it. The result contains everything
    /// that was committed before this call began, so it renews a lease.
    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError>;
    /// Waits until somebody has probably written: in this process at once, in another as soon as the backend notices.
    /// This is a hint, not a proof.
    async fn wait_for_change(&self);
}
