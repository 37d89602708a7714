//! Users and their changes, each in one transaction with the revocations it causes.

mod factors;
mod mail;

use async_trait::async_trait;
use rusqlite::params;

use super::fault::Fault;
use super::revoke::{Event, end, log_rights, others, record};
use super::writer::Tx;
use super::{SqliteVault, rows};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::identity::{DisplayName, Email, Login, RightsVersion, Roles};
use crate::secret::Secret;
use crate::vault::{
    AttributesChange, EndReason, Ended, ImportMode, Imported, NewUser, PasswordCount, User, UserChange,
    UserKey, Users, VaultError,
};

mod import;

#[async_trait]
impl Users for SqliteVault {
    async fn create(&self, new: &NewUser) -> Result<(), VaultError> {
        let new = new.clone();
        self.writer.run(move |tx| create(tx, &new)).await
    }

    async fn import(&self, users: &[NewUser], mode: ImportMode) -> Result<Vec<Imported>, VaultError> {
        let users = users.to_vec();
        match mode {
            ImportMode::Create => self.writer.run(move |tx| create_each(tx, &users)).await,
            ImportMode::Trial => self.readers.query(move |view| import::preview(view, &users)).await,
        }
    }

    async fn count_passwords(&self) -> Result<Vec<PasswordCount>, VaultError> {
        self.readers.query(import::count_passwords).await
    }

    async fn find(&self, key: &UserKey) -> Result<Option<User>, VaultError> {
        let key = key.clone();
        self.readers
            .query(move |view| match key {
                UserKey::Login(login) => {
                    view.row("SELECT * FROM users WHERE login = ?1", params![login], rows::user)
                }
                UserKey::Id(id) => view.row("SELECT * FROM users WHERE id = ?1", params![id], rows::user),
                UserKey::Email(email) => {
                    view.row("SELECT * FROM users WHERE email = ?1", params![email], rows::user)
                }
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

/// Creates those that do not exist.
fn create_each(tx: &Tx<'_>, new: &[NewUser]) -> Result<Vec<Imported>, Fault> {
    let each = |user: &NewUser| {
        // No other process writes between these statements.
        let found = import::preview_one(tx, user)?;
        if found == Imported::Created {
            create(tx, user)?;
        }
        Ok(found)
    };
    new.iter().map(each).collect()
}

fn create(tx: &Tx<'_>, new: &NewUser) -> Result<(), Fault> {
    let NewUser { id, login, password, roles, attributes, disabled } = new;
    let made = tx.execute(
        "INSERT INTO users (id, login, password, roles, disabled, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (login) DO NOTHING",
        params![id, login, password.expose(), roles, disabled, tx.now()],
    )?;
    if made == 0 {
        return Err(VaultError::LoginTaken.into());
    }
    if !attributes.is_empty() {
        let verified_at = attributes.email_verified().then(|| tx.now());
        store_attributes(tx, *id, attributes.email(), verified_at, attributes.name())?;
    }
    record(tx, &Event::of("user_created", *id))
}

fn store_attributes(
    tx: &Tx<'_>,
    id: UserId,
    email: Option<&Email>,
    verified_at: Option<Timestamp>,
    name: Option<&DisplayName>,
) -> Result<(), Fault> {
    // No other process writes between these two statements.
    let owner = tx.row("SELECT id FROM users WHERE email = ?1", params![email], |row| row.get("id"))?;
    if owner.is_some_and(|owner: UserId| owner != id) {
        return Err(VaultError::EmailTaken.into());
    }
    tx.execute(
        "UPDATE users SET email = ?2, email_verified_at = ?3, name = ?4 WHERE id = ?1",
        params![id, email, verified_at, name],
    )?;
    Ok(())
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
        UserChange::Attributes(change) => set_attributes(tx, &user, change),
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
    record(tx, &Event::of("roles_changed", id).because(roles.to_string()))?;
    let entry = log_rights(tx, id, rights)?;
    Ok(Ended { entries: vec![entry], ..nothing(tx) })
}

fn set_attributes(tx: &Tx<'_>, user: &User, change: &AttributesChange) -> Result<Ended, Fault> {
    let (id, stored, stored_at) = (user.id, &user.attributes, user.email_verified_at);
    let (email, name) = (change.email.of(stored.email()), change.name.of(stored.name()));
    let verified_at = match change.email_verified {
        Some(false) => None,
        _ if email.is_none() => None,
        _ if stored_at.is_some() && email == stored.email() => stored_at,
        verified => verified.map(|_| tx.now()),
    };
    if (email, verified_at.is_some(), name) == (stored.email(), stored_at.is_some(), stored.name()) {
        return Ok(nothing(tx));
    }
    store_attributes(tx, id, email, verified_at, name)?;
    let rights = RightsVersion(user.rights.0 + 1);
    tx.execute("UPDATE users SET rights = ?2 WHERE id = ?1", params![id, rights])?;
    record(tx, &Event::of("attributes_changed", id))?;
    let entry = log_rights(tx, id, rights)?;
    Ok(Ended { entries: vec![entry], ..nothing(tx) })
}

fn set_disabled(tx: &Tx<'_>, id: UserId, disabled: bool) -> Result<Ended, Fault> {
    tx.execute("UPDATE users SET disabled = ?2, waits_for_approval = waits_for_approval AND ?2, epoch = epoch + 1 WHERE id = ?1", params![id, disabled])?;
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
