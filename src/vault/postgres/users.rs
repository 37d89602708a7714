//! Users and what can be done to them, each with the revocations it causes in one transaction.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::clients::{How, Talk};
use super::fault::Fault;
use super::rows::Span;
use super::{PostgresVault, clock, revoke, rows};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::{Login, Roles};
use crate::secret::Secret;
use crate::vault::{
    EndReason, Ended, LogEntry, REVOCATION_LIFE, User, UserChange, UserKey, Users, VaultError,
};

const CREATE: &str = concat!(
    "WITH ",
    clock!(),
    ", made AS (
         INSERT INTO users (id, login, password, roles, created_at) SELECT $1, $2, $3, $4, now FROM clock
         ON CONFLICT (login) DO NOTHING RETURNING id, created_at
     ), remembered AS (
         INSERT INTO audit (at, event, user_id) SELECT created_at, 'user_created', id FROM made
     )
     SELECT id FROM made"
);

macro_rules! user {
    ($rest:literal) => {
        concat!("SELECT id, login, password, roles, disabled, epoch, rights, created_at FROM users ", $rest)
    };
}

const BY_LOGIN: &str = user!("WHERE login = $1");
const BY_ID: &str = user!("WHERE id = $1");
const PAGE: &str = user!("WHERE login > $1 ORDER BY login LIMIT $2");
/// A login that reads the user for share waits here, and the other way round.
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
     ), remembered AS (
         INSERT INTO audit (at, event, user_id) SELECT now, 'roles_changed', id FROM changed, clock
     )
     SELECT now, user_id, rights, until FROM logged, clock"
);

/// Enabling the enabled must not end its sessions, which a raised epoch would do without a log row.
const ENABLE: &str = concat!(
    "WITH ",
    clock!(),
    ", changed AS (
         UPDATE users SET disabled = false, epoch = epoch + 1 WHERE id = $1 AND disabled RETURNING id
     ), remembered AS (
         INSERT INTO audit (at, event, user_id) SELECT now, 'user_enabled', id FROM changed, clock
     )
     SELECT now FROM clock, users WHERE id = $1"
);

const DISABLE: &str = concat!(
    "WITH ",
    clock!(),
    ", changed AS (UPDATE users SET disabled = true, epoch = epoch + 1 WHERE id = $1)
     INSERT INTO audit (at, event, user_id) SELECT now, 'user_disabled', $1 FROM clock"
);

/// The session that stays goes along with the epoch, or it would be dead with the others; one that was dead
/// already stays dead.
const PASSWORD: &str = concat!(
    "WITH ",
    clock!(),
    ", changed AS (
         UPDATE users SET password = $2, epoch = epoch + 1 WHERE id = $1 RETURNING id, epoch
     ), kept AS (
         UPDATE sessions s SET epoch = u.epoch FROM changed u
         WHERE s.id = $3 AND s.user_id = u.id AND s.epoch + 1 = u.epoch
     )
     INSERT INTO audit (at, event, user_id, session_id) SELECT now, 'password_changed', $1, $3 FROM clock"
);

/// The sessions stay, ended, until the sweep: a revocation of them can be applied again. What they tell of the
/// person goes now.
const DELETE: &str = concat!(
    "WITH ",
    clock!(),
    ", gone AS (DELETE FROM users WHERE id = $1), scrubbed AS (
         UPDATE sessions SET address = NULL, user_agent = NULL WHERE user_id = $1
     )
     INSERT INTO audit (at, event, user_id) SELECT now, 'user_deleted', $1 FROM clock"
);

#[async_trait]
impl Users for PostgresVault {
    async fn create(
        &self,
        id: UserId,
        login: &Login,
        password: &Secret<String>,
        roles: &Roles,
    ) -> Result<(), VaultError> {
        let new = New { id, login: login.clone(), password: password.clone(), roles: roles.clone() };
        self.clients.ask(How::ONCE, new, |talk, new| Box::pin(create(talk, new))).await
    }

    async fn find(&self, key: &UserKey) -> Result<Option<User>, VaultError> {
        self.clients.ask(How::AGAIN, key.clone(), |talk, key| Box::pin(find(talk, key))).await
    }

    async fn list(&self, after: Option<&Login>, limit: u32) -> Result<Vec<User>, VaultError> {
        // No login name is empty, so every one comes after the empty text.
        let after = after.map_or_else(String::new, |login| login.as_str().to_owned());
        self.clients.ask(How::AGAIN, (after, limit), |talk, page| Box::pin(list(talk, page))).await
    }

    async fn change(&self, id: UserId, change: &UserChange) -> Result<Ended, VaultError> {
        let how = match change {
            UserChange::Rehash { .. } | UserChange::Disabled(false) => How::AGAIN,
            UserChange::Roles(_) => How::ONCE,
            UserChange::Password { .. } | UserChange::Disabled(true) | UserChange::Deleted => {
                How::TOGETHER.within(revoke::ALL_OF_USER)
            }
        };
        self.clients.ask(how, (id, change.clone()), |talk, ask| Box::pin(apply(talk, ask.0, &ask.1))).await
    }
}

struct New {
    id: UserId,
    login: Login,
    password: Secret<String>,
    roles: Roles,
}

async fn create(talk: &Talk<'_>, new: &New) -> Result<(), Fault> {
    let made = talk.row(CREATE, &[&new.id, &new.login, new.password.expose(), &new.roles]).await?;
    made.map(drop).ok_or_else(|| VaultError::LoginTaken.into())
}

async fn find(talk: &Talk<'_>, key: &UserKey) -> Result<Option<User>, Fault> {
    let row = match key {
        UserKey::Login(login) => talk.row(BY_LOGIN, &[login]).await?,
        UserKey::Id(id) => talk.row(BY_ID, &[id]).await?,
    };
    Ok(row.as_ref().map(rows::user).transpose()?)
}

async fn list(talk: &Talk<'_>, (after, limit): &(String, u32)) -> Result<Vec<User>, Fault> {
    let rows = talk.rows(PAGE, &[after, &i64::from(*limit)]).await?;
    Ok(rows.iter().map(rows::user).collect::<Result<_, _>>()?)
}

async fn apply(talk: &Talk<'_>, id: UserId, change: &UserChange) -> Result<Ended, Fault> {
    match change {
        UserChange::Rehash { old, new } => {
            nothing(&found(talk.row(REHASH, &[&id, old.expose(), new.expose()]).await?)?)
        }
        UserChange::Roles(roles) => {
            let row = found(talk.row(ROLES, &[&id, roles, &Span(REVOCATION_LIFE)]).await?)?;
            let entry = LogEntry::Rights {
                user_id: row.try_get("user_id")?,
                rights: row.try_get("rights")?,
                until: row.try_get("until")?,
            };
            Ok(Ended { entries: vec![entry], ..nothing(&row)? })
        }
        UserChange::Disabled(false) => nothing(&found(talk.row(ENABLE, &[&id]).await?)?),
        UserChange::Disabled(true) => {
            lock(talk, id).await?;
            talk.rows(DISABLE, &[&id]).await?;
            revoke::others(talk, id, None, EndReason::Disabled).await
        }
        UserChange::Password { new, expected, keep } => {
            let stored = lock(talk, id).await?;
            if expected.as_ref().is_some_and(|expected| *expected != stored) {
                return Err(VaultError::Superseded.into());
            }
            set_password(talk, id, new, *keep).await
        }
        UserChange::Deleted => {
            lock(talk, id).await?;
            // First, so that the sessions are locked in order.
            let ended = revoke::others(talk, id, None, EndReason::Disabled).await?;
            talk.rows(DELETE, &[&id]).await?;
            Ok(ended)
        }
    }
}

async fn set_password(
    talk: &Talk<'_>,
    id: UserId,
    new: &Secret<String>,
    keep: Option<SessionId>,
) -> Result<Ended, Fault> {
    talk.rows(PASSWORD, &[&id, new.expose(), &keep]).await?;
    revoke::others(talk, id, keep, EndReason::Password).await
}

/// Locks the user in a statement of its own: the next one then sees every session that was opened before.
async fn lock(talk: &Talk<'_>, id: UserId) -> Result<Secret<String>, Fault> {
    Ok(Secret::new(found(talk.row(LOCK, &[&id]).await?)?.try_get("password")?))
}

fn found(row: Option<Row>) -> Result<Row, Fault> {
    row.ok_or_else(|| VaultError::UserUnknown.into())
}

fn nothing(row: &Row) -> Result<Ended, Fault> {
    let now: Timestamp = row.try_get("now")?;
    Ok(Ended { sessions: Vec::new(), alive: 0, entries: Vec::new(), now })
}
