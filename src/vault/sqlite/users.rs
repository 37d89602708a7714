//! Users and their changes, each in one transaction with the revocations it causes.

use async_trait::async_trait;
use rusqlite::params;

use super::fault::Fault;
use super::revoke::{Event, end, log_rights, others, record};
use super::writer::Tx;
use super::{SqliteVault, rows};
use crate::id::{SessionId, UserId};
use crate::identity::{Login, RightsVersion, Roles};
use crate::secret::Secret;
use crate::vault::{EndReason, Ended, User, UserChange, UserKey, Users, VaultError};

#[async_trait]
impl Users for SqliteVault {
    async fn create(
        &self,
        id: UserId,
        login: &Login,
        password: &Secret<String>,
        roles: &Roles,
    ) -> Result<(), VaultError> {
        let (login, password, roles) = (login.clone(), password.clone(), roles.clone());
        self.writer.run(move |tx| create(tx, id, &login, &password, &roles)).await
    }

    async fn find(&self, key: &UserKey) -> Result<Option<User>, VaultError> {
        let key = key.clone();
        self.readers
            .query(move |view| match key {
                UserKey::Login(login) => {
                    view.row("SELECT * FROM users WHERE login = ?1", params![login], rows::user)
                }
                UserKey::Id(id) => view.row("SELECT * FROM users WHERE id = ?1", params![id], rows::user),
            })
            .await
    }

    async fn list(&self, after: Option<&Login>, limit: u32) -> Result<Vec<User>, VaultError> {
        // No login name is empty, so all come after the empty text.
        let after = after.map_or_else(String::new, |login| login.as_str().to_owned());
        let page = "SELECT * FROM users WHERE login > ?1 ORDER BY login LIMIT ?2";
        self.readers.query(move |view| view.rows(page, params![after, limit], rows::user)).await
    }

    async fn change(&self, id: UserId, change: &UserChange) -> Result<Ended, VaultError> {
        let change = change.clone();
        self.writer.run(move |tx| apply(tx, id, &change)).await
    }
}

fn create(
    tx: &Tx<'_>,
    id: UserId,
    login: &Login,
    password: &Secret<String>,
    roles: &Roles,
) -> Result<(), Fault> {
    let made = tx.execute(
        "INSERT INTO users (id, login, password, roles, created_at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (login) DO NOTHING",
        params![id, login, password.expose(), roles, tx.now()],
    )?;
    if made == 0 {
        return Err(VaultError::LoginTaken.into());
    }
    record(tx, &Event::of("user_created", id))
}

fn apply(tx: &Tx<'_>, id: UserId, change: &UserChange) -> Result<Ended, Fault> {
    let user = tx
        .row("SELECT * FROM users WHERE id = ?1", params![id], rows::user)?
        .ok_or(VaultError::UserUnknown)?;
    match change {
        UserChange::Password { new, expected, keep } => {
            if expected.as_ref().is_some_and(|expected| *expected != user.password) {
                return Err(VaultError::Superseded.into());
            }
            set_password(tx, id, new, *keep)
        }
        UserChange::Rehash { old, new } => {
            tx.execute(
                "UPDATE users SET password = ?3 WHERE id = ?1 AND password = ?2",
                params![id, old.expose(), new.expose()],
            )?;
            Ok(nothing(tx))
        }
        UserChange::Roles(roles) => set_roles(tx, id, roles, RightsVersion(user.rights.0 + 1)),
        // Enabling an enabled user must not end sessions, which a new epoch would do without a log row.
        UserChange::Disabled(false) if !user.disabled => Ok(nothing(tx)),
        UserChange::Disabled(disabled) => set_disabled(tx, id, *disabled),
        UserChange::Deleted => delete(tx, id),
    }
}

fn set_password(
    tx: &Tx<'_>,
    id: UserId,
    new: &Secret<String>,
    keep: Option<SessionId>,
) -> Result<Ended, Fault> {
    tx.execute("UPDATE users SET password = ?2, epoch = epoch + 1 WHERE id = ?1", params![id, new.expose()])?;
    // The kept session gets the new epoch, or it would end with the others. A session that was already dead stays dead.
    tx.execute(
        "UPDATE sessions SET epoch = epoch + 1 \
         WHERE id = ?2 AND user_id = ?1 AND epoch + 1 = (SELECT epoch FROM users WHERE id = ?1)",
        params![id, keep],
    )?;
    record(tx, &Event { session: keep, ..Event::of("password_changed", id) })?;
    end(tx, &others(tx, id, keep)?, EndReason::Password)
}

fn set_roles(tx: &Tx<'_>, id: UserId, roles: &Roles, rights: RightsVersion) -> Result<Ended, Fault> {
    tx.execute("UPDATE users SET roles = ?2, rights = ?3 WHERE id = ?1", params![id, roles, rights])?;
    record(tx, &Event::of("roles_changed", id))?;
    let entry = log_rights(tx, id, rights)?;
    Ok(Ended { entries: vec![entry], ..nothing(tx) })
}

fn set_disabled(tx: &Tx<'_>, id: UserId, disabled: bool) -> Result<Ended, Fault> {
    tx.execute("UPDATE users SET disabled = ?2, epoch = epoch + 1 WHERE id = ?1", params![id, disabled])?;
    if !disabled {
        record(tx, &Event::of("user_enabled", id))?;
        return Ok(nothing(tx));
    }
    record(tx, &Event::of("user_disabled", id))?;
    end(tx, &others(tx, id, None)?, EndReason::Disabled)
}

fn delete(tx: &Tx<'_>, id: UserId) -> Result<Ended, Fault> {
    tx.execute("DELETE FROM users WHERE id = ?1", params![id])?;
    record(tx, &Event::of("user_deleted", id))?;
    // The sessions stay, ended, until the sweep, so that their revocation can be applied again. Their personal data is
    // deleted now.
    tx.execute("UPDATE sessions SET address = NULL, user_agent = NULL WHERE user_id = ?1", params![id])?;
    end(tx, &others(tx, id, None)?, EndReason::Disabled)
}

fn nothing(tx: &Tx<'_>) -> Ended {
    Ended { sessions: Vec::new(), alive: 0, entries: Vec::new(), now: tx.now() }
}
