//! The vault: the truth about users, sessions, revocations, keys and what was done to them.
//!
//! Five small traits on one backend, chosen once in `server`. Every method is atomic on its own. What the vault
//! stores and compares, the vault's own clock decides; answers that lead to a signature carry that clock's `now`.
//!
//! Nothing here knows tokens, HTTP or the session store. A backend that cannot answer says
//! [`VaultError::Unavailable`]; it never answers "absent" instead.

use std::sync::Arc;
use std::time::Duration;

mod audit;
mod keys;
mod log;
mod metered;
pub mod postgres;
mod sessions;
pub mod sqlite;
mod users;

pub use audit::{Audit, AuditEvent, Connections};
pub use keys::{KeyTable, KeyUse, Keys, NewKey, StoredKey};
pub use log::{Cursor, LogEntry, LogPage, RevocationLog};
pub use metered::metered;
pub use sessions::{
    EXTEND_AFTER, EndReason, Ended, Grant, NewSession, Presented, Rotation, RotationRefused, Scope,
    SessionRow, SessionUse, Sessions, idle_grain,
};
pub use users::{User, UserChange, UserKey, Users};

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
    #[error("vault: {0}")]
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
