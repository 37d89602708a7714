//! Accounts at providers, and their owners.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::fault::Fault;
use super::reader::View;
use super::revoke::{Event, end_each, record};
use super::writer::Tx;
use super::{SqliteVault, rows};
use crate::id::{SessionId, UserId};
use crate::identity::Roles;
use crate::vault::identities::{
    AccountLink, Identities, NewAccountUser, NewProviderSession, OtherWays, ProviderAccount, ProviderLogout,
    Recheck, Rechecked, SignOutHint, SpentToken, Statement,
};
use crate::vault::{EndReason, Ended, Grant, NewSession, User, VaultError};

mod apply;
mod sessions;

#[async_trait]
impl Identities for SqliteVault {
    async fn owner(&self, account: &ProviderAccount) -> Result<Option<User>, VaultError> {
        let account = account.clone();
        self.readers.query(move |view| owner(view, &account)).await
    }

    async fn create(
        &self,
        account: &ProviderAccount,
        user: &NewAccountUser,
        statement: &Statement,
    ) -> Result<(), VaultError> {
        let (account, user, statement) = (account.clone(), user.clone(), statement.clone());
        self.writer.run(move |tx| create(tx, &account, &user, &statement)).await
    }

    async fn apply(&self, account: &ProviderAccount, statement: &Statement) -> Result<Ended, VaultError> {
        let (account, statement) = (account.clone(), statement.clone());
        self.writer.run(move |tx| apply::apply(tx, &account, &statement, None)).await
    }

    async fn link(&self, account: &ProviderAccount, user: UserId) -> Result<(), VaultError> {
        let account = account.clone();
        self.writer.run(move |tx| link(tx, &account, user, false)).await
    }

    async fn unlink(
        &self,
        account: &ProviderAccount,
        user: UserId,
        keep: Option<SessionId>,
    ) -> Result<Ended, VaultError> {
        let account = account.clone();
        self.writer.run(move |tx| unlink(tx, &account, user, keep, None)).await
    }

    async fn unlink_own(
        &self,
        account: &ProviderAccount,
        user: UserId,
        keep: SessionId,
        others: &OtherWays,
    ) -> Result<Ended, VaultError> {
        let (account, others) = (account.clone(), others.clone());
        self.writer.run(move |tx| unlink(tx, &account, user, Some(keep), Some(&others))).await
    }

    async fn of_user(&self, user: UserId) -> Result<Vec<AccountLink>, VaultError> {
        self.readers.query(move |view| of_user(view, user)).await
    }

    async fn open(&self, session: &NewSession, part: &NewProviderSession) -> Result<Grant, VaultError> {
        let (session, part) = (session.clone(), part.clone());
        self.writer.run(move |tx| sessions::open(tx, &session, &part)).await
    }

    async fn has_rechecks(&self) -> Result<bool, VaultError> {
        self.readers.query(sessions::has_rechecks).await
    }

    async fn claim(&self, session: SessionId, hold: Duration) -> Result<Option<Recheck>, VaultError> {
        self.writer.run(move |tx| sessions::claim(tx, session, hold)).await
    }

    async fn settle(&self, session: SessionId, outcome: &Rechecked) -> Result<(), VaultError> {
        let outcome = outcome.clone();
        self.writer.run(move |tx| sessions::settle(tx, session, &outcome)).await
    }

    async fn log_out(&self, logout: &ProviderLogout) -> Result<Option<Ended>, VaultError> {
        let logout = logout.clone();
        self.writer.run(move |tx| sessions::log_out(tx, &logout)).await
    }

    async fn take_refresh(&self, ended: &[SessionId], limit: u32) -> Result<Vec<SpentToken>, VaultError> {
        let ended = ended.to_vec();
        self.writer.run(move |tx| sessions::take_refresh(tx, &ended, limit)).await
    }

    async fn hint(&self, session: SessionId) -> Result<Option<SignOutHint>, VaultError> {
        self.readers.query(move |view| sessions::hint(view, session)).await
    }
}

/// Returns the accounts of a user, in order of linking.
fn of_user(view: &View<'_>, user: UserId) -> Result<Vec<AccountLink>, Fault> {
    let links = "SELECT * FROM identities WHERE user_id = ?1 ORDER BY created_at, provider, issuer, subject";
    view.rows(links, params![user], read)
}

/// Returns the owner of an account.
fn owner(view: &View<'_>, account: &ProviderAccount) -> Result<Option<User>, Fault> {
    let ProviderAccount { provider, issuer, subject } = account;
    view.row(
        "SELECT u.* FROM identities i JOIN users u ON u.id = i.user_id \
         WHERE i.provider = ?1 AND i.issuer = ?2 AND i.subject = ?3",
        params![provider, issuer, subject],
        rows::user,
    )
}

fn create(
    tx: &Tx<'_>,
    account: &ProviderAccount,
    user: &NewAccountUser,
    statement: &Statement,
) -> Result<(), Fault> {
    let made = tx.execute(
        "INSERT INTO users (id, login, password, roles, disabled, waits_for_approval, created_at) \
         VALUES (?1, ?2, ?3, '', ?4, ?4, ?5) ON CONFLICT (login) DO NOTHING",
        params![user.id, user.login, user.password.expose(), user.waits_for_approval, tx.now()],
    )?;
    if made == 0 {
        return Err(VaultError::LoginTaken.into());
    }
    record(tx, &Event::of("user_created", user.id).because("provider"))?;
    link(tx, account, user.id, true)?;
    apply::apply(tx, account, statement, None).map(drop)
}

fn link(tx: &Tx<'_>, account: &ProviderAccount, user: UserId, is_origin: bool) -> Result<(), Fault> {
    match owner(tx, account)? {
        Some(owner) if owner.id == user => return Ok(()),
        Some(_) => return Err(VaultError::AccountTaken.into()),
        None => {}
    }
    tx.row("SELECT id FROM users WHERE id = ?1", params![user], |row| row.get::<_, UserId>("id"))?
        .ok_or(VaultError::UserUnknown)?;
    let ProviderAccount { provider, issuer, subject } = account;
    tx.execute(
        "INSERT INTO identities (provider, issuer, subject, user_id, is_origin, created_at, used_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        params![provider, issuer, subject, user, is_origin, tx.now()],
    )?;
    record(tx, &Event::of("account_linked", user).because(provider))
}

fn unlink(
    tx: &Tx<'_>,
    account: &ProviderAccount,
    user: UserId,
    keep: Option<SessionId>,
    others: Option<&OtherWays>,
) -> Result<Ended, Fault> {
    // Its roles go first: the statement needs the link.
    let none = Statement { roles: Some(Roles::default()), ..Statement::default() };
    let roles = apply::apply(tx, account, &none, Some(user))?;
    if let Some(others) = others
        && !others.are_left(account, &of_user(tx, user)?)
    {
        return Err(VaultError::LastWay.into());
    }
    let ProviderAccount { provider, issuer, subject } = account;
    tx.execute(
        "DELETE FROM identities WHERE provider = ?1 AND issuer = ?2 AND subject = ?3",
        params![provider, issuer, subject],
    )?;
    record(tx, &Event::of("account_unlinked", user).because(provider))?;
    let mut ended = end_each(tx, &sessions::of_account(tx, account, keep)?, EndReason::Provider)?;
    ended.entries.extend(roles.entries);
    Ok(ended)
}

/// Reads the columns of an account.
fn account(row: &Row<'_>) -> rusqlite::Result<ProviderAccount> {
    Ok(ProviderAccount {
        provider: row.get("provider")?,
        issuer: row.get("issuer")?,
        subject: row.get("subject")?,
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<AccountLink> {
    Ok(AccountLink {
        account: account(row)?,
        is_origin: row.get("is_origin")?,
        created_at: row.get("created_at")?,
        used_at: row.get("used_at")?,
    })
}
