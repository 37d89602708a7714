//! What the log is told of the connection: changes, each once.

use std::mem::{Discriminant, discriminant};

use tokio::time::Instant;

use super::connect::ConnectError;
use super::fault::Fault;
use super::look::Look;

/// What was said since the connection was last there.
pub(super) struct Journal {
    /// The servers by name, for people.
    place: String,
    away_since: Instant,
    said: Vec<(Discriminant<ConnectError>, Option<Discriminant<Fault>>)>,
    look: Option<Look>,
}

impl Journal {
    /// Nothing was said, and nothing is there yet.
    pub(super) fn new(place: String) -> Self {
        Self { place, away_since: Instant::now(), said: Vec::new(), look: None }
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
                let redis = &self.place;
                tracing::error!(reason = "session_store_too_old", redis, %cause, "the session store cannot be used");
            }
            _ => tracing::warn!(
                reason = "session_store_lost",
                redis = self.place,
                %cause,
                advice = advice(cause),
                "the session store is away: sessions are confirmed by the vault until it is back"
            ),
        }
    }

    /// A connection is there; what is new about the server is told.
    pub(super) fn back(&mut self, look: &Look) {
        if self.said.is_empty() {
            let version = look.version.as_deref();
            tracing::info!(
                reason = "session_store_there",
                redis = self.place,
                version,
                "the session store is there"
            );
        } else {
            let away_ms = u64::try_from(self.away_since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(
                reason = "session_store_back",
                redis = self.place,
                away_ms,
                "the session store is back"
            );
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

/// What to look at, for those who have just set it up.
fn advice(cause: &ConnectError) -> &'static str {
    match cause {
        ConnectError::NoMaster => {
            "does every host of sessions.url run a Sentinel, and do they know a master by the name after the slash?"
        }
        ConnectError::Fault(Fault::Credentials) => "correct the user or the password in sessions.url",
        ConnectError::Fault(Fault::ReadOnly) => "name the master in sessions.url, or use redis+sentinel://",
        ConnectError::Fault(Fault::Refused(_)) => {
            "is it the kind of Redis that sessions.url says (one, Sentinel, Cluster), with a database of that number, \
             and may its user do this?"
        }
        ConnectError::Fault(Fault::Unanswered(text) | Fault::Ended(text)) if text.contains("certificate") => {
            "set sessions.ca_file to the certificate that signed the server's, and name the server as it does"
        }
        ConnectError::Fault(_) => {
            "is Redis running there, with TLS (rediss://) or without (redis://) as sessions.url says?"
        }
        ConnectError::OtherMaster | ConnectError::ClusterDown | ConnectError::TooOld(_) => "",
    }
}
