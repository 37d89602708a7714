//! Users: what is kept of them, how they are found, what can be done to them.

use async_trait::async_trait;

use super::{Ended, VaultError};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::{Epoch, Login, RightsVersion, Roles};
use crate::secret::Secret;

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
