//! Audit events, and housekeeping.

use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;

use super::VaultError;
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};

/// An audit event.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Time by the vault's clock; ignored when written.
    pub at: Timestamp,
    /// Stable name such as `login`, `logout`, `refresh_reused`, `password_changed`, `user_disabled`.
    pub event: String,
    /// User concerned.
    pub user: Option<UserId>,
    /// Session concerned.
    pub session: Option<SessionId>,
    /// Client address.
    pub address: Option<IpAddr>,
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

/// Audit events, and housekeeping.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Returns the newest events first, at most `limit`. Each change writes its own event in its own transaction.
    async fn recent(&self, limit: u32) -> Result<Vec<AuditEvent>, VaultError>;
    /// Deletes obsolete sessions and revocation rows, at most `limit` of each; returns the number deleted.
    async fn sweep(&self, limit: u32) -> Result<u64, VaultError>;
    /// Returns the version of the stored schema.
    async fn schema(&self) -> Result<u32, VaultError>;
    /// Writes all data into the vault's main file, so that it can be copied after a clean stop.
    async fn settle(&self) -> Result<(), VaultError>;
    /// Writes a consistent copy of everything to a new file.
    ///
    /// The file exists or cannot be written, or the backend has its own tool for this (the text names it).
    /// The file exists or cannot be written, or the backend has its own tool for this (the text names it).
    async fn backup(&self, to: &Path) -> Result<(), VaultError>;
    /// Returns the current connection counts; an embedded vault has one writer.
    fn connections(&self) -> Connections {
        Connections { in_use: 0, idle: 1, max: 1, waiting: 0 }
    }
}
