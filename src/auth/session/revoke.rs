//! Revocation: committed in the vault, applied here, written to the session store, then acknowledged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::auth::{Auth, Settings, detached};
use crate::clock::Timestamp;
use crate::error::Refusal;
use crate::guard;
use crate::id::{SessionId, UserId};
use crate::identity::ClientKind;
use crate::request_id;
use crate::vault::origin::{Actor, acting};
use crate::vault::{EndReason, Ended, LogEntry, Scope};

/// Maximum number of tombstone writes in flight. A connection carries hundreds in one write; all of a large revocation
/// at once would delay every check behind them.
const MAX_IN_FLIGHT: usize = 256;

/// Progress of a revocation when it is acknowledged. In both cases every gateway that reads the vault refuses the
/// session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// In the vault and the session store.
    Complete,
    /// In the vault; the session store is down and gets the tombstones when it is back.
    Vault,
}

/// An acknowledged revocation.
#[derive(Debug, Clone)]
pub struct Revoked {
    /// Number of sessions that were alive until now.
    pub sessions: usize,
    /// Whether it concerned any session, including sessions that had ended before.
    pub is_known: bool,
    /// Progress of the revocation.
    pub propagation: Propagation,
    /// The sessions that it concerned.
    pub(crate) ended: Vec<SessionId>,
}

/// Tombstones that are not written to the session store yet.
#[derive(Default)]
pub(crate) struct PendingTombstones(Mutex<HashMap<SessionId, Timestamp>>);

impl PendingTombstones {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Auth {
    /// Ends one session of a user, and revokes its refresh token at the provider that opened it.
    ///
    /// # Errors
    /// `SessionUnknown` when the session is not the owner's or ended long ago; `StoreUnavailable`.
    pub async fn end_session(
        self: &Arc<Self>,
        id: SessionId,
        owner: UserId,
        reason: EndReason,
        settings: &Settings,
    ) -> Result<Revoked, Refusal> {
        let revoked = self.revoke(Scope::Session(id, Some(owner)), reason).await?;
        self.revoke_at_providers(&revoked.ended, settings);
        if !revoked.is_known { Err(Refusal::SessionUnknown) } else { Ok(revoked) }
    }

    /// Ends every session of a user.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn end_all(self: &Arc<Self>, user: UserId, settings: &Settings) -> Result<Revoked, Refusal> {
        let revoked = self.revoke(Scope::User(user), EndReason::User).await?;
        self.revoke_at_providers(&revoked.ended, settings);
        Ok(revoked)
    }

    /// Ends every session of a user except `keep`, in one statement.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn end_others(
        self: &Arc<Self>,
        user: UserId,
        keep: SessionId,
        settings: &Settings,
    ) -> Result<Revoked, Refusal> {
        let revoked = self.revoke(Scope::Others(user, keep), EndReason::User).await?;
        self.revoke_at_providers(&revoked.ended, settings);
        Ok(revoked)
    }

    /// Ends every session of a user that belongs to an API client, in one statement.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn end_programs(self: &Arc<Self>, user: UserId) -> Result<Revoked, Refusal> {
        self.revoke(Scope::OfClient(user, ClientKind::Program.client_id()), EndReason::User).await
    }

    /// Ends the session of a refresh token. A client whose access token has expired logs out this way.
    ///
    /// # Errors
    /// As [`Auth::refresh`]; `RefreshInvalid` for a token without a live session.
    pub async fn logout_by_refresh(
        self: &Arc<Self>,
        token: &str,
        settings: &Settings,
    ) -> Result<Revoked, Refusal> {
        let renewed = self.refresh(token, settings).await?;
        let revoked = self.revoke(Scope::Session(renewed.session_id, None), EndReason::Logout).await?;
        self.revoke_at_providers(&revoked.ended, settings);
        Ok(revoked)
    }

    /// Runs to its end even when the caller hangs up. Sessions revoked before are applied again.
    pub(crate) async fn revoke(
        self: &Arc<Self>,
        scope: Scope,
        reason: EndReason,
    ) -> Result<Revoked, Refusal> {
        let auth = Arc::clone(self);
        detached(async move {
            let revoking = auth.parts.vault.sessions.revoke(scope, reason);
            let ended = match reason {
                EndReason::Provider => auth.at_vault(acting(Actor::Provider, revoking)).await?,
                _ => auth.at_vault(revoking).await?,
            };
            let propagation = auth.apply_revocation(&ended, reason).await;
            let is_known = !ended.sessions.is_empty();
            Ok(Revoked { sessions: ended.alive, is_known, propagation, ended: ended.sessions })
        })
        .await
    }

    /// Applies what the vault has committed: the set first (which cuts requests and streams), then tombstones.
    pub(crate) async fn apply_revocation(self: &Arc<Self>, ended: &Ended, reason: EndReason) -> Propagation {
        self.observe_revocations(&self.apply(&ended.entries));
        let counted = self.parts.metrics.tokens.ended.with_label_values(&[reason.as_str()]);
        counted.inc_by(ended.alive as u64);
        self.write_tombstones(sessions(&ended.entries), ended.now).await
    }

    /// Enters log rows into the set. Returns the sessions that were not in it.
    pub(crate) fn apply(&self, entries: &[LogEntry]) -> Vec<(SessionId, Timestamp)> {
        let mut new = Vec::new();
        for entry in entries {
            match *entry {
                LogEntry::Session { id, until } => {
                    if self.live.revoke(id, until) {
                        new.push((id, until));
                    }
                }
                LogEntry::Rights { user_id, rights, until } => {
                    self.live.change_rights(user_id, rights, until);
                }
            }
        }
        new
    }

    /// Writes tombstones in batches. Those that the session store does not accept are kept for a retry.
    pub(crate) async fn write_tombstones(
        self: &Arc<Self>,
        sessions: Vec<(SessionId, Timestamp)>,
        now: Timestamp,
    ) -> Propagation {
        let mut propagation = Propagation::Complete;
        if guard::is_off("tombstone") {
            return propagation;
        }
        for batch in sessions.chunks(MAX_IN_FLIGHT) {
            let mut writing = JoinSet::new();
            for &(id, until) in batch {
                let auth = Arc::clone(self);
                writing.spawn(request_id::carried(async move {
                    let written = auth.parts.sessions.revoke(id, until.since(now)).await;
                    if let Err(error) = &written {
                        tracing::debug!(%error, session = %id, "a tombstone was not written: it will be retried");
                        auth.tombstones.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, until);
                    }
                    written.is_ok()
                }));
            }
            while let Some(written) = writing.join_next().await {
                if !written.unwrap_or(false) {
                    propagation = Propagation::Vault;
                }
            }
        }
        propagation
    }
}

/// Returns the sessions among log rows.
fn sessions(entries: &[LogEntry]) -> Vec<(SessionId, Timestamp)> {
    let session = |entry: &LogEntry| match *entry {
        LogEntry::Session { id, until } => Some((id, until)),
        LogEntry::Rights { .. } => None,
    };
    entries.iter().filter_map(session).collect()
}

/// Retries pending tombstones at intervals of `pause`; never returns.
pub async fn retry_tombstones(auth: Arc<Auth>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let tombstones: Vec<_> = auth
            .tombstones
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(id, until)| (*id, *until))
            .collect();
        let now = auth.vault_now();
        for batch in tombstones.chunks(MAX_IN_FLIGHT) {
            for (id, _) in batch {
                auth.tombstones.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            }
            // An expired revocation needs no tombstone.
            let needed = batch.iter().copied().filter(|(_, until)| *until > now).collect();
            if auth.write_tombstones(needed, now).await == Propagation::Vault {
                // The store is still away: the others wait for the next round.
                break;
            }
        }
    }
}
