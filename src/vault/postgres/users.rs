//! Users and their changes, each in one transaction with the revocations it causes.

mod factors;
mod mail;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::connection::clients::{Connection, Mode};
use super::fault::Fault;
use super::rows::Span;
use super::{PostgresVault, audited, clock, origin, proof, revoke, rows};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::Login;
use crate::secret::Secret;
use crate::vault::{
    AttributesChange, EndReason, Ended, ImportMode, Imported, LogEntry, NewUser, PasswordCount,
    REVOCATION_LIFE, User, UserChange, UserKey, Users, VaultError,
};

mod import;

const CREATE: &str = concat!(
    "WITH ",
    clock!(),
    ", made AS (
         INSERT INTO users (id, login, password, roles, email, email_verified_at, name, disabled, created_at)
         SELECT $1, $2, $3, $4, $5, CASE WHEN $6 THEN now END, $7, $8, now FROM clock
         ON CONFLICT (login) DO NOTHING RETURNING id, created_at
     ), remembered AS (",
    audited!("user_created", "created_at", "id", "NULL", 9, "made"),
    ")
     SELECT id FROM made"
);

/// Columns of a user.
macro_rules! columns {
    () => {
        "u.id, u.login, u.password, u.roles, u.disabled, u.waits_for_approval, u.epoch, u.rights, u.created_at, u.email,
         u.email_verified_at, u.name"
    };
}
pub(super) use columns;

macro_rules! user {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM users u ", $rest)
    };
}

const BY_LOGIN: &str = user!("WHERE login = $1");
const BY_ID: &str = user!("WHERE id = $1");
const BY_EMAIL: &str = user!("WHERE email = $1");
const PAGE: &str = user!("WHERE login > $1 ORDER BY login LIMIT $2");
/// A login, which locks the user for share, waits here, and the other way round.
const LOCK: &str = "SELECT password FROM users WHERE id = $1 FOR UPDATE";

const REHASH: &str = concat!(
    "WITH ",
    clock!(),
    ", changed AS (UPDATE users SET password = $3 WHERE id = $1 AND password = $2)
     SELECT now FROM clock, users WHERE id = $1"
);

const ROLES: &str = concat!(
    "WITH ",
    clock!(),
    ", changed AS (
         UPDATE users SET roles = $2, rights = rights + 1 WHERE id = $1 RETURNING id, rights
     ), logged AS (
         INSERT INTO revocations (user_id, rights, until)
         SELECT id, rights, now + $3::float8 * interval '1 millisecond' FROM changed, clock
         RETURNING user_id, rights, until, pg_notify('doorward', '')
     ), remembered AS (",
    audited!("roles_changed", "now", "id", "$2", 4, "changed, clock"),
    ")
     SELECT now, user_id, rights, until FROM logged, clock"
);

/// `$2` whether `$3` replaces the address, `$4` whether the address is verified (NULL: as it was, and a new one is not),
/// `$5` whether `$6` replaces the name, `$7` retention of a row of the log. Postgres evaluates all of it for the row as it is
/// once it is locked. Where nothing changes, it writes the proof alone.
const ATTRIBUTES: &str = concat!(
    "WITH ",
    clock!(),
    ", changed AS (
         UPDATE users u SET email = ",
    email!(),
    ", email_verified_at = ",
    verified_at!(),
    ", name = ",
    name!(),
    ",
                            rights = u.rights + 1
         FROM clock
         WHERE u.id = $1 AND (",
    email!(),
    ", ",
    verified_at!(),
    " IS NULL, ",
    name!(),
    ")
                             IS DISTINCT FROM (u.email, u.email_verified_at IS NULL, u.name)
         RETURNING u.id, u.rights
     ), logged AS (
         INSERT INTO revocations (user_id, rights, until)
         SELECT id, rights, now + $7::float8 * interval '1 millisecond' FROM changed, clock
         RETURNING user_id, rights, until, pg_notify('doorward', '')
     ), remembered AS (",
    audited!("attributes_changed", "now", "id", "NULL", 8, "changed, clock"),
    ")
     SELECT now, logged.user_id, logged.rights, logged.until, CASE WHEN logged.user_id IS NULL THEN ",
    proof!(),
    " END AS proof
     FROM clock JOIN users ON users.id = $1 LEFT JOIN logged ON true"
);

macro_rules! email {
    () => {
        "(CASE WHEN $2 THEN $3 ELSE u.email END)"
    };
}
use email;

macro_rules! verified_at {
    () => {
        concat!(
            "(CASE WHEN ",
            email!(),
            " IS NULL OR $4 IS FALSE THEN NULL
                   WHEN u.email_verified_at IS NOT NULL AND u.email = ",
            email!(),
            " THEN u.email_verified_at
                   WHEN $4 THEN now END)"
        )
    };
}
use verified_at;

macro_rules! name {
    () => {
        "(CASE WHEN $5 THEN $6 ELSE u.name END)"
    };
}
use name;

/// Index that allows each address once.
const EMAIL_INDEX: &str = "users_by_email";

/// Enabling an enabled user must not end sessions, which a new epoch would do without a log row. It writes the proof alone.
const ENABLE: &str = concat!(
    "WITH ",
    clock!(),
    ", changed AS (
         UPDATE users SET disabled = false, waits_for_approval = false, epoch = epoch + 1
         WHERE id = $1 AND disabled RETURNING id
     ), remembered AS (",
    audited!("user_enabled", "now", "id", "NULL", 2, "changed, clock"),
    ")
     SELECT now, CASE WHEN NOT EXISTS (SELECT FROM changed) THEN ",
    proof!(),
    " END AS proof
     FROM clock, users WHERE id = $1"
);

const DISABLE: &str = concat!(
    "WITH ",
    clock!(),
    ", changed AS (UPDATE users SET disabled = true, epoch = epoch + 1 WHERE id = $1) ",
    audited!("user_disabled", "now", "$1", "NULL", 2, "clock")
);

/// The kept session gets the new epoch, or it would end with the others. A session that was already dead stays dead.
const PASSWORD: &str = concat!(
    "WITH ",
    clock!(),
    ", changed AS (
         UPDATE users SET password = $2, epoch = epoch + 1 WHERE id = $1 RETURNING id, epoch
     ), kept AS (
         UPDATE sessions s SET epoch = u.epoch FROM changed u
         WHERE s.id = $3 AND s.user_id = u.id AND s.epoch + 1 = u.epoch
     )
     INSERT INTO audit (at, event, user_id, session_id, actor, address, request_id) SELECT now, 'password_changed', $1, $3, ",
    origin!(4),
    " FROM clock"
);

/// The sessions stay, ended, until the sweep, so that their revocation can be applied again. Their personal data is
/// deleted now.
const DELETE: &str = concat!(
    "WITH ",
    clock!(),
    ", gone AS (DELETE FROM users WHERE id = $1), scrubbed AS (
         UPDATE sessions SET address = NULL, user_agent = NULL WHERE user_id = $1
     ) ",
    audited!("user_deleted", "now", "$1", "NULL", 2, "clock")
);

#[async_trait]
impl Users for PostgresVault {
    async fn create(&self, new: &NewUser) -> Result<(), VaultError> {
        self.clients.query(Mode::ONCE, new.clone(), |connection, new| Box::pin(create(connection, new))).await
    }

    async fn import(&self, users: &[NewUser], mode: ImportMode) -> Result<Vec<Imported>, VaultError> {
        let query_mode = if mode == ImportMode::Trial { Mode::IDEMPOTENT } else { Mode::ONCE };
        self.clients
            .query(query_mode, (users.to_vec(), mode), |connection, input| {
                Box::pin(import::import(connection, &input.0, input.1))
            })
            .await
    }

    async fn count_passwords(&self) -> Result<Vec<PasswordCount>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, (), |connection, ()| Box::pin(import::count_passwords(connection)))
            .await
    }

    async fn find(&self, key: &UserKey) -> Result<Option<User>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, key.clone(), |connection, key| Box::pin(find(connection, key)))
            .await
    }

    async fn list(&self, after: Option<&Login>, limit: u32) -> Result<Vec<User>, VaultError> {
        // No login name is empty, so all come after the empty text.
        let after = after.map_or_else(String::new, |login| login.as_str().to_owned());
        self.clients
            .query(Mode::IDEMPOTENT, (after, limit), |connection, page| Box::pin(list(connection, page)))
            .await
    }

    async fn change(&self, id: UserId, change: &UserChange) -> Result<Ended, VaultError> {
        let mode = match change {
            UserChange::Rehash { .. } | UserChange::Disabled(false) => Mode::IDEMPOTENT,
            UserChange::Roles(_) | UserChange::Attributes(_) => Mode::ONCE,
            UserChange::Password { .. } | UserChange::Disabled(true) | UserChange::Deleted => {
                Mode::TRANSACTION.within(revoke::ALL_OF_USER)
            }
        };
        self.clients
            .query(mode, (id, change.clone()), |connection, input| {
                Box::pin(apply(connection, input.0, &input.1))
            })
            .await
    }
}

async fn create(connection: &Connection<'_>, new: &NewUser) -> Result<(), Fault> {
    let attributes = &new.attributes;
    let made = connection
        .row(
            CREATE,
            &[
                &new.id,
                &new.login,
                new.password.expose(),
                &new.roles,
                &attributes.email(),
                &attributes.email_verified(),
                &attributes.name(),
                &new.disabled,
                &connection.origin,
            ],
        )
        .await
        .map_err(taken)?;
    made.map(drop).ok_or_else(|| VaultError::LoginTaken.into())
}

/// Recognises the error about an address that another user has.
pub(super) fn taken(fault: Fault) -> Fault {
    if fault.violates(EMAIL_INDEX) { VaultError::EmailTaken.into() } else { fault }
}

async fn find(connection: &Connection<'_>, key: &UserKey) -> Result<Option<User>, Fault> {
    let row = match key {
        UserKey::Login(login) => connection.row(BY_LOGIN, &[login]).await?,
        UserKey::Id(id) => connection.row(BY_ID, &[id]).await?,
        UserKey::Email(email) => connection.row(BY_EMAIL, &[email]).await?,
    };
    Ok(row.as_ref().map(rows::user).transpose()?)
}

async fn list(connection: &Connection<'_>, (after, limit): &(String, u32)) -> Result<Vec<User>, Fault> {
    let rows = connection.rows(PAGE, &[after, &i64::from(*limit)]).await?;
    Ok(rows.iter().map(rows::user).collect::<Result<_, _>>()?)
}

async fn apply(connection: &Connection<'_>, id: UserId, change: &UserChange) -> Result<Ended, Fault> {
    match change {
        UserChange::Rehash { old, new } => {
            nothing(&found(connection.row(REHASH, &[&id, old.expose(), new.expose()]).await?)?)
        }
        UserChange::Roles(roles) => {
            let row = found(
                connection.row(ROLES, &[&id, roles, &Span(REVOCATION_LIFE), &connection.origin]).await?,
            )?;
            rights_changed(&row)
        }
        UserChange::Attributes(change) => set_attributes(connection, id, change).await,
        UserChange::Disabled(false) => {
            nothing(&found(connection.row(ENABLE, &[&id, &connection.origin]).await?)?)
        }
        UserChange::Disabled(true) => {
            lock(connection, id).await?;
            connection.rows(DISABLE, &[&id, &connection.origin]).await?;
            revoke::others(connection, id, None, EndReason::Disabled).await
        }
        UserChange::Password { new, expected, keep } => {
            let stored = lock(connection, id).await?;
            if expected.as_ref().is_some_and(|expected| *expected != stored) {
                return Err(VaultError::Superseded.into());
            }
            set_password(connection, id, new, *keep).await
        }
        UserChange::Deleted => {
            lock(connection, id).await?;
            // First, so that the sessions are locked in order.
            let ended = revoke::others(connection, id, None, EndReason::Disabled).await?;
            connection.rows(DELETE, &[&id, &connection.origin]).await?;
            Ok(ended)
        }
    }
}

async fn set_attributes(
    connection: &Connection<'_>,
    id: UserId,
    change: &AttributesChange,
) -> Result<Ended, Fault> {
    let AttributesChange { email, email_verified, name } = change;
    let row = connection
        .row(
            ATTRIBUTES,
            &[
                &id,
                &email.is_change(),
                &email.of(None),
                email_verified,
                &name.is_change(),
                &name.of(None),
                &Span(REVOCATION_LIFE),
                &connection.origin,
            ],
        )
        .await
        .map_err(taken)?;
    rights_changed(&found(row)?)
}

/// Reads a row of the log, if one was written.
fn rights_changed(row: &Row) -> Result<Ended, Fault> {
    let Some(user_id) = row.try_get("user_id")? else { return nothing(row) };
    let entry = LogEntry::Rights { user_id, rights: row.try_get("rights")?, until: row.try_get("until")? };
    Ok(Ended { entries: vec![entry], ..nothing(row)? })
}

async fn set_password(
    connection: &Connection<'_>,
    id: UserId,
    new: &Secret<String>,
    keep: Option<SessionId>,
) -> Result<Ended, Fault> {
    connection.rows(PASSWORD, &[&id, new.expose(), &keep, &connection.origin]).await?;
    revoke::others(connection, id, keep, EndReason::Password).await
}

/// Locks the user in its own statement, so that the next one sees every session opened before.
async fn lock(connection: &Connection<'_>, id: UserId) -> Result<Secret<String>, Fault> {
    Ok(Secret::new(found(connection.row(LOCK, &[&id]).await?)?.try_get("password")?))
}

fn found(row: Option<Row>) -> Result<Row, Fault> {
    row.ok_or_else(|| VaultError::UserUnknown.into())
}

fn nothing(row: &Row) -> Result<Ended, Fault> {
    let now: Timestamp = row.try_get("now")?;
    Ok(Ended { sessions: Vec::new(), alive: 0, entries: Vec::new(), now })
}
