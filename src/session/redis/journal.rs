//! Log of connection changes: each change is logged once.

use std::mem::{Discriminant, discriminant};

use tokio::time::Instant;

use super::connect::ConnectError;
use super::fault::Fault;
use super::server_info::ServerInfo;

/// Messages logged since the connection was lost.
pub(super) struct Journal {
    /// Names of the servers, for messages.
    servers: String,
    away_since: Instant,
    logged: Vec<(Discriminant<ConnectError>, Option<Discriminant<Fault>>)>,
    info: Option<ServerInfo>,
}

impl Journal {
    /// Starts without a connection and without messages.
    pub(super) fn new(servers: String) -> Self {
        Self { servers, away_since: Instant::now(), logged: Vec::new(), info: None }
    }

    /// Logs the loss of the connection, or a failed attempt. Each kind of cause is logged once until the connection is
    /// back.
    pub(super) fn lost(&mut self, cause: &ConnectError) {
        if self.logged.is_empty() {
            self.away_since = Instant::now();
        }
        let fault = if let ConnectError::Fault(fault) = cause { Some(discriminant(fault)) } else { None };
        let kind = (discriminant(cause), fault);
        if self.logged.contains(&kind) {
            return tracing::debug!(%cause, "the session store is still away");
        }
        self.logged.push(kind);
        match cause {
            ConnectError::TooOld(_) => {
                let redis = &self.servers;
                tracing::error!(reason = "session_store_too_old", redis, %cause, "the session store cannot be used");
            }
            _ => tracing::warn!(
                reason = "session_store_lost",
                redis = self.servers,
                %cause,
                advice = advice(cause),
                "the session store is down: sessions are confirmed by the vault until it is back"
            ),
        }
    }

    /// Logs a new connection, and what has changed about the server.
    pub(super) fn back(&mut self, info: &ServerInfo) {
        if self.logged.is_empty() {
            let version = info.version.as_deref();
            tracing::info!(
                reason = "session_store_there",
                redis = self.servers,
                version,
                "connected to the session store"
            );
        } else {
            let away_ms = u64::try_from(self.away_since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(
                reason = "session_store_back",
                redis = self.servers,
                away_ms,
                "the session store is back"
            );
        }
        self.logged.clear();
        if self.info.as_ref() != Some(info) {
            if let Some(warning) = info.eviction_warning() {
                tracing::warn!(reason = "session_store_evicts", policy = info.policy.as_deref(), "{warning}");
            }
            self.info = Some(info.clone());
        }
    }
}

/// Returns the likely fix, for a new setup.
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
        ConnectError::Fault(Fault::Unanswered(cause) | Fault::Ended(cause)) if cause.is_untrusted => {
            "set sessions.ca_file to the certificate that signed the server's, and name the server as it does"
        }
        ConnectError::Fault(_) => {
            "is Redis running there, with TLS (rediss://) or without (redis://) as sessions.url says?"
        }
        ConnectError::OtherMaster | ConnectError::ClusterDown | ConnectError::TooOld(_) => "",
    }
}
