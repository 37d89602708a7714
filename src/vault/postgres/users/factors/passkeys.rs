//! Passkeys of users.

use tokio_postgres::Row;

use super::lock;
use crate::id::UserId;
use crate::vault::VaultError;
use crate::vault::factors::{MAX_PASSKEYS, Passkey, PasskeyUse};
use crate::vault::postgres::connection::clients::Connection;
use crate::vault::postgres::fault::Fault;
use crate::vault::postgres::rows::Span;
use crate::vault::postgres::{audited, clock, origin};

/// Columns of a passkey.
macro_rules! passkey {
    ($rest:literal) => {
        concat!(
            "SELECT credential_id, user_id, name, public_key, algorithm, sign_count, transports, backup_eligible, backed_up,
                    created_at, used_at FROM passkeys ",
            $rest
        )
    };
}

const PASSKEYS_OF_USER: &str = passkey!("WHERE user_id = $1 ORDER BY created_at, credential_id");
const PASSKEY: &str = passkey!("WHERE credential_id = $1");

const ADD_PASSKEY: &str = concat!(
    "WITH ",
    clock!(),
    ", added AS (
         INSERT INTO passkeys (credential_id, user_id, name, public_key, algorithm, sign_count, transports,
                               backup_eligible, backed_up, created_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, now FROM clock
         WHERE (SELECT count(*) FROM passkeys WHERE user_id = $2) < $10
         ON CONFLICT (credential_id) DO NOTHING RETURNING user_id, created_at
     ), remembered AS (",
    audited!("factor_added", "created_at", "user_id", "'passkey'", 11, "added"),
    ")
     SELECT user_id FROM added"
);

const USE_PASSKEY: &str = concat!(
    "WITH ",
    clock!(),
    ", spent AS (
         INSERT INTO spent_challenges (digest, until)
         SELECT $4, now + $5::float8 * interval '1 millisecond' FROM clock ON CONFLICT (digest) DO NOTHING RETURNING digest
     )
     UPDATE passkeys SET sign_count = greatest(sign_count, $2), backed_up = $3, used_at = now FROM clock, spent
      WHERE credential_id = $1 RETURNING credential_id"
);

/// Returns the passkeys of a user, oldest first.
pub(super) async fn of_user(connection: &Connection<'_>, user: UserId) -> Result<Vec<Passkey>, Fault> {
    let rows = connection.rows(PASSKEYS_OF_USER, &[&user]).await?;
    Ok(rows.iter().map(passkey).collect::<Result<_, _>>()?)
}

/// Returns the passkey with a credential id.
pub(super) async fn find(connection: &Connection<'_>, id: &[u8]) -> Result<Option<Passkey>, Fault> {
    Ok(connection.row(PASSKEY, &[&id]).await?.as_ref().map(passkey).transpose()?)
}

/// Stores a use. Returns `false` if the challenge was answered before, or if the passkey was removed.
pub(super) async fn used(connection: &Connection<'_>, used: &PasskeyUse) -> Result<bool, Fault> {
    let (count, challenge, life) = (i64::from(used.sign_count), &used.challenge[..], Span(used.life));
    let row = connection
        .row(USE_PASSKEY, &[&used.credential_id, &count, &used.backed_up, &challenge, &life])
        .await?;
    Ok(row.is_some())
}

/// Enrols a passkey.
pub(super) async fn add(connection: &Connection<'_>, new: &Passkey) -> Result<(), Fault> {
    lock(connection, new.user_id).await?;
    if connection.row(PASSKEY, &[&new.credential_id]).await?.is_some() {
        return Err(VaultError::AccountTaken.into());
    }
    let most = i64::try_from(MAX_PASSKEYS).unwrap_or(i64::MAX);
    let added = connection
        .row(
            ADD_PASSKEY,
            &[
                &new.credential_id,
                &new.user_id,
                &new.name,
                &new.public_key,
                &new.algorithm,
                &i64::from(new.sign_count),
                &new.transports,
                &new.backup_eligible,
                &new.backed_up,
                &most,
                &connection.origin,
            ],
        )
        .await?;
    if added.is_some() {
        return Ok(());
    }
    // Another user's enrolment of the same credential was committed meanwhile, or there are too many.
    let taken = connection.row(PASSKEY, &[&new.credential_id]).await?.is_some();
    Err(if taken { VaultError::AccountTaken } else { VaultError::TooMany }.into())
}

fn passkey(row: &Row) -> Result<Passkey, tokio_postgres::Error> {
    let sign_count: i64 = row.try_get("sign_count")?;
    Ok(Passkey {
        credential_id: row.try_get("credential_id")?,
        user_id: row.try_get("user_id")?,
        name: row.try_get("name")?,
        public_key: row.try_get("public_key")?,
        algorithm: row.try_get("algorithm")?,
        sign_count: u32::try_from(sign_count).unwrap_or(u32::MAX),
        transports: row.try_get("transports")?,
        backup_eligible: row.try_get("backup_eligible")?,
        backed_up: row.try_get("backed_up")?,
        created_at: row.try_get("created_at")?,
        used_at: row.try_get("used_at")?,
    })
}
