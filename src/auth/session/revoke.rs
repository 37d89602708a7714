//! Revocation: committed in the vault, applied here, told to the session store, then acknowledged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::auth::{Auth, Settings, detached};
use crate::clock::Timestamp;
use crate::error::Refusal;
use crate::id::{SessionId, UserId};
use crate::identity::ClientKind;
use crate::request_id;
use crate::vault::{EndReason, Ended, LogEntry, Scope};

/// Tombstones on their way at once: a connection carries hundreds in one write; all of a large revocation would keep
/// every check waiting behind them.
const AT_ONCE: usize = 256;

/// How far a revocation has come when it is acknowledged. Either way no replica that sees the vault accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// In the vault and the session store.
    Complete,
    /// In the vault; the session store is away and will be told as soon as it is back.
    Vault,
}

/// An acknowledged revocation.
#[derive(Debug, Clone)]
pub struct Revoked {
    /// How many sessions were alive until now.
    pub sessions: usize,
    /// Whether it concerned any session at all, those that had ended before included.
    pub known: bool,
    /// How far it has come.
    pub propagation: Propagation,
}

/// Tombstones the session store has not taken yet.
#[derive(Default)]
pub(crate) struct OwedTombstones(Mutex<HashMap<SessionId, Timestamp>>);

impl OwedTombstones {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Auth {
    /// Ends one session of a user.
    ///
    /// # Errors
    /// `SessionUnknown` when it is not theirs (or has long ended); `StoreUnavailable`.
    pub async fn end_session(
        self: &Arc<Self>,
        id: SessionId,
        owner: UserId,
        reason: EndReason,
    ) -> Result<Revoked, Refusal> {
        let revoked = self.revoke(Scope::Session(id, Some(owner)), reason).await?;
        if !revoked.known { Err(Refusal::SessionUnknown) } else { Ok(revoked) }
    }

    /// Ends every session of a user.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn end_all(self: &Arc<Self>, user: UserId) -> Result<Revoked, Refusal> {
        self.revoke(Scope::User(user), EndReason::User).await
    }

    /// Ends every session of a user but `keep`, in one statement.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn end_others(self: &Arc<Self>, user: UserId, keep: SessionId) -> Result<Revoked, Refusal> {
        self.revoke(Scope::Others(user, keep), EndReason::User).await
    }

    /// Ends every session of a user that belongs to a program, in one statement.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn end_programs(self: &Arc<Self>, user: UserId) -> Result<Revoked, Refusal> {
        self.revoke(Scope::OfClient(user, ClientKind::Program.client_id()), EndReason::User).await
    }

    /// Ends the session a refresh token belongs to: the way out for a client whose access token has run out.
    ///
    /// # Errors
    /// As [`Auth::refresh`]; a token that answers to no live session is `RefreshInvalid`.
    pub async fn logout_by_refresh(
        self: &Arc<Self>,
        token: &str,
        settings: &Settings,
    ) -> Result<Revoked, Refusal> {
        let renewed = self.refresh(token, settings).await?;
        self.revoke(Scope::Session(renewed.session_id, None), EndReason::Logout).await
    }

    /// Runs to its end though the caller hangs up. What was revoked before is applied again.
    async fn revoke(self: &Arc<Self>, scope: Scope, reason: EndReason) -> Result<Revoked, Refusal> {
        let auth = Arc::clone(self);
        detached(async move {
            let ended = auth.parts.vault.sessions.revoke(scope, reason).await?;
            let propagation = auth.carry_out(&ended, reason).await;
            Ok(Revoked { sessions: ended.alive, known: !ended.sessions.is_empty(), propagation })
        })
        .await
    }

    /// Applies what the vault has committed: the set first (which cuts requests and streams), then tombstones.
    pub(crate) async fn carry_out(self: &Arc<Self>, ended: &Ended, reason: EndReason) -> Propagation {
        self.observe_revocations(&self.apply(&ended.entries));
        let counted = self.parts.metrics.tokens.ended.with_label_values(&[reason.as_str()]);
        counted.inc_by(ended.alive as u64);
        self.entomb(sessions(&ended.entries), ended.now).await
    }

    /// Enters log rows into the set; answers the sessions that were not in it.
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

    /// Writes tombstones, many at a time; what the session store does not take is owed to it.
    pub(crate) async fn entomb(
        self: &Arc<Self>,
        sessions: Vec<(SessionId, Timestamp)>,
        now: Timestamp,
    ) -> Propagation {
        let mut propagation = Propagation::Complete;
        for some in sessions.chunks(AT_ONCE) {
            let mut writing = JoinSet::new();
            for &(id, until) in some {
                let auth = Arc::clone(self);
                writing.spawn(request_id::carried(async move {
                    let written = auth.parts.sessions.revoke(id, until.since(now)).await;
                    if let Err(error) = &written {
                        tracing::debug!(%error, session = %id, "a tombstone is owed to the session store");
                        auth.owed.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, until);
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

/// The sessions among log rows.
fn sessions(entries: &[LogEntry]) -> Vec<(SessionId, Timestamp)> {
    let session = |entry: &LogEntry| match *entry {
        LogEntry::Session { id, until } => Some((id, until)),
        LogEntry::Rights { .. } => None,
    };
    entries.iter().filter_map(session).collect()
}

/// Pays owed tombstones, trying every `pause`; never ends by itself.
pub async fn retry_tombstones(auth: Arc<Auth>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let owed: Vec<_> = auth
            .owed
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(id, until)| (*id, *until))
            .collect();
        let now = auth.vault_now();
        for some in owed.chunks(AT_ONCE) {
            for (id, _) in some {
                auth.owed.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            }
            // What has run out needs none any more.
            let needed = some.iter().copied().filter(|(_, until)| *until > now).collect();
            if auth.entomb(needed, now).await == Propagation::Vault {
                // The store is still away: the others can wait too.
                break;
            }
        }
    }
}
