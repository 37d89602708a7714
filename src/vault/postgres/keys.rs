//! Sealed keys: this folder stores them and cannot read them.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::clients::{How, Talk};
use super::fault::Fault;
use super::rows::Span;
use super::{PostgresVault, clock};
use crate::vault::{KeyTable, KeyUse, Keys, NewKey, StoredKey, VaultError};

const TABLE: &str = concat!(
    "WITH ",
    clock!(),
    "
     SELECT now, v.version, k.key_use, k.kid, k.algorithm, k.sealed, k.signs_from, k.verifies_until
     FROM clock CROSS JOIN keys_version v
     LEFT JOIN keys k ON k.verifies_until IS NULL OR k.verifies_until > now
     ORDER BY k.signs_from, k.kid"
);

/// Whoever adds keys holds this row, so that of replicas starting together one makes the first key and the others find it.
const LOCK: &str = "SELECT version FROM keys_version FOR UPDATE";

const TAKEN: &str = "SELECT EXISTS (SELECT 1 FROM keys WHERE key_use = $1) AS taken";

/// The id of a key that is dead may come again: refresh keys have 256 of them for ever. Its predecessors get their end.
const CLEAR: &str = concat!(
    "WITH ",
    clock!(),
    ", dead AS (
         DELETE FROM keys k USING clock WHERE k.key_use = $1 AND k.kid = $2 AND k.verifies_until <= now
     )
     UPDATE keys k SET verifies_until = now + ($3::bigint + $4::bigint) * interval '1 millisecond' FROM clock
     WHERE k.key_use = $1 AND k.verifies_until IS NULL"
);

const ADD: &str = concat!(
    "WITH ",
    clock!(),
    ", added AS (
         INSERT INTO keys (key_use, kid, algorithm, sealed, signs_from)
         SELECT $1, $2, $3, $4, now + $5 * interval '1 millisecond' FROM clock
         ON CONFLICT DO NOTHING RETURNING pg_notify('doorward', '')
     ), raised AS (
         UPDATE keys_version SET version = version + 1 WHERE EXISTS (SELECT 1 FROM added)
     ), remembered AS (
         INSERT INTO audit (at, event) SELECT now, 'key_added' FROM clock WHERE EXISTS (SELECT 1 FROM added)
     )
     SELECT EXISTS (SELECT 1 FROM added) AS added"
);

#[async_trait]
impl Keys for PostgresVault {
    async fn load(&self) -> Result<KeyTable, VaultError> {
        self.clients.ask(How::AGAIN, (), |talk, ()| Box::pin(table(talk))).await
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
        add_one(talk, key).await?;
    }
    table(talk).await
}

async fn taken(talk: &Talk<'_>, key_use: KeyUse) -> Result<bool, Fault> {
    Ok(talk.one(TAKEN, &[&key_use.as_str()]).await?.try_get("taken")?)
}

async fn add_one(talk: &Talk<'_>, key: &NewKey) -> Result<(), Fault> {
    let key_use = key.key_use.as_str();
    talk.rows(CLEAR, &[&key_use, &key.kid, &Span(key.signs_after), &Span(key.overlap)]).await?;
    let row =
        talk.one(ADD, &[&key_use, &key.kid, &key.algorithm, &key.sealed, &Span(key.signs_after)]).await?;
    if row.try_get("added")? {
        return Ok(());
    }
    let text = format!("there is a key `{}` for {key_use} tokens already: make one with another id", key.kid);
    Err(VaultError::Unavailable(text).into())
}

async fn table(talk: &Talk<'_>) -> Result<KeyTable, Fault> {
    let rows = talk.rows(TABLE, &[]).await?;
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
