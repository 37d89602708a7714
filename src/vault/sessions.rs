//! Sessions: opened, rotated, looked up, ended.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use super::{LogEntry, VaultError};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
#[cfg(doc)]
use crate::identity::ClientKind;
use crate::identity::{Epoch, Login, RightsVersion, Roles};

/// How much later the idle end of a session must be before a renewal writes it: less would write for every tab of a
/// browser, more would end sessions that much before they have been idle for long. Never more than [`idle_grain`].
pub const EXTEND_AFTER: Duration = Duration::from_secs(60);

/// Maximum time by which the stored idle end of a session lags behind its last use: a twentieth of the idle timeout. A
/// session ends at the earliest this long before it has been idle for its timeout. A shorter grain means more writes: this
/// one is at most 20 for each idle timeout and gateway.
pub fn idle_grain(idle: Duration) -> Duration {
    (idle / 20).max(Duration::from_secs(1))
}

/// What a renewal waits for before it writes the idle end again.
pub(super) fn extend_after(idle: Duration) -> Duration {
    EXTEND_AFTER.min(idle_grain(idle))
}

/// A session to be made.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Fresh and random.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// The user's epoch as read with the password hash.
    pub epoch: Epoch,
    /// The OAuth client it belongs to.
    pub client_id: String,
    /// SHA-256 of the refresh family id.
    pub family: [u8; 32],
    /// The key under which generation 0 of the refresh token is made.
    pub refresh_kid: u8,
    /// How long without a refresh until it ends.
    pub idle: Duration,
    /// How long in all until it ends.
    pub absolute: Duration,
    /// Where the login came from.
    pub address: Option<IpAddr>,
    /// What the login said it was (`User-Agent`), cut to 256 bytes.
    pub user_agent: Option<String>,
}

/// What a token is made of, read in the transaction that allowed it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The session.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// The OAuth client it belongs to: [`ClientKind::of`].
    pub client_id: String,
    /// The login name now.
    pub login: Login,
    /// The roles now.
    pub roles: Roles,
    /// The version of those roles.
    pub rights: RightsVersion,
    /// The session's own end: the earlier of idle and absolute.
    pub ends_at: Timestamp,
    /// The absolute end alone: what the session store keeps.
    pub expires_at: Timestamp,
    /// The vault's clock: `iat`.
    pub now: Timestamp,
}

/// A refresh token presented, its MAC already found good.
#[derive(Clone, Debug)]
pub struct Presented {
    /// SHA-256 of the family id.
    pub family: [u8; 32],
    /// The generation in the token.
    pub generation: u32,
    /// The client presenting it.
    pub client_id: String,
    /// The key a new generation would be made under.
    pub refresh_kid: u8,
    /// How long the previous generation may be repeated.
    pub grace: Duration,
    /// How long without a refresh until the session ends.
    pub idle: Duration,
}

/// What became of a presented refresh token.
#[derive(Clone, Debug)]
pub enum Rotation {
    /// The next generation was made, or (`repeated`) is handed out again inside the grace.
    Granted {
        /// What the access token is made of.
        grant: Grant,
        /// The current generation: that of the token to answer with.
        generation: u32,
        /// The key that generation was first made under, whoever asks again: a repeat is the same token byte for byte.
        refresh_kid: u8,
        /// How old the generation before was when it was rotated; `None` when this repeats an earlier rotation.
        age: Option<Duration>,
    },
    /// A generation from further back or after the grace: the session is ended, its row written (RFC 9700 4.14.2).
    Reused {
        /// The session that was ended.
        ended: Ended,
        /// Whose.
        user_id: UserId,
        /// How many generations behind the current one was presented.
        behind: u32,
    },
    /// No live session answers to it.
    Refused(RotationRefused),
}

/// Why no live session answers to a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationRefused {
    /// No session of this family (or a generation that was never made: the vault was restored from a backup).
    Unknown,
    /// Idle or absolute end reached.
    Expired,
    /// Ended: signed out, revoked, reused, or its user disabled or changed.
    Ended,
    /// The token belongs to another client.
    OtherClient,
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its own logout.
    Logout,
    /// Ended from the user's list of devices, or by logout-all.
    User,
    /// The password was changed.
    Password,
    /// The user was disabled or deleted.
    Disabled,
    /// A refresh token was reused.
    Reuse,
    /// An administrator.
    Admin,
}

impl EndReason {
    /// As stored and as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::User => "user",
            Self::Password => "password",
            Self::Disabled => "disabled",
            Self::Reuse => "reuse",
            Self::Admin => "admin",
        }
    }

    /// The word in the audit for a session ended for this reason.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::User => "session_revoked",
            Self::Admin => "session_revoked_by_admin",
            Self::Reuse => "refresh_reused",
            Self::Password => "session_ended_by_password",
            Self::Disabled => "session_ended_by_disable",
        }
    }
}

/// What a revocation or a change of a user has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Every session concerned, those ended before included as long as their tokens could live.
    pub sessions: Vec<SessionId>,
    /// How many of them were alive until now.
    pub alive: usize,
    /// The rows that stand in the log for them.
    pub entries: Vec<LogEntry>,
    /// The vault's clock.
    pub now: Timestamp,
}

/// Which sessions a revocation ends.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// One session; with an owner, only if it is theirs.
    Session(SessionId, Option<UserId>),
    /// Every session of a user.
    User(UserId),
    /// Every session of a user but this one.
    Others(UserId, SessionId),
    /// Every session of a user that belongs to this client.
    OfClient(UserId, &'static str),
    /// Every session there is.
    Everyone,
}

/// A session that was used since its idle end was stored.
#[derive(Clone, Copy, Debug)]
pub struct SessionUse {
    /// Which session.
    pub id: SessionId,
    /// Its idle end by its last use, on the vault's clock.
    pub until: Timestamp,
    /// Its end as the vault last told it. The session was in use from then on without a pause of its idle timeout: where
    /// that could not be written in time, it is not taken for ended.
    pub known: Timestamp,
    /// Its idle timeout: no end is stored that is further away than this.
    pub idle: Duration,
}

/// A session as stored.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// What a token of it is made of; `now` is the vault's clock at this look.
    pub grant: Grant,
    /// Whether it can be used: not ended, not past its idle or absolute end, its user neither disabled nor changed.
    pub live: bool,
    /// When the login was.
    pub created_at: Timestamp,
    /// When it was last refreshed.
    pub renewed_at: Timestamp,
    /// Where the login came from.
    pub address: Option<IpAddr>,
    /// What the login said it was.
    pub user_agent: Option<String>,
}

/// Sessions and refresh rotation.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Inserts a session, only if the user is still enabled and of the epoch given.
    ///
    /// # Errors
    /// [`VaultError::Superseded`] when a password change, a disable or a deletion came in between.
    async fn open(&self, session: &NewSession) -> Result<Grant, VaultError>;
    /// Rotates, answers a retry, or detects reuse: one atomic decision.
    async fn rotate(&self, presented: &Presented) -> Result<Rotation, VaultError>;
    /// Grants without making another generation, by the same decision as [`Sessions::rotate`]. The idle end moves, at most
    /// once in [`EXTEND_AFTER`]. `age` is how old the generation presented is; `None` when it is the one before, inside
    /// the grace: `generation` and `refresh_kid` are always those of the current one.
    async fn renew(&self, presented: &Presented) -> Result<Rotation, VaultError>;
    /// Moves the idle end of sessions that were used, never back and never beyond the absolute end. Returns the ends of
    /// those that live; those that are missing in the answer have ended. At most 1,000 at a time.
    async fn touch(&self, uses: &[SessionUse]) -> Result<Vec<(SessionId, Timestamp)>, VaultError>;
    /// The session, or `None` when there is certainly none.
    async fn find(&self, id: SessionId) -> Result<Option<SessionRow>, VaultError>;
    /// A user's live sessions, or everyone's without a user, newest first; at most 1,000.
    async fn list(&self, user: Option<UserId>) -> Result<Vec<SessionRow>, VaultError>;
    /// Ends sessions and writes one log row for each. What was ended before is reported again, so that the caller
    /// applies it again, and not logged again: its row still stands.
    async fn revoke(&self, scope: Scope, reason: EndReason) -> Result<Ended, VaultError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_grain_is_a_twentieth_and_renewals_write_within_it() {
        let seconds = Duration::from_secs;
        assert_eq!((idle_grain(seconds(60)), extend_after(seconds(60))), (seconds(3), seconds(3)));
        assert_eq!(
            (idle_grain(seconds(43_200)), extend_after(seconds(43_200))),
            (seconds(2160), seconds(60))
        );
        assert_eq!(idle_grain(seconds(1)), seconds(1), "never a write for every request");
    }
}
