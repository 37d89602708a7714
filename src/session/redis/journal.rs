//! What the log is told of the connection: changes, each once.

use std::mem::{Discriminant, discriminant};

use tokio::time::Instant;

use super::connect::ConnectError;
use super::fault::Fault;
use super::look::Look;

/// What was said since the connection was last there.
pub(super) struct Journal {
    away_since: Instant,
    said: Vec<(Discriminant<ConnectError>, Option<Discriminant<Fault>>)>,
    look: Option<Look>,
}

impl Journal {
    /// Nothing was said, and nothing is there yet.
    pub(super) fn new() -> Self {
        Self { away_since: Instant::now(), said: Vec::new(), look: None }
    }

    /// The connection is gone, or could not be made: each kind of cause is told once until it is back.
    pub(super) fn lost(&mut self, cause: &ConnectError) {
        if self.said.is_empty() {
            self.away_since = Instant::now();
        }
        let fault = if let ConnectError::Fault(fault) = cause { Some(discriminant(fault)) } else { None };
        let kind = (discriminant(cause), fault);
        if self.said.contains(&kind) {
            return tracing::debug!(%cause, "the session store is still away");
        }
        self.said.push(kind);
        match cause {
            ConnectError::TooOld(_) => {
                tracing::error!(reason = "session_store_too_old", %cause, "the session store cannot be used");
            }
            _ => tracing::warn!(
                reason = "session_store_lost",
                %cause,
                "the session store is away: sessions are confirmed by the vault until it is back"
            ),
        }
    }

    /// A connection is there; what is new about the server is told.
    pub(super) fn back(&mut self, look: &Look) {
        if self.said.is_empty() {
            tracing::info!(version = look.version.as_deref(), "the session store is there");
        } else {
            let away_ms = u64::try_from(self.away_since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(reason = "session_store_back", away_ms, "the session store is back");
        }
        self.said.clear();
        if self.look.as_ref() != Some(look) {
            if let Some(warning) = look.eviction_warning() {
                tracing::warn!(reason = "session_store_evicts", policy = look.policy.as_deref(), "{warning}");
            }
            self.look = Some(look.clone());
        }
    }
}
