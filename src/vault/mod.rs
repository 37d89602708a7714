//! The vault: the authoritative store of users, sessions, revocations, keys and audit events.
//!
//! Eight small traits on one backend, which is chosen once in `server`. Every method is atomic on its own. Times that
//! the vault stores and compares come from its own clock; results that lead to a signature contain that clock's `now`.
//!
//! This module knows nothing about tokens, HTTP or the session store. A backend that cannot answer returns
//! [`VaultError::Unavailable`], never "absent".

use std::sync::Arc;
use std::time::Duration;

mod audit;
mod factors;
mod identities;
mod keys;
mod log;
mod mail;
mod metered;
pub mod origin;
pub mod postgres;
mod sessions;
pub mod sqlite;
mod users;

pub use audit::chain::{Break, Chain, ChainKey, ChainPoint, SealedPoint, Verifier};
pub use audit::verify::{Unverified, Verified, verify};
pub use audit::{
    Audit, AuditEvent, AuditQuery, AuditTrail, Connections, Linked, LinkedEvent, MAX_RECORDED, NewAuditEvent,
    Outcome,
};
pub use factors::{
    Factors, MAX_PASSKEYS, MAX_TOTP, NewPendingSignIn, NewTotp, Passkey, PasskeyUse, RemovedFactor,
    TotpFactor, TryRate, UserFactors,
};
pub use identities::{
    AccountLink, Identities, LOGOUT_LIFE, NewAccountUser, NewProviderSession, OtherWays, ProviderAccount,
    ProviderLogout, Recheck, Rechecked, SignOutHint, SpentToken, Statement,
};
pub use keys::{KeyTable, KeyUse, Keys, NewKey, StoredKey};
pub use log::{Cursor, LogEntry, LogPage, RevocationLog};
pub use mail::{ClaimedMail, Link, LinkPurpose, Mail, MailOutcome, NewLink, NewMail, Outbox, SENT_MAIL_LIFE};
pub use metered::metered;
pub use sessions::{
    EXTEND_AFTER, EndReason, Ended, Grant, NewSession, Presented, Rotation, RotationRefused, Scope,
    SessionPage, SessionRow, SessionUse, Sessions, idle_grain, stored_user_agent,
};
pub use users::{
    AttributesChange, Edit, ImportMode, Imported, NewUser, PasswordCount, User, UserChange, UserKey, Users,
};

/// Time a revocation row is kept: the maximum lifetime of an access token plus leeway. A row must outlive every token
/// it revokes. A shorter time would make a revoked token valid again; a longer one only costs memory.
pub const REVOCATION_LIFE: Duration = Duration::from_secs(3600 + 120);

/// A vault: one backend behind each of its traits.
#[derive(Clone)]
pub struct Vault {
    /// Users and their credentials.
    pub users: Arc<dyn Users>,
    /// Accounts at providers.
    pub identities: Arc<dyn Identities>,
    /// Second factors.
    pub factors: Arc<dyn Factors>,
    /// The outbox, and the links in mails.
    pub mail: Arc<dyn Mail>,
    /// Sessions and refresh rotation.
    pub sessions: Arc<dyn Sessions>,
    /// The revocation log, which every gateway follows.
    pub log: Arc<dyn RevocationLog>,
    /// Encrypted signing keys.
    pub keys: Arc<dyn Keys>,
    /// Audit events, and housekeeping.
    pub audit: Arc<dyn Audit>,
    /// The audit trail: events, and the chain that links them.
    pub trail: Arc<dyn AuditTrail>,
}

/// Error of a vault operation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VaultError {
    /// The vault cannot be queried now; the result is unknown.
    #[error("vault: {0}")]
    Unavailable(String),
    /// The user changed (password, disabled, deleted) since the caller read it.
    #[error("the user was changed meanwhile; start again")]
    Superseded,
    /// A user of this name exists already.
    #[error("there is a user of this name already")]
    LoginTaken,
    /// Another user has this e-mail address.
    #[error("another user has this e-mail address")]
    EmailTaken,
    /// The account at the provider belongs to a user already.
    #[error("this account belongs to a user already")]
    AccountTaken,
    /// The user could not sign in any more.
    #[error("this is the user's last way to sign in")]
    LastWay,
    /// The user has as many of these as one may have.
    #[error("there are too many of these already: remove one first")]
    TooMany,
    /// No user of this name or id exists.
    #[error("there is no such user")]
    UserUnknown,
    /// The stored data is damaged or belongs to another program; the text says what to do.
    #[error("{0}")]
    Damaged(String),
}
