//! State of the vault, keys, lease and sessions, as the status page shows it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Auth;
use crate::token::keyring::KeyState;

/// Snapshot of the state at one moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether the last read of the vault's log succeeded.
    pub vault_answers: bool,
    /// Whether every key in the vault could be loaded and opened.
    pub keys_loaded: bool,
    /// Whether the revocation list is proven current.
    pub lease_held: bool,
    /// Time since the last proof; `None` before the first.
    pub proven_ago: Option<Duration>,
    /// Length of the lease.
    pub lease: Duration,
    /// Whether the session store is shared and can confirm sessions while the vault is away.
    pub shared_sessions: bool,
    /// Sessions with a verified token or a request on this gateway.
    pub sessions: usize,
    /// The signing keys.
    pub keys: Vec<KeyState>,
}

impl Auth {
    /// Returns the current state.
    pub fn status(&self) -> Status {
        let now = self.parts.clock.monotonic();
        Status {
            vault_answers: !self.vault_silent.load(Ordering::Acquire),
            keys_loaded: !self.keys_behind.load(Ordering::Acquire),
            lease_held: self.lease.is_held(now),
            proven_ago: self.lease.unproven_for(now),
            lease: self.lease.length(),
            shared_sessions: self.parts.sessions.is_shared(),
            sessions: self.live.slot_count(),
            keys: self.parts.keys.current().list(self.vault_now()),
        }
    }
}
