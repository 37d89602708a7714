//! The database file: creation, detection, migration, and the settings of connections.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, MAIN_DB, OpenFlags, TransactionBehavior};

use super::fault::Fault;
use crate::vault::VaultError;

/// Application id that marks a doorward vault: "door".
const APPLICATION_ID: i32 = 0x646f_6f72;

/// Prepared statements cached per connection: more than this module has.
const STATEMENTS: usize = 64;

/// Migrations; each leads from its index to the next version. A released one is never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0002_used_generation.sql"),
    include_str!("migrations/0003_attributes.sql"),
    include_str!("migrations/0004_identities.sql"),
    include_str!("migrations/0005_proof.sql"),
    include_str!("migrations/0006_factors.sql"),
    include_str!("migrations/0007_mail.sql"),
    include_str!("migrations/0008_audit.sql"),
];

/// Version that this program writes.
const VERSION: usize = MIGRATIONS.len();

/// Opens the vault's file for writing; creates and migrates it as needed.
pub(super) fn open(path: &Path, timeout: Duration) -> Result<Connection, Fault> {
    create(path)?;
    let mut connection = connect(path, timeout)?;
    check_application(&connection, path)?;
    write_ahead(&connection, path, timeout)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Opens a connection that waits for other processes' locks and does not lose commits.
pub(super) fn connect(path: &Path, timeout: Duration) -> Result<Connection, Fault> {
    // No SQLITE_OPEN_CREATE: `create` makes the file, with its mode. Each connection stays on one thread.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Less than the caller's timeout, so that the caller learns what the query was waiting for.
    connection.busy_timeout(timeout * 3 / 4)?;
    if connection.is_readonly(MAIN_DB)? {
        let text =
            format!("`{}` can only be read: let this user write the file and its folder", path.display());
        return Err(VaultError::Unavailable(text).into());
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // FULL: a commit is on the disk before it is confirmed, even at a power failure. NORMAL does not guarantee this in
    // WAL mode.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Deleted content is overwritten: otherwise a deleted user's e-mail address stays in the file and in its backups.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Identity of a file, regardless of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode(u64, u64);

impl Inode {
    /// Returns the identity of the file that is now at `path`.
    pub(super) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|file| Self(file.dev(), file.ino()))
    }

    /// Fails if `path` now has another file, or none. Changes that others make there would not be seen here, and
    /// changes made here would not be found there.
    pub(super) fn check_unchanged(self, path: &Path) -> Result<(), Fault> {
        if Self::of(path) == Some(self) {
            return Ok(());
        }
        let text =
            format!("`{}` was replaced or removed while doorward was running: restart it", path.display());
        Err(VaultError::Unavailable(text).into())
    }
}

/// Opens a connection that cannot write.
pub(super) fn connect_to_read(path: &Path, timeout: Duration) -> Result<Connection, Fault> {
    let connection = connect(path, timeout)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Creates a file that only this user can read; fails if it exists.
///
/// An existing file is not even opened: closing its descriptor would drop this process's POSIX locks on it, and with
/// them those of another vault on the same file (sqlite.org/howtocorrupt.html section 2.2).
pub(super) fn create_new(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

fn create(path: &Path) -> Result<(), Fault> {
    let Err(error) = create_new(path) else { return Ok(()) };
    let shown = path.display();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.display().to_string(),
        _ => ".".into(),
    };
    let text = match error.kind() {
        ErrorKind::AlreadyExists if path.is_dir() => {
            format!("`{shown}` is a folder: name a file in it, such as `{shown}/doorward.db`")
        }
        ErrorKind::AlreadyExists => return Ok(()),
        ErrorKind::NotFound => {
            format!("the folder `{folder}` does not exist: create it or name another path")
        }
        ErrorKind::NotADirectory => format!("`{folder}` is not a folder: name another path for the vault"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("`{folder}` cannot be written: let this user write it or name another path ({error})")
        }
        _ => format!("`{shown}` cannot be created: {error}"),
    };
    Err(VaultError::Unavailable(text).into())
}

/// Rejects a file that is not a vault before a single byte of it is changed.
fn check_application(connection: &Connection, path: &Path) -> Result<(), Fault> {
    // One snapshot: another process may be creating the schema right now.
    let snapshot = connection.unchecked_transaction()?;
    let application: i32 = snapshot.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let objects: i64 = snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let version = version(&snapshot)?;
    snapshot.commit()?;
    if application == APPLICATION_ID || (application == 0 && objects == 0) {
        return check_version(version, path);
    }
    Err(VaultError::Damaged(format!(
        "`{}` is the database of another program: name another path for the vault",
        path.display()
    ))
    .into())
}

fn check_version(version: usize, path: &Path) -> Result<(), Fault> {
    if version <= VERSION {
        return Ok(());
    }
    Err(VaultError::Damaged(format!(
        "`{}` has schema {version} and this doorward knows up to {VERSION}: run the newer doorward that wrote it",
        path.display()
    ))
    .into())
}

/// Returns the version of the schema in the file.
pub(super) fn version(connection: &Connection) -> Result<usize, Fault> {
    Ok(connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map(|version: u32| version as usize)?)
}

/// Enables write-ahead logging, so that readers and the writer do not wait for each other.
fn write_ahead(connection: &Connection, path: &Path, timeout: Duration) -> Result<(), Fault> {
    // SQLite does not call its busy handler for this switch. Of two processes that open a new file together, one gets
    // "busy" at once and must retry.
    const PAUSE: Duration = Duration::from_millis(5);
    let mut retries = timeout.as_millis() / PAUSE.as_millis();
    let mode: String = loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) && retries > 0 =>
            {
                retries -= 1;
                std::thread::park_timeout(PAUSE);
            }
            result => break result?,
        }
    };
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(VaultError::Unavailable(format!(
        "`{}` is on a file system without shared memory (a network share?): name a path on a local disk",
        path.display()
    ))
    .into())
}

/// Runs all missing migrations in one transaction: a crash leaves the old version or the new one.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Fault> {
    if version(connection)? == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again under the lock: another process may have migrated meanwhile.
    let from = version(&transaction)?;
    check_version(from, path)?;
    for step in MIGRATIONS.iter().skip(from) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION as u32)?;
    Ok(transaction.commit()?)
}
