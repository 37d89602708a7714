//! The revocation log: the feed every replica follows.

use async_trait::async_trait;

use super::VaultError;
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::RightsVersion;

/// A place in the revocation log, opaque to everyone but the backend that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);

/// One row of the revocation log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// A session that has ended.
    Session {
        /// Which.
        id: SessionId,
        /// Until when the row matters.
        until: Timestamp,
    },
    /// A user whose rights changed: tokens of an older version are refused until refreshed.
    Rights {
        /// Whose.
        user_id: UserId,
        /// The oldest version still good.
        rights: RightsVersion,
        /// Until when the row matters.
        until: Timestamp,
    },
}

/// What the log says after a cursor.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// Rows not yet seen (a row may come twice, never not at all).
    pub entries: Vec<LogEntry>,
    /// Where to go on.
    pub cursor: Cursor,
    /// The version of the key table: when it moves, keys are loaded again.
    pub keys_version: u64,
    /// The vault's clock.
    pub now: Timestamp,
}

/// The feed every replica follows.
#[async_trait]
pub trait RevocationLog: Send + Sync {
    /// Everything committed since `after`, or every unexpired row without it. Everything committed before this
    /// call began is in the answer: that is what renews a lease.
    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError>;
    /// Resolves when somebody has probably written: in this process at once, in another as soon as the backend
    /// can tell. A hint, never the proof.
    async fn changed(&self);
}
