//! What can go wrong under the vault, and the one line that tells a person what to do about it.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::vault::VaultError;

/// Why a piece of work failed, before the file is named.
#[derive(Debug)]
pub(super) enum Fault {
    /// The answer itself.
    Vault(VaultError),
    /// SQLite's own complaint.
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
    /// As the callers of the vault see it, with the file named.
    pub(super) fn at(self, path: &Path) -> VaultError {
        let error = match self {
            Self::Vault(error) => return error,
            Self::Sqlite(error) => error,
        };
        let path = path.display();
        let unavailable = |text: String| VaultError::Unavailable(text);
        match (&error, error.sqlite_error_code()) {
            (_, Some(ErrorCode::NotADatabase)) => VaultError::Damaged(format!(
                "`{path}` is not a vault of doorward: move that file away or name another path"
            )),
            (_, Some(ErrorCode::DatabaseCorrupt)) => VaultError::Damaged(format!(
                "`{path}` is damaged: stop doorward, put a backup of it in its place, then run `doorward vault restored`"
            )),
            (_, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
                unavailable(format!("`{path}` is kept locked by another process"))
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
                "`{path}` holds a value that doorward did not write ({error}): put a backup of it in its place"
            )),
            _ => unavailable(format!("`{path}`: {error}")),
        }
    }
}

/// The thread that should answer has ended.
pub(super) fn gone() -> VaultError {
    VaultError::Unavailable("the vault is closed".into())
}
