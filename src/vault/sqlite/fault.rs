//! Errors of the embedded vault, and the message for people.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::vault::VaultError;

/// Error of a piece of work, before the file is named.
#[derive(Debug)]
pub(super) enum Fault {
    /// A result of the vault.
    Vault(VaultError),
    /// An error from SQLite.
    Sqlite(rusqlite::Error),
}

impl From<VaultError> for Fault {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    /// Converts to the error for callers of the vault, with the file named.
    pub(super) fn at(self, path: &Path) -> VaultError {
        let error = match self {
            Self::Vault(error) => return error,
            Self::Sqlite(error) => error,
        };
        let path = path.display();
        let unavailable = |text: String| VaultError::Unavailable(text);
        match (&error, error.sqlite_error_code()) {
            (_, Some(ErrorCode::NotADatabase)) => VaultError::Damaged(format!(
                "`{path}` is not a doorward vault: move that file away or name another path"
            )),
            (_, Some(ErrorCode::DatabaseCorrupt)) => VaultError::Damaged(format!(
                "`{path}` is damaged: stop doorward, replace it with a backup, then run `doorward vault restored`"
            )),
            (_, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
                unavailable(format!("`{path}` is locked by another process"))
            }
            (_, Some(ErrorCode::ReadOnly)) => unavailable(format!(
                "`{path}` cannot be written: let this user write the file and its folder"
            )),
            (_, Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied)) => unavailable(format!(
                "`{path}` cannot be opened: let this user read and write the file and its folder"
            )),
            (_, Some(ErrorCode::DiskFull)) => unavailable(format!("`{path}` cannot grow: the disk is full")),
            (
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..),
                _,
            ) => VaultError::Damaged(format!(
                "`{path}` holds a value that doorward did not write ({error}): replace it with a backup"
            )),
            _ => unavailable(format!("`{path}`: {error}")),
        }
    }
}

/// Error when the vault's thread has ended.
pub(super) fn closed() -> VaultError {
    VaultError::Unavailable("the vault is closed".into())
}
