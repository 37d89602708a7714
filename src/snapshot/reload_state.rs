//! State of the configuration: generation, hash and the result of the last reload, for `/readyz` and the metrics.

use crate::clock::Timestamp;

/// State of the configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadState {
    /// Number of the configuration: 1 at start, plus one for each applied reload.
    pub generation: u64,
    /// Time at which it came into force.
    pub loaded_at: Timestamp,
    /// First 48 bits of the SHA-256 of the file; 0 without a file.
    pub hash: u64,
    /// Errors in the current file, one line each, while an older configuration is in force. Never contains a secret.
    pub rejected: Vec<String>,
    /// Keys with a changed value in the file that takes effect only after a restart.
    pub restart_needed: Vec<&'static str>,
}

impl ReloadState {
    /// Returns the state at start.
    pub const fn initial(loaded_at: Timestamp) -> Self {
        Self { generation: 1, loaded_at, hash: 0, rejected: Vec::new(), restart_needed: Vec::new() }
    }
}
