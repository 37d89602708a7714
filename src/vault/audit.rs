//! What was done, and housekeeping.

use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;

use super::VaultError;
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};

/// Something worth remembering.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// When, by the vault's clock; ignored when written.
    pub at: Timestamp,
    /// What: a stable word such as `login`, `logout`, `refresh_reused`, `password_changed`, `user_disabled`.
    pub event: String,
    /// Whom it concerns.
    pub user: Option<UserId>,
    /// Which session.
    pub session: Option<SessionId>,
    /// From where.
    pub address: Option<IpAddr>,
}

/// Connections to a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Answering now.
    pub in_use: usize,
    /// Open, and waiting to be needed.
    pub idle: usize,
    /// There may be so many.
    pub max: usize,
    /// Questions waiting for one.
    pub waiting: usize,
}

/// What was done, and housekeeping.
#[async_trait]
pub trait Audit: Send + Sync {
    /// The newest events first, at most `limit`. Changes write their own event in their own transaction.
    async fn recent(&self, limit: u32) -> Result<Vec<AuditEvent>, VaultError>;
    /// Deletes sessions and revocation rows that no longer matter, at most `limit` of each; answers how many.
    async fn sweep(&self, limit: u32) -> Result<u64, VaultError>;
    /// The version of the stored schema.
    async fn schema(&self) -> Result<u32, VaultError>;
    /// Brings everything that was written into the vault's main file, for those who copy it after a clean stop.
    async fn settle(&self) -> Result<(), VaultError>;
    /// Writes a consistent copy of everything to a new file.
    ///
    /// # Errors
    /// When the file exists, cannot be written, or the backend has its own tool for this (the text names it).
    async fn backup(&self, to: &Path) -> Result<(), VaultError>;
    /// The connections now; an embedded vault has its one writer.
    fn connections(&self) -> Connections {
        Connections { in_use: 0, idle: 1, max: 1, waiting: 0 }
    }
}
