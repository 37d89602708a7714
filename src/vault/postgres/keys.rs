//! Encrypted keys: this module stores them and cannot read them.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::connection::clients::{Connection, Mode};
use super::fault::Fault;
use super::rows::Span;
use super::{PostgresVault, clock};
use crate::clock::Timestamp;
use crate::vault::{KeyTable, KeyUse, Keys, NewKey, StoredKey, VaultError};

/// `$1` is the time of the query, if not now.
const TABLE: &str = concat!(
    "WITH ",
    clock!(),
    "
     SELECT coalesce($1, now) AS now, v.version, k.key_use, k.kid, k.algorithm, k.sealed, k.signs_from, k.verifies_until
     FROM clock CROSS JOIN keys_version v
     LEFT JOIN keys k ON k.verifies_until IS NULL OR k.verifies_until > coalesce($1, now)
     ORDER BY k.signs_from, k.kid"
);

/// Adding keys locks this row, so that of gateways starting together one creates the first key and the others find it.
const LOCK: &str = "SELECT version FROM keys_version FOR UPDATE";

/// Read after the lock is held; the time of everything done under it.
const NOW: &str = concat!("WITH ", clock!(), " SELECT now FROM clock");

const TAKEN: &str = "SELECT EXISTS (SELECT 1 FROM keys WHERE key_use = $1) AS taken";

/// A key id can be reused once its key no longer verifies: there are only 256 ids for refresh keys. Predecessors get an
/// end, an earlier one if they have one already.
const CLEAR: &str = "
    WITH dead AS (DELETE FROM keys WHERE key_use = $1 AND kid = $2 AND verifies_until <= $3)
    UPDATE keys SET verifies_until = $3 + ($4 + $5)::float8 * interval '1 millisecond'
    WHERE key_use = $1 AND (verifies_until IS NULL OR verifies_until > $3 + ($4 + $5)::float8 * interval '1 millisecond')";

const ADD: &str = "
    WITH added AS (
        INSERT INTO keys (key_use, kid, algorithm, sealed, signs_from)
        VALUES ($1, $2, $3, $4, $5 + $6::float8 * interval '1 millisecond')
        ON CONFLICT DO NOTHING RETURNING pg_notify('doorward', '')
    ), raised AS (
        UPDATE keys_version SET version = version + 1 WHERE EXISTS (SELECT 1 FROM added)
    ), remembered AS (
        INSERT INTO audit (at, event, cause, actor, address, request_id)
        SELECT $5, 'key_added', $1 || ' ' || $2, ($7::text[])[1], ($7::text[])[2], ($7::text[])[3] FROM added
    )
    SELECT EXISTS (SELECT 1 FROM added) AS added";

#[async_trait]
impl Keys for PostgresVault {
    async fn load(&self) -> Result<KeyTable, VaultError> {
        self.clients.query(Mode::IDEMPOTENT, (), |connection, ()| Box::pin(table(connection, None))).await
    }

    async fn add(&self, keys: &[NewKey], only_first: bool) -> Result<KeyTable, VaultError> {
        let new = (keys.to_vec(), only_first);
        self.clients
            .query(Mode::TRANSACTION, new, |connection, (keys, only_first)| {
                Box::pin(add(connection, keys, *only_first))
            })
            .await
    }
}

async fn add(connection: &Connection<'_>, keys: &[NewKey], only_first: bool) -> Result<KeyTable, Fault> {
    connection.one(LOCK, &[]).await?;
    let now = connection.one(NOW, &[]).await?.try_get("now")?;
    // Checked before anything is added, so that keys added together do not exclude each other.
    let (mut access, mut refresh) = (false, false);
    if only_first {
        access = taken(connection, KeyUse::Access).await?;
        refresh = taken(connection, KeyUse::Refresh).await?;
    }
    let wanted = |key: &&NewKey| match key.key_use {
        KeyUse::Access => !access,
        KeyUse::Refresh => !refresh,
    };
    for key in keys.iter().filter(wanted) {
        add_one(connection, key, now).await?;
    }
    table(connection, Some(now)).await
}

async fn taken(connection: &Connection<'_>, key_use: KeyUse) -> Result<bool, Fault> {
    Ok(connection.one(TAKEN, &[&key_use.as_str()]).await?.try_get("taken")?)
}

async fn add_one(connection: &Connection<'_>, key: &NewKey, now: Timestamp) -> Result<(), Fault> {
    let key_use = key.key_use.as_str();
    let (after, overlap) = (Span(key.signs_after), Span(key.overlap));
    connection.rows(CLEAR, &[&key_use, &key.kid, &now, &after, &overlap]).await?;
    let NewKey { kid, algorithm, sealed, .. } = key;
    let row =
        connection.one(ADD, &[&key_use, kid, algorithm, sealed, &now, &after, &connection.origin]).await?;
    if row.try_get("added")? {
        return Ok(());
    }
    let text = format!("there already is a key `{}` for {key_use} tokens: use another id", key.kid);
    Err(VaultError::Unavailable(text).into())
}

async fn table(connection: &Connection<'_>, at: Option<Timestamp>) -> Result<KeyTable, Fault> {
    let rows = connection.rows(TABLE, &[&at]).await?;
    let first = rows.first().ok_or_else(|| {
        VaultError::Damaged("the vault's table `keys_version` is empty: restore a backup".into())
    })?;
    let keys = rows.iter().map(key).filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let version: i64 = first.try_get("version")?;
    Ok(KeyTable { version: version.unsigned_abs(), keys, now: first.try_get("now")? })
}

/// Reads a key; `None` for the row that stands for an empty table.
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
