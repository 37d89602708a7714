//! Sessions: open, rotate, look up, end.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use super::{LogEntry, VaultError};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
#[cfg(doc)]
use crate::identity::ClientKind;
use crate::identity::{Attributes, Epoch, Login, Methods, Proof, RightsVersion, Roles};

/// Minimum extension of the idle end that a renewal writes. Less would cost a write for every tab of a browser; more
/// would end sessions up to that much too early. Never more than [`idle_grain`].
pub const EXTEND_AFTER: Duration = Duration::from_secs(60);

/// Maximum time by which the stored idle end of a session lags behind its last use: a twentieth of the idle timeout. A
/// session may end this much before its idle timeout. A shorter grain costs more writes: this one costs at most 20 per
/// idle timeout and gateway.
pub fn idle_grain(idle: Duration) -> Duration {
    (idle / 20).max(Duration::from_secs(1))
}

/// Minimum extension of the idle end that a renewal writes, for this idle timeout.
pub(super) fn extend_after(idle: Duration) -> Duration {
    EXTEND_AFTER.min(idle_grain(idle))
}

/// A session to be created.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// New random id.
    pub id: SessionId,
    /// Owner.
    pub user_id: UserId,
    /// The user's epoch as read with the password hash.
    pub epoch: Epoch,
    /// The OAuth client it belongs to.
    pub client_id: String,
    /// SHA-256 of the refresh family id.
    pub family: [u8; 32],
    /// Key of generation 0 of the refresh token.
    pub refresh_kid: u8,
    /// Idle timeout.
    pub idle: Duration,
    /// Absolute lifetime.
    pub absolute: Duration,
    /// Client address of the login.
    pub address: Option<IpAddr>,
    /// `User-Agent` of the login, truncated to 256 bytes.
    pub user_agent: Option<String>,
    /// Authentication methods of the login.
    pub methods: Methods,
    /// Time since the last active proof: zero, unless a provider proved the user earlier.
    pub proven_ago: Duration,
}

/// Maximum stored length of a `User-Agent` in bytes: enough to tell devices apart, too little to fill a disk.
const USER_AGENT: usize = 256;

/// Returns the part of a `User-Agent` that is stored.
pub fn stored_user_agent(text: &str) -> &str {
    &text[..text.floor_char_boundary(USER_AGENT)]
}

impl NewSession {
    /// Returns the part of the `User-Agent` that is stored.
    pub(crate) fn stored_user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref().map(stored_user_agent)
    }
}

/// Contents of a token, read in the transaction that allowed it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The session.
    pub session_id: SessionId,
    /// Owner.
    pub user_id: UserId,
    /// The OAuth client it belongs to: [`ClientKind::of`].
    pub client_id: String,
    /// Current login name.
    pub login: Login,
    /// Current e-mail address and name.
    pub attributes: Attributes,
    /// Current roles.
    pub roles: Roles,
    /// Version of the roles and attributes.
    pub rights: RightsVersion,
    /// Authentication methods, and the time of the last active proof. For a session that an earlier release opened: no
    /// method, at the login.
    pub proof: Proof,
    /// Effective end of the session: the earlier of idle and absolute end.
    pub ends_at: Timestamp,
    /// Absolute end, which the session store keeps.
    pub expires_at: Timestamp,
    /// Current time of the vault's clock: `iat`.
    pub now: Timestamp,
    /// Client address of the login.
    pub address: Option<IpAddr>,
    /// `User-Agent` of the login.
    pub user_agent: Option<String>,
}

/// A presented refresh token whose MAC is valid.
#[derive(Clone, Debug)]
pub struct Presented {
    /// SHA-256 of the family id.
    pub family: [u8; 32],
    /// Generation in the token.
    pub generation: u32,
    /// Client that presents it.
    pub client_id: String,
    /// Key of the next generation.
    pub refresh_kid: u8,
    /// Time during which the previous generation may be repeated.
    pub grace: Duration,
    /// Time during which it may still be repeated after `grace`, if no access token of the current generation was used.
    pub grace_unused: Duration,
    /// Idle timeout of the session.
    pub idle: Duration,
}

/// Outcome of a presented refresh token.
#[derive(Clone, Debug)]
pub enum Rotation {
    /// The next generation was created, or the current one is returned again within the grace.
    Granted {
        /// Contents of the access token.
        grant: Grant,
        /// Current generation, which the returned refresh token has.
        generation: u32,
        /// Key with which that generation was first created, so that a repeat returns the same token byte for byte.
        refresh_kid: u8,
        /// Age of the previous generation when it was rotated; `None` when this repeats an earlier rotation.
        age: Option<Duration>,
        /// True if the previous generation was repeated after the grace, as nobody had used the current one. That one is
        /// void, and this is a new one.
        is_late: bool,
    },
    /// A generation from further back, or one after its time: the session is ended and its row written (RFC 9700 4.14.2).
    Reused {
        /// The ended session.
        ended: Ended,
        /// Owner of the session.
        user_id: UserId,
        /// Number of generations from the presented to the current one: 1 for the previous one, more for any other.
        behind: u32,
    },
    /// No live session belongs to the token.
    Refused(RotationRefused),
}

/// Reason why no live session belongs to a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationRefused {
    /// No session has this family, or the generation was never created: the vault was restored from a backup.
    Unknown,
    /// The idle or absolute end has passed.
    Expired,
    /// The session was ended: signed out, revoked, reused, or its user was disabled or changed.
    Ended,
    /// An older generation that was current a moment ago: a slow request of a client that has gone on. Nothing is ended.
    Superseded,
    /// The token belongs to another client.
    OtherClient,
}

/// Returns how far a reused generation is behind the current one. After a late repeat there is a void one between the
/// previous and the current one.
pub(crate) fn behind(current: u32, presented: u32, is_previous: bool) -> u32 {
    if is_previous { 1 } else { current.saturating_sub(presented).max(2) }
}

/// Stored session of a family, with which a presented token is compared.
#[derive(Debug)]
pub(crate) struct StoredToken<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) generation: u32,
    /// True if the session has not ended and its user exists, is enabled and still has the epoch of the login.
    pub(crate) is_valid: bool,
    /// True if neither the idle nor the absolute end has passed.
    pub(crate) is_current: bool,
}

impl StoredToken<'_> {
    /// Returns the reason to refuse a token; `None` if its generation decides.
    pub(crate) fn refusal(&self, presented: &Presented) -> Option<RotationRefused> {
        if self.client_id != presented.client_id {
            Some(RotationRefused::OtherClient)
        } else if !self.is_valid {
            Some(RotationRefused::Ended)
        } else if !self.is_current {
            Some(RotationRefused::Expired)
        } else if presented.generation > self.generation {
            Some(RotationRefused::Unknown)
        } else if presented.generation == u32::MAX {
            // The generation counter is exhausted. No session lives that long, and the counter must not restart.
            Some(RotationRefused::Expired)
        } else {
            None
        }
    }
}

/// Reason for ending a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Logout of the session.
    Logout,
    /// Ended from the user's device list, or by logout-all.
    User,
    /// The password was changed.
    Password,
    /// The user was disabled or deleted.
    Disabled,
    /// A refresh token was reused.
    Reuse,
    /// Ended by an administrator.
    Admin,
    /// Ended by the provider that opened it, or since its account was unlinked.
    Provider,
    /// A second factor was removed.
    Factor,
    /// Replaced by a session of the same browser or program, with another proof.
    Replaced,
    /// An unusual pattern, where `[unusual]` ends its session.
    Unusual,
}

impl EndReason {
    /// Returns the stored name, which is also a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::User => "user",
            Self::Password => "password",
            Self::Disabled => "disabled",
            Self::Reuse => "reuse",
            Self::Admin => "admin",
            Self::Provider => "provider",
            Self::Factor => "factor",
            Self::Replaced => "replaced",
            Self::Unusual => "unusual",
        }
    }

    /// Returns the name of the audit event for this reason.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::User => "session_revoked",
            Self::Admin => "session_revoked_by_admin",
            Self::Provider => "session_ended_by_provider",
            Self::Reuse => "refresh_reused",
            Self::Password => "session_ended_by_password",
            Self::Disabled => "session_ended_by_disable",
            Self::Factor => "session_ended_by_factor",
            Self::Replaced => "session_replaced",
            Self::Unusual => "session_ended_by_pattern",
        }
    }
}

/// Sessions ended by a revocation or a change of a user.
#[derive(Clone, Debug)]
pub struct Ended {
    /// All sessions in scope, including those ended earlier whose tokens could still be alive.
    pub sessions: Vec<SessionId>,
    /// Number of them that were alive until now.
    pub alive: usize,
    /// Their rows in the log.
    pub entries: Vec<LogEntry>,
    /// Current time of the vault's clock.
    pub now: Timestamp,
}

/// Sessions that a revocation ends.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// One session; with an owner, only if the session belongs to that user.
    Session(SessionId, Option<UserId>),
    /// Every session of a user.
    User(UserId),
    /// Every session of a user except this one.
    Others(UserId, SessionId),
    /// Every session of a user that belongs to this client.
    OfClient(UserId, &'static str),
    /// Every session of all users.
    Everyone,
}

/// A session that was used since its idle end was stored.
#[derive(Clone, Copy, Debug)]
pub struct SessionUse {
    /// The session.
    pub id: SessionId,
    /// Idle end computed from its last use, by the vault's clock.
    pub until: Timestamp,
    /// End as last read from the vault. The session has been in use since then without a pause of its idle timeout, so
    /// it does not count as ended even if that could not be written in time.
    pub known: Timestamp,
    /// Idle timeout; no stored end is further away than this.
    pub idle: Duration,
    /// Highest refresh generation whose access token was used: its client has the response of that rotation.
    pub generation: u32,
}

/// A stored session.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Contents of a token for it; `now` is the vault's clock at this read.
    pub grant: Grant,
    /// True if the session is usable: not ended, not expired, its user neither disabled nor changed.
    pub live: bool,
    /// Time of the login.
    pub created_at: Timestamp,
    /// Time of the last refresh.
    pub renewed_at: Timestamp,
}

/// A page of a list of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPage {
    /// Which sessions: those of browsers or those of programs; `None` for both.
    pub browsers: Option<bool>,
    /// Last session of the page before; `None` for the first page. It may have ended since. If it was deleted, which is
    /// hours after its end, the list starts again.
    pub after: Option<SessionId>,
    /// Maximum number of sessions.
    pub limit: u32,
}

impl SessionPage {
    /// Returns the first page of the sessions of browsers and programs.
    pub const fn first(limit: u32) -> Self {
        Self { browsers: None, after: None, limit }
    }
}

/// Sessions and refresh rotation.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Inserts a session if the user is still enabled and has the given epoch.
    ///
    /// # Errors
    /// [`VaultError::Superseded`] if the user was meanwhile disabled or deleted, or the password changed.
    async fn open(&self, session: &NewSession) -> Result<Grant, VaultError>;
    /// Opens a session in place of `old`, which ends: the user has proven more. It belongs to the same client, has no later
    /// absolute end, and takes over the provider's part.
    ///
    /// # Errors
    /// [`VaultError::Superseded`] if `old` is not a live session of the user, or the user was changed.
    async fn replace(&self, old: SessionId, new: &NewSession) -> Result<(Grant, Ended), VaultError>;
    /// Rotates, repeats or detects reuse, in one atomic decision.
    async fn rotate(&self, presented: &Presented) -> Result<Rotation, VaultError>;
    /// Grants without a new generation, by the same decision as [`Sessions::rotate`]. The idle end moves at most once
    /// in [`EXTEND_AFTER`]. `age` is the age of the presented generation, or `None` if it is a repeat of the previous
    /// one. `generation` and `refresh_kid` are always those of the current one.
    async fn renew(&self, presented: &Presented) -> Result<Rotation, VaultError>;
    /// Moves the idle end of used sessions, never back and never beyond the absolute end, and stores the generation
    /// that was used. Returns the ends of live sessions; a session missing from the result has ended. At most 1,000 at
    /// a time.
    async fn touch(&self, uses: &[SessionUse]) -> Result<Vec<(SessionId, Timestamp)>, VaultError>;
    /// Returns the session, or `None` if it certainly does not exist.
    async fn find(&self, id: SessionId) -> Result<Option<SessionRow>, VaultError>;
    /// Returns those of these sessions that exist, in any order; at most 1,000 at a time.
    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<SessionRow>, VaultError>;
    /// Returns the live sessions of a user, or of all users, newest first.
    async fn list(&self, user: Option<UserId>, page: SessionPage) -> Result<Vec<SessionRow>, VaultError>;
    /// Ends sessions and writes one log row for each. A session ended earlier is returned again, so that the caller
    /// applies it again, but not logged again: its row still exists.
    async fn revoke(&self, scope: Scope, reason: EndReason) -> Result<Ended, VaultError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_grain_is_a_twentieth_and_renewals_write_within_it() {
        let seconds = Duration::from_secs;
        assert_eq!((idle_grain(seconds(60)), extend_after(seconds(60))), (seconds(3), seconds(3)));
        assert_eq!(
            (idle_grain(seconds(43_200)), extend_after(seconds(43_200))),
            (seconds(2160), seconds(60))
        );
        assert_eq!(idle_grain(seconds(1)), seconds(1), "never a write for every request");
    }
}
