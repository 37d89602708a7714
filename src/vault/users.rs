//! Users: stored data, lookup and changes.

use async_trait::async_trait;

use super::{Ended, VaultError};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::{Epoch, Login, RightsVersion, Roles};
use crate::secret::Secret;

/// A stored user.
#[derive(Clone, Debug)]
pub struct User {
    /// Id, which never changes.
    pub id: UserId,
    /// The canonical login name.
    pub login: Login,
    /// Password hash as a PHC string.
    pub password: Secret<String>,
    /// Roles, sorted.
    pub roles: Roles,
    /// True if disabled: the user has no live session and cannot sign in.
    pub disabled: bool,
    /// Epoch; incremented by password change, disable and enable.
    pub epoch: Epoch,
    /// Rights version; incremented by a change of roles.
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
    /// Disabling ends every session and increments the epoch; enabling increments the epoch too. Enabling a user who is
    /// not disabled does nothing: a new epoch would end sessions without their rows.
    Disabled(bool),
    /// Deletes the user and all sessions (each with its revocation row).
    Deleted,
}

/// Users and their credentials.
#[async_trait]
pub trait Users: Send + Sync {
    /// Creates a user.
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
    /// Returns the user, or `None` if there certainly is none.
    async fn find(&self, key: &UserKey) -> Result<Option<User>, VaultError>;
    /// Returns users in order of login name, after `after`, at most `limit`.
    async fn list(&self, after: Option<&Login>, limit: u32) -> Result<Vec<User>, VaultError>;
    /// Changes a user; see [`UserChange`].
    ///
    /// # Errors
    /// [`VaultError::UserUnknown`], [`VaultError::Superseded`].
    async fn change(&self, id: UserId, change: &UserChange) -> Result<Ended, VaultError>;
}
