//! Accounts at providers, and their owners.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::connection::clients::{Connection, Mode};
use super::fault::Fault;
use super::{PostgresVault, audited, clock, origin, revoke, rows, users};
use crate::id::{SessionId, UserId};
use crate::vault::identities::{
    AccountLink, Identities, NewAccountUser, NewProviderSession, OtherWays, ProviderAccount, ProviderLogout,
    Recheck, Rechecked, SignOutHint, SpentToken, Statement,
};
use crate::vault::{EndReason, Ended, Grant, NewSession, User, VaultError};

mod apply;
mod sessions;

const OWNER: &str = concat!(
    "SELECT ",
    users::columns!(),
    " FROM identities i JOIN users u ON u.id = i.user_id
     WHERE i.provider = $1 AND i.issuer = $2 AND i.subject = $3"
);

const OF_USER: &str = "SELECT provider, issuer, subject, is_origin, created_at, used_at FROM identities
     WHERE user_id = $1 ORDER BY created_at, provider, issuer, subject";

/// A user that is deleted meanwhile waits for this, or this finds none.
const LOCK_USER: &str = "SELECT id FROM users WHERE id = $1 FOR UPDATE";

/// Nothing changes if the account has an owner.
const LINK: &str = concat!(
    "WITH ",
    clock!(),
    ", linked AS (
         INSERT INTO identities (provider, issuer, subject, user_id, is_origin, created_at, used_at)
         SELECT $1, $2, $3, $4, $5, now, now FROM clock
         ON CONFLICT (provider, issuer, subject) DO NOTHING RETURNING user_id, created_at
     ) ",
    audited!("account_linked", "created_at", "user_id", "$1", 6, "linked")
);

const WHOSE: &str = "SELECT user_id FROM identities WHERE provider = $1 AND issuer = $2 AND subject = $3";

const UNLINK: &str = concat!(
    "WITH ",
    clock!(),
    ", unlinked AS (
         DELETE FROM identities WHERE provider = $1 AND issuer = $2 AND subject = $3 AND user_id = $4 RETURNING user_id
     ), remembered AS (",
    audited!("account_unlinked", "now", "user_id", "$1", 5, "unlinked, clock"),
    ")
     SELECT user_id FROM unlinked"
);

const CREATE_USER: &str = concat!(
    "WITH ",
    clock!(),
    ", made AS (
         INSERT INTO users (id, login, password, roles, disabled, waits_for_approval, created_at)
         SELECT $1, $2, $3, '', $4, $4, now FROM clock
         ON CONFLICT (login) DO NOTHING RETURNING id, created_at
     ), remembered AS (",
    audited!("user_created", "created_at", "id", "'provider'", 5, "made"),
    ")
     SELECT id FROM made"
);

#[async_trait]
impl Identities for PostgresVault {
    async fn owner(&self, account: &ProviderAccount) -> Result<Option<User>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, account.clone(), |connection, account| {
                Box::pin(owner(connection, account))
            })
            .await
    }

    async fn create(
        &self,
        account: &ProviderAccount,
        user: &NewAccountUser,
        statement: &Statement,
    ) -> Result<(), VaultError> {
        let input = (account.clone(), user.clone(), statement.clone());
        let run = |input| {
            self.clients.query(Mode::TRANSACTION, input, |connection, (account, user, statement)| {
                Box::pin(create(connection, account, user, statement))
            })
        };
        apply::without_taken_email(input, |input| &mut input.2, run).await
    }

    async fn apply(&self, account: &ProviderAccount, statement: &Statement) -> Result<Ended, VaultError> {
        let input = (account.clone(), statement.clone());
        let run = |input| {
            self.clients.query(Mode::TRANSACTION, input, |connection, (account, statement)| {
                Box::pin(apply::apply(connection, account, statement))
            })
        };
        apply::without_taken_email(input, |input| &mut input.1, run).await
    }

    async fn link(&self, account: &ProviderAccount, user: UserId) -> Result<(), VaultError> {
        self.clients
            .query(Mode::TRANSACTION, (account.clone(), user), |connection, (account, user)| {
                Box::pin(async move {
                    connection.row(LOCK_USER, &[user]).await?.ok_or(VaultError::UserUnknown)?;
                    link(connection, account, *user, false).await
                })
            })
            .await
    }

    async fn unlink(
        &self,
        account: &ProviderAccount,
        user: UserId,
        keep: Option<SessionId>,
    ) -> Result<Ended, VaultError> {
        let mode = Mode::TRANSACTION.within(revoke::ALL_OF_USER);
        self.clients
            .query(mode, (account.clone(), user, keep), |connection, (account, user, keep)| {
                Box::pin(unlink(connection, account, *user, *keep, None))
            })
            .await
    }

    async fn unlink_own(
        &self,
        account: &ProviderAccount,
        user: UserId,
        keep: SessionId,
        others: &OtherWays,
    ) -> Result<Ended, VaultError> {
        let mode = Mode::TRANSACTION.within(revoke::ALL_OF_USER);
        let input = (account.clone(), user, keep, others.clone());
        self.clients
            .query(mode, input, |connection, (account, user, keep, others)| {
                Box::pin(unlink(connection, account, *user, Some(*keep), Some(others)))
            })
            .await
    }

    async fn of_user(&self, user: UserId) -> Result<Vec<AccountLink>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, user, |connection, user| Box::pin(of_user(connection, *user)))
            .await
    }

    async fn open(&self, session: &NewSession, part: &NewProviderSession) -> Result<Grant, VaultError> {
        self.clients
            .query(Mode::TRANSACTION, (session.clone(), part.clone()), |connection, (session, part)| {
                Box::pin(sessions::open(connection, session, part))
            })
            .await
    }

    async fn has_rechecks(&self) -> Result<bool, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, (), |connection, ()| Box::pin(sessions::has_rechecks(connection)))
            .await
    }

    async fn claim(&self, session: SessionId, hold: Duration) -> Result<Option<Recheck>, VaultError> {
        self.clients
            .query(Mode::ONCE, (session, hold), |connection, (session, hold)| {
                Box::pin(sessions::claim(connection, *session, *hold))
            })
            .await
    }

    async fn settle(&self, session: SessionId, outcome: &Rechecked) -> Result<(), VaultError> {
        // The same outcome twice is the same as once.
        self.clients
            .query(Mode::IDEMPOTENT, (session, outcome.clone()), |connection, (session, outcome)| {
                Box::pin(sessions::settle(connection, *session, outcome))
            })
            .await
    }

    async fn log_out(&self, logout: &ProviderLogout) -> Result<Option<Ended>, VaultError> {
        let mode = Mode::TRANSACTION.within(revoke::ALL_OF_USER);
        self.clients
            .query(mode, logout.clone(), |connection, logout| Box::pin(sessions::log_out(connection, logout)))
            .await
    }

    async fn take_refresh(&self, ended: &[SessionId], limit: u32) -> Result<Vec<SpentToken>, VaultError> {
        self.clients
            .query(Mode::ONCE, (ended.to_vec(), limit), |connection, (ended, limit)| {
                Box::pin(sessions::take_refresh(connection, ended, *limit))
            })
            .await
    }

    async fn hint(&self, session: SessionId) -> Result<Option<SignOutHint>, VaultError> {
        self.clients
            .query(Mode::IDEMPOTENT, session, |connection, session| {
                Box::pin(sessions::hint(connection, *session))
            })
            .await
    }
}

async fn owner(connection: &Connection<'_>, account: &ProviderAccount) -> Result<Option<User>, Fault> {
    let ProviderAccount { provider, issuer, subject } = account;
    let row = connection.row(OWNER, &[provider, issuer, subject]).await?;
    Ok(row.as_ref().map(rows::user).transpose()?)
}

async fn create(
    connection: &Connection<'_>,
    account: &ProviderAccount,
    user: &NewAccountUser,
    statement: &Statement,
) -> Result<(), Fault> {
    let made = connection
        .row(
            CREATE_USER,
            &[&user.id, &user.login, user.password.expose(), &user.waits_for_approval, &connection.origin],
        )
        .await?;
    if made.is_none() {
        return Err(VaultError::LoginTaken.into());
    }
    link(connection, account, user.id, true).await?;
    apply::apply(connection, account, statement).await.map(drop)
}

async fn link(
    connection: &Connection<'_>,
    account: &ProviderAccount,
    user: UserId,
    is_origin: bool,
) -> Result<(), Fault> {
    let ProviderAccount { provider, issuer, subject } = account;
    connection.rows(LINK, &[provider, issuer, subject, &user, &is_origin, &connection.origin]).await?;
    // A statement of its own: only that sees a link that another transaction has just made.
    let row = connection.one(WHOSE, &[provider, issuer, subject]).await?;
    if row.try_get::<_, UserId>("user_id")? == user {
        return Ok(());
    }
    Err(VaultError::AccountTaken.into())
}

async fn unlink(
    connection: &Connection<'_>,
    account: &ProviderAccount,
    user: UserId,
    keep: Option<SessionId>,
    others: Option<&OtherWays>,
) -> Result<Ended, Fault> {
    // Its roles go first: the statement needs the link.
    let none = Statement { roles: Some(crate::identity::Roles::default()), ..Statement::default() };
    let roles = apply::apply_to(connection, account, &none, Some(user)).await?;
    // The user is locked now: another unlink waits.
    if let Some(others) = others
        && !others.are_left(account, &of_user(connection, user).await?)
    {
        return Err(VaultError::LastWay.into());
    }
    let ProviderAccount { provider, issuer, subject } = account;
    connection
        .row(UNLINK, &[provider, issuer, subject, &user, &connection.origin])
        .await?
        .ok_or(VaultError::UserUnknown)?;
    let mut ended = revoke::of_account(connection, account, keep, EndReason::Provider).await?;
    ended.entries.extend(roles.entries);
    Ok(ended)
}

/// Reads the columns of an account.
fn account(row: &Row) -> Result<ProviderAccount, tokio_postgres::Error> {
    Ok(ProviderAccount {
        provider: row.try_get("provider")?,
        issuer: row.try_get("issuer")?,
        subject: row.try_get("subject")?,
    })
}

async fn of_user(connection: &Connection<'_>, user: UserId) -> Result<Vec<AccountLink>, Fault> {
    let rows = connection.rows(OF_USER, &[&user]).await?;
    rows.iter()
        .map(|row| {
            Ok(AccountLink {
                account: account(row)?,
                is_origin: row.try_get("is_origin")?,
                created_at: row.try_get("created_at")?,
                used_at: row.try_get("used_at")?,
            })
        })
        .collect()
}
