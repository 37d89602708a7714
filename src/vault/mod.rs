//! The vault: the truth about users, sessions, revocations, keys and what was done to them.
//!
//! Five small traits on one backend, chosen once in `server`. Every method is atomic on its own. What the vault
//! stores and compares, the vault's own clock decides; answers that lead to a signature carry that clock's `now`.
//!
//! Nothing here knows tokens, HTTP or the session store. A backend that cannot answer says
//! [`VaultError::Unavailable`]; it never answers "absent" instead.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::{Epoch, Login, RightsVersion, Roles};
use crate::secret::Secret;

pub mod sqlite;

/// How long a revocation row is kept, and so the longest an access token may live plus its leeway: a row must
/// outlive every token of what it revokes. Shorter would let a revoked token come back; longer only costs memory.
pub const REVOCATION_LIFE: Duration = Duration::from_secs(3600 + 120);

/// A vault: one backend behind each of its traits.
#[derive(Clone)]
pub struct Vault {
    /// Users and their credentials.
    pub users: Arc<dyn Users>,
    /// Sessions and refresh rotation.
    pub sessions: Arc<dyn Sessions>,
    /// The feed every replica follows.
    pub log: Arc<dyn RevocationLog>,
    /// Sealed signing keys.
    pub keys: Arc<dyn Keys>,
    /// What was done, by whom, and housekeeping.
    pub audit: Arc<dyn Audit>,
}

/// Why the vault did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VaultError {
    /// It cannot be asked now; nothing is known about the answer.
    #[error("the vault cannot answer: {0}")]
    Unavailable(String),
    /// The user changed (password, disabled, deleted) since the caller read it.
    #[error("the user was changed meanwhile; start again")]
    Superseded,
    /// There is a user of this name already.
    #[error("there is a user of this name already")]
    LoginTaken,
    /// There is no such user.
    #[error("there is no such user")]
    UserUnknown,
    /// The stored data is damaged or of another program; the text says what to do.
    #[error("{0}")]
    Damaged(String),
}

/// A user as stored.
#[derive(Clone, Debug)]
pub struct User {
    /// For life.
    pub id: UserId,
    /// The canonical login name.
    pub login: Login,
    /// A PHC string.
    pub password: Secret<String>,
    /// Sorted.
    pub roles: Roles,
    /// A disabled user has no live session and cannot sign in.
    pub disabled: bool,
    /// Raised by password change, disable and enable.
    pub epoch: Epoch,
    /// Raised by a change of roles.
    pub rights: RightsVersion,
    /// When the user was made.
    pub created_at: Timestamp,
}

/// How a user is looked up.
#[derive(Clone, Debug)]
pub enum UserKey {
    /// By login name.
    Login(Login),
    /// By id.
    Id(UserId),
}

/// What can be done to a user. Each is one transaction with the revocation rows it causes.
#[derive(Clone, Debug)]
pub enum UserChange {
    /// A new password: raises the epoch and ends every session but `keep`. With `expected`, only if the stored
    /// hash is still that one (else [`VaultError::Superseded`]).
    Password {
        /// The new PHC string.
        new: Secret<String>,
        /// The PHC string the caller verified against.
        expected: Option<Secret<String>>,
        /// The session that stays: the one the change was made on.
        keep: Option<SessionId>,
    },
    /// The same password hashed anew with other parameters; ends nothing. Does nothing when the stored hash is
    /// no longer `old`.
    Rehash {
        /// The PHC string that was verified.
        old: Secret<String>,
        /// Its replacement.
        new: Secret<String>,
    },
    /// Other roles: raises the rights version and writes a rights row; sessions live on and refresh.
    Roles(Roles),
    /// Disabled ends every session and raises the epoch; enabling raises the epoch too. Enabling a user who is
    /// not disabled does nothing: a raised epoch would end sessions without their rows.
    Disabled(bool),
    /// Gone, with all sessions (each with its revocation row).
    Deleted,
}

/// What a revocation or a change of a user has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Every session concerned, those ended before included as long as their tokens could live.
    pub sessions: Vec<SessionId>,
    /// The rows written to the log.
    pub entries: Vec<LogEntry>,
    /// The vault's clock.
    pub now: Timestamp,
}

/// Users and their credentials.
#[async_trait]
pub trait Users: Send + Sync {
    /// Makes a user.
    ///
    /// # Errors
    /// [`VaultError::LoginTaken`].
    async fn create(
        &self,
        id: UserId,
        login: &Login,
        password: &Secret<String>,
        roles: &Roles,
    ) -> Result<(), VaultError>;
    /// The user, or `None` when there is certainly none.
    async fn find(&self, key: &UserKey) -> Result<Option<User>, VaultError>;
    /// Users in order of login name, after `after`, at most `limit`.
    async fn list(&self, after: Option<&Login>, limit: u32) -> Result<Vec<User>, VaultError>;
    /// Changes a user; see [`UserChange`].
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`], [`VaultError::Superseded`].
    async fn change(&self, id: UserId, change: &UserChange) -> Result<Ended, VaultError>;
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
        /// Whether this repeats an earlier rotation.
        repeated: bool,
    },
    /// A generation from further back or after the grace: the session is ended, its row written (RFC 9700 4.14.2).
    Reused {
        /// The session that was ended.
        ended: Ended,
        /// Whose.
        user_id: UserId,
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
}

/// Which sessions a revocation ends.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// One session; with an owner, only if it is theirs.
    Session(SessionId, Option<UserId>),
    /// Every session of a user.
    User(UserId),
    /// Every session there is.
    Everyone,
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
    /// The session, or `None` when there is certainly none.
    async fn find(&self, id: SessionId) -> Result<Option<SessionRow>, VaultError>;
    /// A user's live sessions, newest first; of everyone without a user, at most 1,000.
    async fn list(&self, user: Option<UserId>) -> Result<Vec<SessionRow>, VaultError>;
    /// Ends sessions and writes one log row for each. What was ended before is reported and logged again, so
    /// that repeating a revocation re-applies it everywhere.
    async fn revoke(&self, scope: Scope, reason: EndReason) -> Result<Ended, VaultError>;
}

/// A place in the revocation log, opaque to everyone but the backend that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);

/// One row of the revocation log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// A session that has ended.
    Session {
        /// Which.
        id: SessionId,
        /// Until when the row matters.
        until: Timestamp,
    },
    /// A user whose rights changed: tokens of an older version are refused until refreshed.
    Rights {
        /// Whose.
        user_id: UserId,
        /// The oldest version still good.
        rights: RightsVersion,
        /// Until when the row matters.
        until: Timestamp,
    },
}

/// What the log says after a cursor.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// Rows not yet seen (a row may come twice, never not at all).
    pub entries: Vec<LogEntry>,
    /// Where to go on.
    pub cursor: Cursor,
    /// The version of the key table: when it moves, keys are loaded again.
    pub keys_version: u64,
    /// The vault's clock.
    pub now: Timestamp,
}

/// The feed every replica follows.
#[async_trait]
pub trait RevocationLog: Send + Sync {
    /// Everything committed since `after`, or every unexpired row without it. Everything committed before this
    /// call began is in the answer: that is what renews a lease.
    async fn read(&self, after: Option<Cursor>) -> Result<LogPage, VaultError>;
    /// Resolves when somebody has probably written: in this process at once, in another as soon as the backend
    /// can tell. A hint, never the proof.
    async fn changed(&self);
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Signs access tokens.
    Access,
    /// Authenticates refresh tokens.
    Refresh,
}

impl KeyUse {
    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

/// A key to be stored.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Unique among keys of its use.
    pub kid: String,
    /// What it is for.
    pub key_use: KeyUse,
    /// What it does: `EdDSA`, `ES256`, `RS256`, `HS256`.
    pub algorithm: String,
    /// Sealed under the master secret; the vault cannot read it.
    pub sealed: Vec<u8>,
    /// How long after now it begins to sign. Zero for the first key.
    pub signs_after: Duration,
    /// How long after that its predecessors still verify.
    pub overlap: Duration,
}

/// A key as stored.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// Unique among keys of its use.
    pub kid: String,
    /// What it is for.
    pub key_use: KeyUse,
    /// What it does.
    pub algorithm: String,
    /// Sealed under the master secret.
    pub sealed: Vec<u8>,
    /// From when it signs.
    pub signs_from: Timestamp,
    /// Until when it verifies; `None` while it has no successor.
    pub verifies_until: Option<Timestamp>,
}

/// The keys that still verify.
#[derive(Clone, Debug)]
pub struct KeyTable {
    /// Raised by every change.
    pub version: u64,
    /// Every key that still verifies.
    pub keys: Vec<StoredKey>,
    /// The vault's clock.
    pub now: Timestamp,
}

/// Sealed signing keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// The keys that still verify.
    async fn load(&self) -> Result<KeyTable, VaultError>;
    /// Adds keys; predecessors of the same use get their end. With `only_first`, does nothing for a use that has
    /// a key already, so that replicas starting together agree on one. Answers the table afterwards.
    async fn add(&self, keys: &[NewKey], only_first: bool) -> Result<KeyTable, VaultError>;
}

/// Something worth remembering.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// When, by the vault's clock; ignored when written.
    pub at: Timestamp,
    /// What: a stable word such as `login`, `logout`, `refresh_reused`, `password_changed`, `user_disabled`.
    pub event: String,
    /// Whom it concerns.
    pub user: Option<UserId>,
    /// Which session.
    pub session: Option<SessionId>,
    /// From where.
    pub address: Option<IpAddr>,
}

/// What was done, and housekeeping.
#[async_trait]
pub trait Audit: Send + Sync {
    /// The newest events first, at most `limit`. Changes write their own event in their own transaction.
    async fn recent(&self, limit: u32) -> Result<Vec<AuditEvent>, VaultError>;
    /// Deletes sessions and revocation rows that no longer matter, at most `limit` of each; answers how many.
    async fn sweep(&self, limit: u32) -> Result<u64, VaultError>;
    /// The version of the stored schema.
    async fn schema(&self) -> Result<u32, VaultError>;
    /// Writes a consistent copy of everything to a new file.
    ///
    /// # Errors
    /// When the file exists, cannot be written, or the backend has its own tool for this (the text names it).
    async fn backup(&self, to: &Path) -> Result<(), VaultError>;
}
