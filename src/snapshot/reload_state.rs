//! Which configuration is in force, and what became of the last attempt to replace it: for `/readyz` and
//! the metrics.

use crate::clock::Timestamp;

/// The configuration in force, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadState {
    /// 1 at the start, one more with each reload that was applied.
    pub generation: u64,
    /// Since when it is in force.
    pub loaded_at: Timestamp,
    /// The first 48 bits of the SHA-256 of its file; 0 where it came from no file.
    pub hash: u64,
    /// What is wrong with the file as it is now, a line each, while an older one is in force. Never holds a secret.
    pub rejected: Vec<String>,
    /// The keys to which the file gives another value than this process runs with, and only a new one takes.
    pub restart_needed: Vec<&'static str>,
}

impl ReloadState {
    /// Of the configuration a process starts with.
    pub const fn begun(loaded_at: Timestamp) -> Self {
        Self { generation: 1, loaded_at, hash: 0, rejected: Vec::new(), restart_needed: Vec::new() }
    }
}
