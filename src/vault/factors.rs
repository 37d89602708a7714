//! Second factors of users: authenticator apps, passkeys, recovery codes; and sign-ins that wait for one.

use std::time::Duration;

use async_trait::async_trait;

use super::{Ended, VaultError};
use crate::clock::Timestamp;
use crate::id::{FactorId, SessionId, UserId};

/// Maximum number of authenticator apps of a user, and of passkeys. People have a phone and a spare one, and a passkey
/// for each device.
pub const MAX_TOTP: usize = 5;
/// As [`MAX_TOTP`], for passkeys.
pub const MAX_PASSKEYS: usize = 20;

/// An authenticator app (TOTP, RFC 6238).
#[derive(Clone, Debug)]
pub struct TotpFactor {
    /// Id.
    pub id: FactorId,
    /// Name that the user gave it.
    pub name: String,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// Newest time step whose code was accepted. Codes of it and before are not accepted.
    pub last_step: i64,
    /// Time of enrolment.
    pub created_at: Timestamp,
    /// Time of the last use; `None` before the first.
    pub used_at: Option<Timestamp>,
}

/// A passkey (WebAuthn credential).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Credential id, chosen by the authenticator.
    pub credential_id: Vec<u8>,
    /// Owner.
    pub user_id: UserId,
    /// Name that the user gave it.
    pub name: String,
    /// Public key: SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), DER.
    pub public_key: Vec<u8>,
    /// COSE algorithm (RFC 9053), such as -7.
    pub algorithm: i32,
    /// Signature counter of the last use; 0 for authenticators without one.
    pub sign_count: u32,
    /// Transports that the browser reported, joined by commas.
    pub transports: String,
    /// True if it may be synced between devices. It never changes.
    pub backup_eligible: bool,
    /// True if it was synced at the last use.
    pub backed_up: bool,
    /// Time of enrolment.
    pub created_at: Timestamp,
    /// Time of the last use; `None` before the first.
    pub used_at: Option<Timestamp>,
}

/// Use of a passkey: a verified answer to a challenge.
#[derive(Clone, Debug)]
pub struct PasskeyUse {
    /// Credential id.
    pub credential_id: Vec<u8>,
    /// Signature counter of this use. The highest one is kept.
    pub sign_count: u32,
    /// Whether the passkey was synced.
    pub backed_up: bool,
    /// SHA-256 of the challenge.
    pub challenge: [u8; 32],
    /// Time for which the challenge must be remembered.
    pub life: Duration,
}

/// Factors of a user.
#[derive(Clone, Debug)]
pub struct UserFactors {
    /// Authenticator apps, oldest first.
    pub totp: Vec<TotpFactor>,
    /// Passkeys, oldest first.
    pub passkeys: Vec<Passkey>,
    /// Number of unused recovery codes.
    pub recovery_codes: u32,
    /// Time at which a second factor is needed at the latest; `None` before the first sign-in under such a policy.
    pub due_at: Option<Timestamp>,
    /// Current time of the vault's clock.
    pub now: Timestamp,
}

impl UserFactors {
    /// Returns whether the user has enrolled a second factor. Recovery codes alone are none: they stand in for one.
    pub fn is_enrolled(&self) -> bool {
        !self.totp.is_empty() || !self.passkeys.is_empty()
    }
}

/// An authenticator app to be enrolled. The user has shown a code of it.
#[derive(Clone, Debug)]
pub struct NewTotp {
    /// New random id.
    pub id: FactorId,
    /// Owner.
    pub user_id: UserId,
    /// Name.
    pub name: String,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// Time step of the code that was shown.
    pub step: i64,
}

/// Factor to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovedFactor {
    /// An authenticator app.
    Totp(FactorId),
    /// A passkey, by credential id.
    Passkey(Vec<u8>),
    /// Every factor, and the recovery codes.
    All,
}

impl RemovedFactor {
    /// Returns the kind, for the audit row.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Totp(_) => "totp",
            Self::Passkey(_) => "passkey",
            Self::All => "all",
        }
    }
}

/// Rate of tries of codes: one for each `interval`, at most `burst` of them at once.
#[derive(Clone, Copy, Debug)]
pub struct TryRate {
    /// Time for which a try uses up the rate.
    pub interval: Duration,
    /// Number of tries at once.
    pub burst: u32,
}

/// A sign-in that waits for its second factor.
#[derive(Clone, Debug)]
pub struct NewPendingSignIn {
    /// SHA-256 of the browser's secret.
    pub digest: [u8; 32],
    /// User whose first factor is proven.
    pub user_id: UserId,
    /// Sealed state that the end of the sign-in needs.
    pub sealed: Vec<u8>,
    /// Time for which it can be ended.
    pub life: Duration,
}

/// Second factors.
#[async_trait]
pub trait Factors: Send + Sync {
    /// Returns the factors of a user; of an unknown user there are none.
    async fn of_user(&self, user: UserId) -> Result<UserFactors, VaultError>;
    /// Enrols an authenticator app.
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`]; [`VaultError::TooMany`] with [`MAX_TOTP`] of them; [`VaultError::AccountTaken`] if this
    /// one is enrolled already.
    async fn add_totp(&self, new: &NewTotp) -> Result<(), VaultError>;
    /// Accepts the code of a time step, once. Returns `false` if that step or a later one was accepted before, or if the
    /// app was removed.
    async fn use_totp(&self, user: UserId, id: FactorId, step: i64) -> Result<bool, VaultError>;
    /// Enrols a passkey.
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`]; [`VaultError::TooMany`] with [`MAX_PASSKEYS`] of them; [`VaultError::AccountTaken`]
    /// if the credential is enrolled already, for any user.
    async fn add_passkey(&self, new: &Passkey) -> Result<(), VaultError>;
    /// Returns the passkey with a credential id.
    async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Passkey>, VaultError>;
    /// Stores the use of a passkey. Returns `false` if the challenge was answered before, or if the passkey was removed.
    async fn use_passkey(&self, used: &PasskeyUse) -> Result<bool, VaultError>;
    /// Replaces the recovery codes of a user by new ones, given as their SHA-256.
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`].
    async fn set_recovery_codes(&self, user: UserId, digests: &[[u8; 32]]) -> Result<(), VaultError>;
    /// Uses up a recovery code. Returns `false` if the user has none with this SHA-256.
    async fn use_recovery_code(&self, user: UserId, digest: [u8; 32]) -> Result<bool, VaultError>;
    /// Removes a factor, and every session of the user except `keep`. The recovery codes go with the last factor, which stays
    /// if the user `needs_one`.
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`] if the user has no such factor; [`VaultError::LastWay`] if it is the last, and needed.
    async fn remove(
        &self,
        user: UserId,
        factor: &RemovedFactor,
        keep: Option<SessionId>,
        needs_one: bool,
    ) -> Result<Ended, VaultError>;
    /// Charges a try of a code. Returns the time to wait if the rate is used up, and charges nothing then.
    async fn charge_try(&self, user: UserId, rate: TryRate) -> Result<Option<Duration>, VaultError>;
    /// Forgets earlier tries, after a correct code.
    async fn forget_tries(&self, user: UserId) -> Result<(), VaultError>;
    /// Returns the time until the user needs a second factor: `grace`, or what is left of an earlier one, if that is shorter.
    /// Zero: it is needed now.
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`].
    async fn require(&self, user: UserId, grace: Duration) -> Result<Duration, VaultError>;
    /// Stores a sign-in that waits for its second factor.
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`].
    async fn begin(&self, pending: &NewPendingSignIn) -> Result<(), VaultError>;
    /// Returns the user and the sealed part of a sign-in that waits; `None` if it has ended or run out.
    async fn pending(&self, digest: [u8; 32]) -> Result<Option<(UserId, Vec<u8>)>, VaultError>;
    /// Ends the wait. Returns `false` if it had ended before.
    async fn finish(&self, digest: [u8; 32]) -> Result<bool, VaultError>;
}
