//! Users: stored data, lookup and changes.

use async_trait::async_trait;

use super::{Ended, VaultError};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::{Attributes, DisplayName, Email, Epoch, Login, RightsVersion, Roles};
use crate::secret::Secret;

/// A user to be created.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// New random id.
    pub id: UserId,
    /// Login name.
    pub login: Login,
    /// Password hash as a PHC string.
    pub password: Secret<String>,
    /// Roles.
    pub roles: Roles,
    /// E-mail address and name. An address that is verified counts as verified now.
    pub attributes: Attributes,
    /// True if disabled from the beginning.
    pub disabled: bool,
}

impl NewUser {
    /// Describes an enabled user without attributes.
    pub const fn new(id: UserId, login: Login, password: Secret<String>, roles: Roles) -> Self {
        Self { id, login, password, roles, attributes: Attributes::NONE, disabled: false }
    }
}

/// A stored user.
#[derive(Clone, Debug)]
pub struct User {
    /// Id, which never changes.
    pub id: UserId,
    /// The canonical login name.
    pub login: Login,
    /// Password hash as a PHC string.
    pub password: Secret<String>,
    /// E-mail address and name.
    pub attributes: Attributes,
    /// Time at which the address was verified; `None` if it is not.
    pub email_verified_at: Option<Timestamp>,
    /// Roles, sorted.
    pub roles: Roles,
    /// True if disabled: the user has no live session and cannot sign in.
    pub disabled: bool,
    /// True if it was disabled when a provider's account created it, until an operator enables it.
    pub waits_for_approval: bool,
    /// Epoch; incremented by password change, disable and enable.
    pub epoch: Epoch,
    /// Rights version; incremented by a change of roles or attributes.
    pub rights: RightsVersion,
    /// Time of creation.
    pub created_at: Timestamp,
}

/// Key of a user lookup.
#[derive(Clone, Debug)]
pub enum UserKey {
    /// Login name.
    Login(Login),
    /// User id.
    Id(UserId),
    /// E-mail address. Nobody is who they are by that alone.
    Email(Email),
}

/// A change of a user. Each is one transaction with the revocation rows it causes.
#[derive(Clone, Debug)]
pub enum UserChange {
    /// A new password: increments the epoch and ends every session except `keep`. With `expected`, only if the stored
    /// hash is still that one (else [`VaultError::Superseded`]).
    Password {
        /// The new PHC string.
        new: Secret<String>,
        /// The PHC string the caller verified against.
        expected: Option<Secret<String>>,
        /// Session that stays alive: the one the change was made in.
        keep: Option<SessionId>,
    },
    /// A new hash of the same password with other parameters; ends nothing. Does nothing if the stored hash is no longer
    /// `old`.
    Rehash {
        /// The PHC string that was verified.
        old: Secret<String>,
        /// Its replacement.
        new: Secret<String>,
    },
    /// New roles: increments the rights version and writes a rights row; sessions stay alive and refresh.
    Roles(Roles),
    /// New attributes: increments the rights version and writes a rights row, as new roles do. A change to the values
    /// that are stored does nothing.
    Attributes(AttributesChange),
    /// Disabling ends every session and increments the epoch; enabling increments the epoch too. Enabling a user who is
    /// not disabled does nothing: a new epoch would end sessions without their rows.
    Disabled(bool),
    /// Deletes the user and all sessions (each with its revocation row).
    Deleted,
}

/// A change of one attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Edit<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is removed.
    Clear,
    /// It is replaced.
    Set(T),
}

impl<T> Edit<T> {
    /// Returns the value after this change of a stored one.
    pub(crate) fn of<'a>(&'a self, stored: Option<&'a T>) -> Option<&'a T> {
        match self {
            Self::Keep => stored,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// Returns whether the value is removed or replaced.
    pub(crate) const fn is_change(&self) -> bool {
        !matches!(self, Self::Keep)
    }
}

/// A change of a user's attributes. By default nothing changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributesChange {
    /// The e-mail address. A new one is not verified; the one that is stored stays as it is.
    pub email: Edit<Email>,
    /// Whether the address, a new one or the one that is stored, is verified; `None` follows `email`. Without an address
    /// it has no effect.
    pub email_verified: Option<bool>,
    /// The display name.
    pub name: Edit<DisplayName>,
}

/// Whether an import writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// Users are created.
    Create,
    /// Nothing is written: the result is that of a creation now.
    Trial,
}

/// Result of importing one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// The user was created.
    Created,
    /// A user of this name exists, and was left alone.
    LoginTaken,
    /// Another user has this e-mail address.
    EmailTaken,
}

/// Users whose password hashes have the same parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordCount {
    /// The text of the hashes up to the last `$` but one: algorithm and parameters, without salt and digest.
    pub parameters: String,
    /// Number of users.
    pub users: u64,
}

/// Users and their credentials.
#[async_trait]
pub trait Users: Send + Sync {
    /// Creates a user.
    ///
    /// # Errors
    /// [`VaultError::LoginTaken`], [`VaultError::EmailTaken`].
    async fn create(&self, new: &NewUser) -> Result<(), VaultError>;
    /// Creates those of the users that do not exist yet, in one transaction. The order of the results is that of `users`, each of
    /// which has a login name and an e-mail address of its own.
    async fn import(&self, users: &[NewUser], mode: ImportMode) -> Result<Vec<Imported>, VaultError>;
    /// Counts all users by the parameters of their password hashes, most first, at most a thousand parameters.
    async fn count_passwords(&self) -> Result<Vec<PasswordCount>, VaultError>;
    /// Returns the user, or `None` if there certainly is none.
    async fn find(&self, key: &UserKey) -> Result<Option<User>, VaultError>;
    /// Returns users in order of login name, after `after`, at most `limit`.
    async fn list(&self, after: Option<&Login>, limit: u32) -> Result<Vec<User>, VaultError>;
    /// Changes a user; see [`UserChange`].
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`], [`VaultError::Superseded`], [`VaultError::EmailTaken`].
    async fn change(&self, id: UserId, change: &UserChange) -> Result<Ended, VaultError>;
}
