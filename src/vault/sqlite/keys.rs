//! Encrypted keys: this module stores them and cannot read them.

use async_trait::async_trait;
use rusqlite::params;

use super::SqliteVault;
use super::fault::Fault;
use super::reader::View;
use super::revoke::{Event, record};
use super::writer::Tx;
use crate::vault::{KeyTable, KeyUse, Keys, NewKey, StoredKey, VaultError};

/// Reads the version of the key table.
pub(super) const VERSION: &str = "SELECT version FROM keys_version";

#[async_trait]
impl Keys for SqliteVault {
    async fn load(&self) -> Result<KeyTable, VaultError> {
        self.readers.query(table).await
    }

    async fn add(&self, keys: &[NewKey], only_first: bool) -> Result<KeyTable, VaultError> {
        let keys = keys.to_vec();
        self.writer.run(move |tx| add(tx, &keys, only_first)).await
    }
}

fn add(tx: &Tx<'_>, keys: &[NewKey], only_first: bool) -> Result<KeyTable, Fault> {
    // Checked before anything is added, so that keys added together do not exclude each other.
    let taken = |key_use: KeyUse| {
        tx.value::<bool>("SELECT EXISTS (SELECT 1 FROM keys WHERE key_use = ?1)", params![key_use.as_str()])
    };
    let (access, refresh) = (only_first && taken(KeyUse::Access)?, only_first && taken(KeyUse::Refresh)?);
    let wanted = |key: &&NewKey| match key.key_use {
        KeyUse::Access => !access,
        KeyUse::Refresh => !refresh,
    };
    for key in keys.iter().filter(wanted) {
        add_one(tx, key)?;
    }
    table(tx)
}

fn add_one(tx: &Tx<'_>, key: &NewKey) -> Result<(), Fault> {
    let key_use = key.key_use.as_str();
    let signs_from = tx.now() + key.signs_after;
    // A key id can be reused once its key no longer verifies: there are only 256 ids for refresh keys.
    tx.execute(
        "DELETE FROM keys WHERE key_use = ?1 AND kid = ?2 AND verifies_until <= ?3",
        params![key_use, key.kid, tx.now()],
    )?;
    tx.execute(
        "UPDATE keys SET verifies_until = ?2 WHERE key_use = ?1 AND (verifies_until IS NULL OR verifies_until > ?2)",
        params![key_use, signs_from + key.overlap],
    )?;
    let added = tx.execute(
        "INSERT INTO keys (key_use, kid, algorithm, sealed, signs_from) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO NOTHING",
        params![key_use, key.kid, key.algorithm, key.sealed, signs_from],
    )?;
    if added == 0 {
        let text = format!("there already is a key `{}` for {key_use} tokens: use another id", key.kid);
        return Err(VaultError::Unavailable(text).into());
    }
    tx.execute("UPDATE keys_version SET version = version + 1", [])?;
    tx.announce();
    record(tx, &Event::new("key_added").because(format!("{key_use} {}", key.kid)))
}

fn table(view: &View<'_>) -> Result<KeyTable, Fault> {
    let verifying =
        "SELECT * FROM keys WHERE verifies_until IS NULL OR verifies_until > ?1 ORDER BY signs_from, kid";
    let keys = view.rows(verifying, params![view.now()], |row| {
        let key_use: String = row.get("key_use")?;
        Ok(StoredKey {
            kid: row.get("kid")?,
            key_use: if key_use == KeyUse::Access.as_str() { KeyUse::Access } else { KeyUse::Refresh },
            algorithm: row.get("algorithm")?,
            sealed: row.get("sealed")?,
            signs_from: row.get("signs_from")?,
            verifies_until: row.get("verifies_until")?,
        })
    })?;
    let version: i64 = view.value(VERSION, [])?;
    Ok(KeyTable { version: version.unsigned_abs(), keys, now: view.now() })
}
