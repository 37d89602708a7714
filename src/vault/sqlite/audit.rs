//! Housekeeping.

mod trail;

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::writer::Tx;
use super::{SqliteVault, schema};
use crate::vault::{Audit, REVOCATION_LIFE, SENT_MAIL_LIFE, VaultError};

/// Retention of audit events outside the chain: those of an earlier release, and those that no gateway has linked. Linked
/// ones are deleted from the start of the chain.
const AUDIT_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

#[async_trait]
impl Audit for SqliteVault {
    async fn sweep(&self, limit: u32) -> Result<u64, VaultError> {
        self.writer.run(move |tx| sweep(tx, limit)).await
    }

    async fn schema(&self) -> Result<u32, VaultError> {
        let version = self.readers.query(|view| schema::version(view)).await?;
        Ok(u32::try_from(version).unwrap_or(u32::MAX))
    }

    async fn settle(&self) -> Result<(), VaultError> {
        let (path, timeout) = (self.path.clone(), self.options.statement_timeout);
        let settled = tokio::task::spawn_blocking(move || {
            let checkpoint = |connection: Connection| {
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(Fault::from)
            };
            schema::connect(&path, timeout).and_then(checkpoint).map_err(|fault| fault.at(&path))
        });
        settled
            .await
            .map_err(|error| VaultError::Unavailable(format!("the checkpoint was aborted: {error}")))?
    }

    async fn backup(&self, to: &Path) -> Result<(), VaultError> {
        let (from, to, timeout) = (self.path.clone(), to.to_owned(), self.options.statement_timeout);
        // Without a timeout, on a blocking thread: it holds a snapshot and no lock.
        let copied = tokio::task::spawn_blocking(move || copy(&from, &to, timeout)).await;
        copied.map_err(|error| VaultError::Unavailable(format!("the backup was aborted: {error}")))?
    }
}

fn sweep(tx: &Tx<'_>, limit: u32) -> Result<u64, Fault> {
    let now = tx.now();
    let sessions = tx.execute(
        "DELETE FROM sessions WHERE place IN \
         (SELECT place FROM sessions WHERE idle_until < ?1 OR ended_at < ?1 LIMIT ?2)",
        params![now - REVOCATION_LIFE, limit],
    )?;
    let revocations = tx.execute(
        "DELETE FROM revocations WHERE seq IN (SELECT seq FROM revocations WHERE until < ?1 LIMIT ?2)",
        params![now, limit],
    )?;
    let events = tx.execute(
        "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE position IS NULL AND at < ?1 LIMIT ?2)",
        params![now - AUDIT_LIFE, limit],
    )?;
    let logouts = tx.execute(
        "DELETE FROM provider_logouts WHERE name IN (SELECT name FROM provider_logouts WHERE until < ?1 LIMIT ?2)",
        params![now, limit],
    )?;
    let sign_ins = tx.execute(
        "DELETE FROM pending_sign_ins WHERE digest IN (SELECT digest FROM pending_sign_ins WHERE until < ?1 LIMIT ?2)",
        params![now, limit],
    )?;
    let challenges = tx.execute(
        "DELETE FROM spent_challenges WHERE digest IN (SELECT digest FROM spent_challenges WHERE until < ?1 LIMIT ?2)",
        params![now, limit],
    )?;
    let links = tx.execute(
        "DELETE FROM links WHERE digest IN (SELECT digest FROM links WHERE until < ?1 LIMIT ?2)",
        params![now, limit],
    )?;
    let mails = tx.execute(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE done_at < ?1 OR until < ?1 LIMIT ?2)",
        params![now - SENT_MAIL_LIFE, limit],
    )?;
    Ok([sessions, revocations, events, logouts, sign_ins, challenges, links, mails]
        .iter()
        .map(|&deleted| deleted as u64)
        .sum())
}

fn copy(from: &Path, to: &Path, timeout: Duration) -> Result<(), VaultError> {
    let shown = to.display();
    schema::create_new(to).map_err(|error| {
        VaultError::Unavailable(match error.kind() {
            ErrorKind::AlreadyExists => format!("`{shown}` exists already: name a new file for the backup"),
            _ => format!("`{shown}` cannot be created: {error}"),
        })
    })?;
    let source = schema::connect_to_read(from, timeout).map_err(|fault| fault.at(from))?;
    let copied = copy_pages(&source, to).map_err(|fault| fault.at(to));
    if copied.is_err() {
        // A partial copy must not be mistaken for a backup. The file was created just now, so it can be removed.
        drop(std::fs::remove_file(to));
    }
    copied
}

fn copy_pages(source: &Connection, to: &Path) -> Result<(), Fault> {
    let mut target = Connection::open_with_flags(to, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // All pages in one step, so that they belong to one snapshot.
    match Backup::new(source, &mut target)?.step(-1)? {
        StepResult::Done => {}
        _ => return Err(VaultError::Unavailable("the vault is locked: try the backup again".into()).into()),
    }
    // The copy inherits the journal mode; as one plain file it can be moved without its companion files.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    target.close().map_err(|(_, error)| error)?;
    Ok(())
}
