//! What the use cases stand on at this moment, for people who look.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Auth;
use crate::token::keyring::KeyState;

/// Seen at one moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether the vault answered when its log was read last.
    pub vault_answers: bool,
    /// Whether every key of the vault could be loaded and opened.
    pub keys_loaded: bool,
    /// Whether the revocation set is proven current.
    pub lease_held: bool,
    /// How long ago that was proven last; `None` when it never was.
    pub proven_ago: Option<Duration>,
    /// How long a proof counts.
    pub lease: Duration,
    /// Whether the session store can vouch while the vault is away: it is shared.
    pub shared_sessions: bool,
    /// Sessions of which something is known here: a verified token or a request.
    pub sessions: usize,
    /// The keys.
    pub keys: Vec<KeyState>,
}

impl Auth {
    /// How it stands.
    pub fn status(&self) -> Status {
        let now = self.parts.clock.monotonic();
        Status {
            vault_answers: !self.vault_silent.load(Ordering::Acquire),
            keys_loaded: !self.keys_behind.load(Ordering::Acquire),
            lease_held: self.lease.is_held(now),
            proven_ago: self.lease.unproven_for(now),
            lease: self.lease.length(),
            shared_sessions: self.parts.sessions.vouches_alone(),
            sessions: self.live.known(),
            keys: self.parts.keys.current().list(self.vault_now()),
        }
    }
}
