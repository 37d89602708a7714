//! Sealed keys: this folder stores them and cannot read them.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::clients::{How, Talk};
use super::fault::Fault;
use super::rows::Span;
use super::{PostgresVault, clock};
use crate::clock::Timestamp;
use crate::vault::{KeyTable, KeyUse, Keys, NewKey, StoredKey, VaultError};

/// `$1` is the time it is read at, if that is not now.
const TABLE: &str = concat!(
    "WITH ",
    clock!(),
    "
     SELECT coalesce($1, now) AS now, v.version, k.key_use, k.kid, k.algorithm, k.sealed, k.signs_from, k.verifies_until
     FROM clock CROSS JOIN keys_version v
     LEFT JOIN keys k ON k.verifies_until IS NULL OR k.verifies_until > coalesce($1, now)
     ORDER BY k.signs_from, k.kid"
);

/// Whoever adds keys holds this row, so that of replicas starting together one makes the first key and the others find it.
const LOCK: &str = "SELECT version FROM keys_version FOR UPDATE";

/// Read once the lock is held, and then the time of all that is done under it.
const NOW: &str = concat!("WITH ", clock!(), " SELECT now FROM clock");

const TAKEN: &str = "SELECT EXISTS (SELECT 1 FROM keys WHERE key_use = $1) AS taken";

/// The id of a key that is dead may come again: refresh keys have 256 of them for ever. Its predecessors get their end.
const CLEAR: &str = "
    WITH dead AS (DELETE FROM keys WHERE key_use = $1 AND kid = $2 AND verifies_until <= $3)
    UPDATE keys SET verifies_until = $3 + ($4 + $5)::float8 * interval '1 millisecond'
    WHERE key_use = $1 AND verifies_until IS NULL";

const ADD: &str = "
    WITH added AS (
        INSERT INTO keys (key_use, kid, algorithm, sealed, signs_from)
        VALUES ($1, $2, $3, $4, $5 + $6::float8 * interval '1 millisecond')
        ON CONFLICT DO NOTHING RETURNING pg_notify('doorward', '')
    ), raised AS (
        UPDATE keys_version SET version = version + 1 WHERE EXISTS (SELECT 1 FROM added)
    ), remembered AS (
        INSERT INTO audit (at, event) SELECT $5, 'key_added' FROM added
    )
    SELECT EXISTS (SELECT 1 FROM added) AS added";

#[async_trait]
impl Keys for PostgresVault {
    async fn load(&self) -> Result<KeyTable, VaultError> {
        self.clients.ask(How::AGAIN, (), |talk, ()| Box::pin(table(talk, None))).await
    }

    async fn add(&self, keys: &[NewKey], only_first: bool) -> Result<KeyTable, VaultError> {
        let new = (keys.to_vec(), only_first);
        self.clients
            .ask(How::TOGETHER, new, |talk, (keys, only_first)| Box::pin(add(talk, keys, *only_first)))
            .await
    }
}

async fn add(talk: &Talk<'_>, keys: &[NewKey], only_first: bool) -> Result<KeyTable, Fault> {
    talk.one(LOCK, &[]).await?;
    let now = talk.one(NOW, &[]).await?.try_get("now")?;
    // Looked up before anything is added: keys given together do not shut each other out.
    let (mut access, mut refresh) = (false, false);
    if only_first {
        access = taken(talk, KeyUse::Access).await?;
        refresh = taken(talk, KeyUse::Refresh).await?;
    }
    let wanted = |key: &&NewKey| match key.key_use {
        KeyUse::Access => !access,
        KeyUse::Refresh => !refresh,
    };
    for key in keys.iter().filter(wanted) {
        add_one(talk, key, now).await?;
    }
    table(talk, Some(now)).await
}

async fn taken(talk: &Talk<'_>, key_use: KeyUse) -> Result<bool, Fault> {
    Ok(talk.one(TAKEN, &[&key_use.as_str()]).await?.try_get("taken")?)
}

async fn add_one(talk: &Talk<'_>, key: &NewKey, now: Timestamp) -> Result<(), Fault> {
    let key_use = key.key_use.as_str();
    let (after, overlap) = (Span(key.signs_after), Span(key.overlap));
    talk.rows(CLEAR, &[&key_use, &key.kid, &now, &after, &overlap]).await?;
    let row = talk.one(ADD, &[&key_use, &key.kid, &key.algorithm, &key.sealed, &now, &after]).await?;
    if row.try_get("added")? {
        return Ok(());
    }
    let text = format!("there is a key `{}` for {key_use} tokens already: make one with another id", key.kid);
    Err(VaultError::Unavailable(text).into())
}

async fn table(talk: &Talk<'_>, at: Option<Timestamp>) -> Result<KeyTable, Fault> {
    let rows = talk.rows(TABLE, &[&at]).await?;
    let first = rows.first().ok_or_else(|| {
        VaultError::Damaged("the vault's table `keys_version` is empty: restore a backup".into())
    })?;
    let keys = rows.iter().map(key).filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let version: i64 = first.try_get("version")?;
    Ok(KeyTable { version: version.unsigned_abs(), keys, now: first.try_get("now")? })
}

/// A key, or the row that is there when there is none.
fn key(row: &Row) -> Result<Option<StoredKey>, Fault> {
    let Some(key_use) = row.try_get::<_, Option<&str>>("key_use")? else { return Ok(None) };
    Ok(Some(StoredKey {
        kid: row.try_get("kid")?,
        key_use: if key_use == KeyUse::Access.as_str() { KeyUse::Access } else { KeyUse::Refresh },
        algorithm: row.try_get("algorithm")?,
        sealed: row.try_get("sealed")?,
        signs_from: row.try_get("signs_from")?,
        verifies_until: row.try_get("verifies_until")?,
    }))
}
